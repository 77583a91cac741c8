"""Paired costs of two builds: is B slower than A, by a rule whose false alarms are measured on the same machine.

Pure. A build counts as slower (or faster) in a measure when the signed-rank test says so and the centre of its log
ratios lies beyond a floor; with several measures the test's bounds follow Holm. The floor and the share of false
alarms come from pairs of one build against itself.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from runner.compare import statistics

Word = Literal["slower", "faster", "no difference"]

_BOUNDS: Final = (2.576, 2.807, 2.935)
"""|z| for a two-sided 0.01, 0.01 / 2, 0.01 / 3: of the weakest, the second and the third of the open measures."""
LEAST_FLOOR: Final = 0.01
"""An effect below a hundredth is nobody's regression, whatever the machine can show."""
_RESAMPLES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Judged:
    """One measure. `effect`: cost B / cost A."""

    word: Word
    z: float
    effect: statistics.Effect
    floor: float


def judge(pairs: Mapping[str, Sequence[float]], floors: Mapping[str, float]) -> dict[str, Judged]:
    """By measure: log ratios b / a of the pairs that count."""
    zs = {name: statistics.signed_rank_z(d) for name, d in pairs.items()}
    found = {}
    still_open = True
    for place, name in enumerate(sorted(zs, key=lambda name: -abs(zs[name]))):
        still_open = still_open and abs(zs[name]) > _BOUNDS[len(zs) - place - 1]
        effect = statistics.effect(pairs[name])
        beyond = abs(math.log(effect.ratio)) > math.log1p(floors[name])
        word: Word = "no difference"
        if still_open and beyond:
            word = "slower" if zs[name] > 0 else "faster"
        found[name] = Judged(word, zs[name], effect, floors[name])
    return {name: found[name] for name in pairs}


def regressed(found: Mapping[str, Judged]) -> bool:
    """Whether any measure says slower."""
    return any(each.word == "slower" for each in found.values())


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a build against itself showed here: the floor of each measure, and the share of such comparisons that the
    rule
    would have called a difference."""

    floors: Mapping[str, float]
    false_alarms: float
    spread: Mapping[str, float]


def calibrate(pairs: Mapping[str, Sequence[float]], size: int, seed: int = 1) -> Calibration:
    """From pairs of one build against itself: the floors from the first half of them, the false alarms from the second,
    both by drawing comparisons of `size` pairs. What favours one arm stays in: no sign is turned."""
    chance = random.Random(seed)
    half = min(len(d) for d in pairs.values()) // 2
    floors = {}
    for name, d in pairs.items():
        centres = sorted(abs(_median(chance.choices(d[:half], k=size))) for _ in range(_RESAMPLES))
        floors[name] = max(LEAST_FLOOR, math.expm1(centres[int(0.99 * _RESAMPLES)]))
    alarms = 0
    rounds = _RESAMPLES // 5
    for _ in range(rounds):
        drawn = [chance.randrange(half, 2 * half) for _ in range(size)]
        found = judge({name: [d[place] for place in drawn] for name, d in pairs.items()}, floors)
        alarms += any(each.word != "no difference" for each in found.values())
    return Calibration(floors, alarms / rounds, {name: statistics.spread(d) for name, d in pairs.items()})


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def change_points(values: Sequence[float], least: int = 5, bound: float = 3.3) -> list[int]:
    """Places where a series moves to another level: the split with the largest rank-sum z, then the same within its
    sides.
    `bound` is for the largest of many: about one false change in a hundred series of 50."""
    best, place = 0.0, 0
    for split in range(least, len(values) - least + 1):
        z = abs(_rank_sum_z(values[:split], values[split:]))
        if z > best:
            best, place = z, split
    if best <= bound:
        return []
    right = [place + each for each in change_points(values[place:], least, bound)]
    return [*change_points(values[:place], least, bound), place, *right]


def _rank_sum_z(a: Sequence[float], b: Sequence[float]) -> float:
    wins = sum((x > y) + 0.5 * (x == y) for x in a for y in b)
    n, m = len(a), len(b)
    return (wins - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)
