"""How much memory a model worker takes: one formula, used before a run starts and for every row that a worker admits.

Never less than what was measured from outside (docs/measurements.md, memory): admission by it is what holds the `mlx`
pool, since no limit of mlx stops an allocation on a CPU. Pure. Called by run, plan and the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

PROCESS_BYTES: Final = 192 << 20
"""Interpreter, libraries, tokenizer and grammar, before anything of a model: 131 to 170 MiB measured."""

_KEPT: Final = 1.8
"""filter, extend and merge copy the KV of the whole batch; with what the heap keeps of it, 1.76 times were measured."""

_GROWING: Final = 0.6
"""On top for the rows of one prefill, whose KV grows by copies: 2.22 times were measured of a row alone."""

_SHARED: Final = _KEPT + _GROWING
"""A shared prefix is prefilled alone."""

_KV_STEP: Final = 256
"""mlx-lm grows a cache by this many tokens, from wherever it stands: a row may have nearly as many too many."""


@dataclass(frozen=True, slots=True)
class Work:
    """Bytes beside weights and KV: of one prompt token in a prefill, of one pair of prompt token and key (0 where
    attention keeps no scores), and of one row's logits, in all their forms."""

    token_bytes: int
    pair_bytes: int
    row_bytes: int


@dataclass(frozen=True, slots=True)
class Footprint:
    """`standing_bytes`: the process with its model loaded. `cache_bytes`: freed buffers that mlx may keep."""

    standing_bytes: int
    cache_bytes: int
    kv_bytes_per_token: int
    work: Work
    prefill_rows: int
    prefill_tokens: int

    def needs(self, rows: int, longest: int, prefix: int = 0) -> int:
        """Bytes at the worst moment of a batch: rows are padded to the longest, `prefix` tokens are kept beside it."""
        prefilled, row = min(rows, self.prefill_rows), longest + _KV_STEP
        held = (_KEPT * rows + _GROWING * prefilled) * row + (_SHARED * (prefix + _KV_STEP) if prefix else 0)
        read = prefilled * min(longest, self.prefill_tokens)
        work = read * (self.work.token_bytes + longest * self.work.pair_bytes) + rows * self.work.row_bytes
        return self.standing_bytes + self.cache_bytes + int(held * self.kv_bytes_per_token) + work

    def longest_row(self, limit: int) -> int:
        """The most tokens of one row alone within `limit` bytes; 0 when there is room for none."""
        low, high = 0, 1 << 24
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.needs(1, middle) <= limit else (low, middle - 1)
        return low

    def longest_prefix(self, limit: int, rows: int, longest: int) -> int:
        """The most tokens of a shared prefix beside these rows."""
        room = limit - self.needs(rows, longest)
        each = _SHARED * self.kv_bytes_per_token
        return max(0, int(room / each) - _KV_STEP) if each else 1 << 24
