"""What is set on the machine before workers start: each step applied, verified, put back, and written down first.

`process` scope is the environment of our own workers (nothing to revert); `system` scope runs the scripts of tuning/
under a journal that survives kill -9. It never asks for a privilege and never reports as set what was not read back.
Called by run and by the `tuning` command; the scripts do the work on the machine.
"""
