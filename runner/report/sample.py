"""Numbers of a run of any length in bounded memory: a distribution from a sample, and values over time thinned out.

Pure and repeatable: the sample is drawn with a fixed seed. Called by results and timeline; drawn by plots.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

MOST: Final = 8192
"""Values that a sample keeps: a quantile of it is off by about half a percent of the ranks."""


@dataclass(slots=True)
class Sample:
    """Up to MOST values, all of them while there are no more; count, sum and extremes are exact."""

    count: int = 0
    total: float = 0.0
    low: float = 0.0
    high: float = 0.0
    kept: array[float] = field(default_factory=lambda: array("d"))
    _random: random.Random = field(default_factory=lambda: random.Random(1))

    def add(self, value: float) -> None:
        """One more value."""
        if self.count == 0:
            self.low = self.high = value
        self.low, self.high = min(self.low, value), max(self.high, value)
        self.count += 1
        self.total += value
        if len(self.kept) < MOST:
            self.kept.append(value)
        elif (place := int(self._random.random() * self.count)) < MOST:
            self.kept[place] = value

    @property
    def mean(self) -> float:
        """0 when empty."""
        return self.total / self.count if self.count else 0.0

    def quantiles(self, *shares: float) -> list[float]:
        """Values below which these shares of all lie; zeros when empty. The last rank is the exact maximum."""
        ordered = sorted(self.kept)
        if not ordered:
            return [0.0] * len(shares)
        return [self.high if s >= 1 else ordered[min(len(ordered) - 1, int(s * len(ordered)))] for s in shares]

    def bins(self, top: float, count: int) -> list[float]:
        """How many of all values lie in each of `count` equal bins of 0..top; the last one holds what is above."""
        found = [0.0] * count
        for value in self.kept:
            found[min(count - 1, int(value / top * count)) if top > 0 else 0] += 1
        scale = self.count / len(self.kept) if self.kept else 0.0
        return [number * scale for number in found]


def nice_top(value: float, steps: int = 4) -> float:
    """The least number at or above `value` whose `steps`-th part is round: 1.5, 2.5 or a whole number but
    7 and 9, times a power of ten. Counts below ten get no halves of one."""
    if value <= 0:
        return float(steps)
    part = value / steps
    power: float = 10.0 ** _exponent(part)
    for factor in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if power != 1 else (1, 2, 2.5, 3, 4, 5, 6, 8, 10):
        if factor * power >= part * (1 - 1e-9):
            return factor * power * steps
    raise AssertionError(value)


_SPANS: Final = (15, 30, 45, 60, 90, 120, 180, 240, 300, 450, 600, 900, 1200, 1800, 2700, 3600, 5400, 7200, 10800)


def nice_time(seconds: float) -> float:
    """The same for a time axis: above a minute its parts are round in minutes and hours."""
    if seconds <= 60:
        return nice_top(seconds)
    if seconds > 4 * _SPANS[-1]:
        return nice_top(seconds / 3600) * 3600
    return 4.0 * next(span for span in _SPANS if 4 * span >= seconds * (1 - 1e-9))


def _exponent(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def thinned(xs: Sequence[float], ys: Sequence[float], buckets: int = 300) -> list[tuple[float, float]]:
    """Points for a line: of each bucket of neighbours the lowest and the highest, in order, so that no peak is lost."""
    if len(xs) <= 2 * buckets:
        return list(zip(xs, ys, strict=True))
    points: list[tuple[float, float]] = []
    for number in range(buckets):
        first, last = number * len(xs) // buckets, (number + 1) * len(xs) // buckets
        here = range(first, last)
        ends = {min(here, key=ys.__getitem__), max(here, key=ys.__getitem__)}
        points += [(xs[place], ys[place]) for place in sorted(ends)]
    return points
