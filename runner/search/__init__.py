"""`runner tune search`: which values of a few keys are fastest, smallest and as good as any on this machine.

`space` says what may vary, `front` compares, `study` runs trials in a fair order and keeps them, `page` shows.
Called by commands/tune_search. Optuna (the extra `search`) is imported by `sampler` alone.
"""
