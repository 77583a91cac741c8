"""Engines: the only rooms that import mlx, mlx_lm, transformers or tokenizers. Used inside exec'ed workers alone.

Nothing is imported here, so that `runner.engine.protocol` and `runner.engine.scripted` stay free of mlx.
"""
