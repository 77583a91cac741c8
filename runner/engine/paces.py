"""The book an engine keeps of its work: mlx-lm's own account of prefill and decode, and what was shared or thought.

Used by mlx_lm_adapter.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runner.engine.protocol import Pace


class PaceBook:
    """Adds up the statistics of one generator after another."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._window: Any = None
        self._seen: Any = None

    def open(self, generator: Any) -> None:
        """Counts what this generator does from here on."""
        self._window = generator.stats()
        self._seen = self._window.__enter__()

    def close(self) -> None:
        """Ends the generator's window of statistics and adds it."""
        self._window.__exit__(None, None, None)
        seen, pace = self._seen, self._pace
        self._pace = replace(
            pace,
            prefill_tokens=pace.prefill_tokens + seen.prompt_tokens,
            prefill_s=pace.prefill_s + seen.prompt_time,
            decode_tokens=pace.decode_tokens + seen.generation_tokens,
            decode_s=pace.decode_s + seen.decode_time,
        )

    def read(self, generator: Any) -> Pace:
        """All so far; goes on counting."""
        self.close()
        self.open(generator)
        return self._pace

    def rows(self, rows: int, shared: int, tokens: int) -> None:
        """Rows that came in, how many of them began with what was there, tokens that this saved."""
        pace = self._pace
        self._pace = replace(
            pace,
            rows=pace.rows + rows,
            shared_rows=pace.shared_rows + shared,
            shared_tokens=pace.shared_tokens + tokens,
        )

    def thought(self, tokens: int, cut: bool) -> None:
        """A row's thoughts; `cut`: its budget closed them."""
        pace = self._pace
        self._pace = replace(pace, thinking_tokens=pace.thinking_tokens + tokens, thinking_cut=pace.thinking_cut + cut)
