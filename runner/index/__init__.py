"""What people ask of their runs: runs.sqlite, a table of all runs, documents, samples and sweeps of an outputs folder.

A cache of the folders, rebuilt from them (docs/index.md). It decides nothing: which finished work is taken over is the
core's own index (index.sqlite), and no query here can slow that down or spoil it. Called by ls, show, diff, query,
export and gc.
"""
