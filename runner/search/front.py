"""Comparing candidates: which are within the limits, which ones nobody beats in everything, and which one to take.

Pure. Called by study and page.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

QUALITY_SLACK: Final = 0.01
"""A share of valid answers this much below the best still counts as as good: with a hundred documents it is one."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run came to. `quality`: valid answers of all that were asked for, between 0 and 1."""

    docs_per_hour: float
    memory_bytes: int
    quality: float


def together(runs: Sequence[Figures]) -> Figures:
    """Several runs of one candidate: the median speed, the most memory, the worst share."""
    return Figures(
        statistics.median(run.docs_per_hour for run in runs),
        max(run.memory_bytes for run in runs),
        min(run.quality for run in runs),
    )


def beats(one: Figures, other: Figures) -> bool:
    """In nothing worse and in something better."""
    pairs = (
        (one.docs_per_hour, other.docs_per_hour),
        (-one.memory_bytes, -other.memory_bytes),
        (one.quality, other.quality),
    )
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)


def front(found: Mapping[int, Figures], memory_bytes: int | None) -> list[int]:
    """Candidates within `memory_bytes` that no other of them beats, the fastest first."""
    inside = {number: each for number, each in found.items() if fits(each, memory_bytes)}
    best = [n for n, one in inside.items() if not any(beats(other, one) for other in inside.values())]
    return sorted(best, key=lambda number: (-inside[number].docs_per_hour, number))


def fits(figures: Figures, memory_bytes: int | None) -> bool:
    """Within the limit."""
    return memory_bytes is None or figures.memory_bytes <= memory_bytes


def leaders(found: Mapping[int, Figures], memory_bytes: int | None, most: int) -> list[int]:
    """Whom to measure again: the front, then the next fastest, so that noise does not decide who is looked at."""
    first = front(found, memory_bytes)[:most]
    rest = sorted(
        (n for n, each in found.items() if n not in first and fits(each, memory_bytes)),
        key=lambda number: (-found[number].docs_per_hour, number),
    )
    return first + rest[: max(0, most - len(first))]


def pick(found: Mapping[int, Figures], memory_bytes: int | None) -> int | None:
    """The fastest on the front whose answers are as good as the best."""
    ahead = front(found, memory_bytes)
    if not ahead:
        return None
    best = max(found[number].quality for number in ahead)
    return next(number for number in ahead if found[number].quality >= best - QUALITY_SLACK)
