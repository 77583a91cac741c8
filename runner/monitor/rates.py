"""What a sample says of the past: rates over the last seconds, the run's usual rate, how long nothing has ended.

Pure: time and counts come in. Bounded: a window of samples, and one figure for each quarter of a minute. Called by
monitor.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

RATE_WINDOW_S: Final = 15.0
"""Rates are over this much of the past: long enough to hide the steps of a batch, short enough to show a change."""

USUAL_AFTER: Final = 8
"""Windows with work before a rate may be called slow: two minutes."""

MOST_WINDOWS: Final = 2_000
"""Kept for the median: eight hours; then the oldest go."""


@dataclass(frozen=True, slots=True)
class Rates:
    """As named in runner.metrics."""

    prompt_tokens_per_s: float
    generated_tokens_per_s: float
    documents_per_h: float
    throughput_share: float | None
    stalled_s: float


class RateKeeper:
    """Fed with each sample, in order."""

    def __init__(self) -> None:
        self._window: deque[tuple[float, int, int, int]] = deque()
        self._usual: deque[float] = deque(maxlen=MOST_WINDOWS)
        self._next = 0.0
        self._moved = 0.0
        self._mark = -1

    def add(self, counters: Mapping[str, int], now: float) -> Rates:
        """`now`: seconds since the run began."""
        ended = sum(counters[name] for name in ("ok", "failed", "skipped", "quarantined"))
        prompt, generated = counters["prompt_tokens_done"], counters["generated_tokens"]
        window = self._window
        window.append((now, prompt, generated, ended))
        while len(window) > 2 and now - window[1][0] >= RATE_WINDOW_S:
            window.popleft()
        then = window[0]
        seconds = now - then[0]
        gained = (prompt - then[1], generated - then[2], ended - then[3])
        rates = [gain / seconds if seconds > 0 else 0.0 for gain in gained]
        tokens = rates[0] + rates[1]
        return Rates(
            prompt_tokens_per_s=round(rates[0], 2),
            generated_tokens_per_s=round(rates[1], 2),
            documents_per_h=round(3600 * rates[2], 1),
            throughput_share=self._share(tokens, now),
            stalled_s=self._stalled(counters, ended + prompt + counters["pages_read"], now),
        )

    def _share(self, tokens: float, now: float) -> float | None:
        """Of the median so far. A run that has only begun has no usual rate, and reading alone is none."""
        if tokens > 0 and now >= self._next:
            self._next = now + RATE_WINDOW_S
            self._usual.append(tokens)
        if len(self._usual) < USUAL_AFTER:
            return None
        return round(tokens / statistics.median(self._usual), 3)

    def _stalled(self, counters: Mapping[str, int], mark: int, now: float) -> float:
        waits = counters["leased"] > 0 or counters["pending_requests"] > 0 or not counters["discovery_done"]
        if mark != self._mark or not waits or counters["paused"]:
            self._mark, self._moved = mark, now
        return round(now - self._moved, 3)
