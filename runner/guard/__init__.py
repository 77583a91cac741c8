"""A small process beside the runner: when the runner is killed, it puts the machine's settings back. Then it ends.

exec'ed by runner.tuning.guarded. Standard library only; reads the tuning journal, which holds all that it must know.
"""
