"""When a run will be done: from prompt tokens, since documents differ by orders of magnitude, with an interval.

Pure: samples come in. The interval is what the rate's own change from one quarter of a minute to the next allows; it
does not know what no sample has shown. Called by progress.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from runner.metrics import Sample
from runner.progress.texts import duration_text

ETA_MIN_SHARE: Final = 0.02
"""No estimate before this share of the known prompt tokens is done: it would only jump."""

BLOCK_S: Final = 15.0
MOST_BLOCKS: Final = 240
"""An hour: what the rate was before says less."""

LEAST_BLOCKS: Final = 4
SPREAD: Final = 1.645
"""Standard errors on each side: 90 % if blocks were independent."""


@dataclass(frozen=True, slots=True)
class Eta:
    """Seconds left; `low` and `high` are None while the rate has not been seen for long enough."""

    left_s: float
    low_s: float | None = None
    high_s: float | None = None

    def text(self) -> str:
        """ "12 min (10 min to 15 min)"."""
        if self.low_s is None or self.high_s is None:
            return duration_text(self.left_s)
        low, high = duration_text(self.low_s), duration_text(self.high_s)
        return duration_text(self.left_s) if low == high else f"{duration_text(self.left_s)} ({low} to {high})"


class EtaKeeper:
    """Fed with each sample. Loading a model says nothing about speed: the clock begins with the first result."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._done_then = 0
        self._blocks: deque[float] = deque(maxlen=MOST_BLOCKS)
        self._block: tuple[float, int] = (0.0, 0)

    def add(self, sample: Sample) -> Eta | None:
        """None while it cannot be known."""
        now, done = sample.elapsed_s, sample.prompt_tokens_done
        if sample.paused:
            self._first = None if self._first is None else self._first + max(0.0, now - self._block[0])
            self._block = (now, done)
            return None
        if self._first is None:
            if done == 0:
                return None
            # What an earlier life or run has done came at once: it is no rate.
            self._first, self._done_then, self._block = now, done, (now, done)
        if now - self._block[0] >= BLOCK_S:
            self._blocks.append((done - self._block[1]) / (now - self._block[0]))
            self._block = (now, done)
        return self._estimate(sample, now, done)

    def _estimate(self, sample: Sample, now: float, done: int) -> Eta | None:
        assert self._first is not None
        left = sample.prompt_tokens_known - done
        if not sample.discovery_done or sample.prompt_tokens_known <= 0:
            return None
        if left <= 0:
            return Eta(0.0)
        spent, gained = now - self._first, done - self._done_then
        if spent <= 0 or gained <= 0 or done < ETA_MIN_SHARE * sample.prompt_tokens_known:
            return None
        rate = gained / spent
        if len(self._blocks) < LEAST_BLOCKS:
            return Eta(left / rate)
        mean = sum(self._blocks) / len(self._blocks)
        if mean <= 0:
            return Eta(left / rate)
        spread = math.sqrt(sum((block - mean) ** 2 for block in self._blocks) / (len(self._blocks) - 1))
        # The rest of the run is as uncertain as the blocks that are left, and as what is known of their mean.
        ahead = max(1.0, left / mean / BLOCK_S)
        error = SPREAD * spread * math.sqrt(1 / len(self._blocks) + 1 / ahead)
        slow = max(mean - error, mean / 4)
        return Eta(left / mean, left / (mean + error), left / slow)
