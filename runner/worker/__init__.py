"""The child side of a model worker: `python -P -m runner.worker VERB` with a JSON spec on stdin, JSON lines on stdout.

Verbs: serve (leases over the channel), and one-shot convert, describe, render, pull, measure-blas, confine. Exec'ed by
supervise and by runner.models; the only processes that import mlx. Never imported by the runner itself.
"""
