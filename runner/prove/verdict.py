"""From pairs to words: helps, hurts, no effect of 2 % or more, undecided; and whether a step needs more pairs.

Pure. The test decides (statistics.py); the interval must agree with it before anything is said of a step, and an effect
that the baseline shows against itself is never judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from runner.compare import statistics

Word = Literal["helps", "hurts", "no effect", "undecided", "does not run"]

_DRIFT: Final = 0.5
"""Autocorrelation of neighbouring pairs that is worth a word (of a dozen pairs chance alone gives 0.3)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one step came to so far. `decided`: no further pair is needed. Effects are cost ratios B / A, below 1 is
    better; None before the first pair. `z` is the largest |z| at a look."""

    step: str
    word: Word
    decided: bool
    pairs: int
    effect: statistics.Effect | None
    cpu: statistics.Effect | None
    z: float
    boundary: float
    note: str


@dataclass(frozen=True, slots=True)
class Figures:
    """Log ratios of the pairs that count, in the order measured: of the measure that decides, and of CPU time."""

    deciding: Sequence[float]
    cpu: Sequence[float]


def judge(
    figures: Mapping[str, Figures], min_effect: float, smallest: float, failed: Mapping[str, str]
) -> dict[str, Verdict]:
    """All steps of a plan together, in their order. `smallest`: the effect that this machine can show; `failed`: why a
    step does not run, it still counts as a step."""
    steps = len(figures)
    at = statistics.looks(steps)
    names = list(figures)
    tops = [_top(figures[name].deciding, at) for name in names]
    passed = statistics.holm([abs(z) for z in tops], at, steps)
    found = {}
    for name, z, crossed in zip(names, tops, passed, strict=True):
        needed = statistics.boundary(at, steps)
        if name in failed:
            found[name] = Verdict(name, "does not run", True, 0, None, None, 0.0, needed, failed[name])
        else:
            found[name] = _one(name, figures[name], at, (z, needed, crossed), (min_effect, smallest))
    return found


def _top(d: Sequence[float], at: Sequence[int]) -> float:
    """z of the look so far that lies furthest out."""
    return max((statistics.signed_rank_z(d[:look]) for look in at if look <= len(d)), key=abs, default=0.0)


def _one(
    name: str, seen: Figures, at: Sequence[int], test: tuple[float, float, bool], bounds: tuple[float, float]
) -> Verdict:
    z, needed, crossed = test
    min_effect, smallest = bounds
    d, over = seen.deciding, len(seen.deciding) >= at[-1]
    if not d:
        return Verdict(name, "undecided", False, 0, None, None, 0.0, needed, "no pair yet")
    found, cpu = statistics.effect(d), statistics.effect(seen.cpu)
    judged = statistics.effect(d[: max((look for look in at if look <= len(d)), default=len(d))])
    word: Word = "undecided"
    note = "" if len(d) >= at[0] else f"judged from {at[0]} pairs on"
    clear_gain, clear_loss = judged.high < 1 - min_effect, judged.low > 1 + min_effect
    if crossed and (clear_gain or clear_loss):
        if abs(judged.ratio - 1) >= smallest:
            word = "helps" if clear_gain else "hurts"
        else:
            note = f"{abs(judged.ratio - 1):.1%} is less than the {smallest:.1%} that this machine can show"
    elif over and 1 - min_effect < judged.low and judged.high < 1 + min_effect:
        word = "no effect"
    elif crossed:
        note = f"{'faster' if z < 0 else 'slower'}, perhaps by less than {min_effect:.0%}"
    if len(d) >= at[0] and abs(statistics.lag_1(d)) > _DRIFT:
        # Neither way round: a test that assumes independent pairs says nothing about these.
        word, note = "undecided", f"pairs depend on their neighbours (autocorrelation {statistics.lag_1(d):+.2f})"
    return Verdict(name, word, over or word in ("helps", "hurts"), len(d), found, cpu, z, needed, note)
