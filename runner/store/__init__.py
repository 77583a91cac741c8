"""What a run leaves on disk besides the journal: its folder, its identity, its locks, the list of runs, the exports.

Files are written whole (tmp, fsync, rename, fsync of the folder) or not at all. The journal, results.jsonl and
failures.jsonl belong to the core and are never written here.
"""
