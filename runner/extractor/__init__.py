"""The child side of extraction: a process that confines itself, then parses one dangerous file at a time.

The parsers are Rust (`native/src/extract`); here is only the order of things. It does NOT choose limits (they come in
the spec), keeps nothing, and is never imported by the runner. Started by supervise.
"""
