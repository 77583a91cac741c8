"""Measurements of parts of this runner. Called by commands/bench; prints figures, decides nothing."""
