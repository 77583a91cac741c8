"""What paired log ratios say: signed-rank tests at fixed looks, Holm over several steps, an interval to report.

Pure functions over `d`, the log of cost(B) / cost(A) of each pair in the order measured. Knows no steps, no files and
no verdicts (verdict.py). Bootstrap intervals and t-tests are left out on purpose: with a few pairs on a machine that
others use too they raised false alarms in 7 to 26 % of simulated nothings.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ALPHA: Final = 0.05
"""False alarms among all steps of a plan together."""

# The value that the largest |z| of all looks passes with a chance of ALPHA / m when there is nothing: [m - 1]. Signed
# ranks of any symmetric noise have the same distribution, so it was simulated once (a million repeats, seed 1; the
# tests repeat it smaller). A first look at fewer pairs could not pass the value, whatever the effect (`largest_z`).
_ONE: Final = (8, 16, 24, 32, 40)
_FEW: Final = (12, 16, 24, 32, 40)
_MANY: Final = (16, 24, 32, 40)
_BOUNDARIES: Final[dict[tuple[int, ...], tuple[float, ...]]] = {
    _ONE: (2.379,),
    _FEW: (
        2.353,
        2.585,
        2.693,
        2.792,
        2.844,
        2.896,
        2.936,
        2.971,
        2.997,
        3.024,
    ),
    _MANY: (
        2.286,
        2.534,
        2.657,
        2.743,
        2.805,
        2.857,
        2.896,
        2.943,
        2.971,
        2.997,
        3.011,
        3.038,
        3.056,
        3.078,
        3.103,
        3.105,
        3.123,
        3.143,
        3.154,
        3.159,
        3.171,
        3.186,
        3.199,
        3.200,
        3.206,
        3.216,
        3.229,
        3.239,
        3.253,
        3.257,
        3.258,
        3.258,
    ),
}
MOST_STEPS: Final = len(_BOUNDARIES[_MANY])


def looks(steps: int) -> tuple[int, ...]:
    """Numbers of pairs after which a plan of so many steps is judged; nothing is decided in between."""
    if not 1 <= steps <= MOST_STEPS:
        raise ValueError(f"{steps} steps, a plan has 1 to {MOST_STEPS}")
    return _ONE if steps == 1 else _FEW if steps <= len(_BOUNDARIES[_FEW]) else _MANY


def boundary(at: Sequence[int], open_steps: int) -> float:
    """What |z| must pass at one of these looks when so many steps are still open."""
    return _BOUNDARIES[tuple(at)][open_steps - 1]


def signed_rank_z(d: Sequence[float]) -> float:
    """Wilcoxon's statistic over its standard deviation. Zeros are dropped, ties share their ranks."""
    signs, ranks = _signed_ranks(d)
    n = len(ranks)
    total = sum(sign * rank for sign, rank in zip(signs, ranks, strict=True))
    return total / math.sqrt(n * (n + 1) * (2 * n + 1) / 6) if n else 0.0


def exact_p(d: Sequence[float]) -> float:
    """Two-sided: the share of all 2^n choices of signs that lie as far out, ties as they are."""
    signs, ranks = _signed_ranks(d)
    doubled = [round(2 * rank) for rank in ranks]  # shared ranks are halves
    ways = [1] + [0] * sum(doubled)
    for rank in doubled:
        for total in range(len(ways) - 1, rank - 1, -1):
            ways[total] += ways[total - rank]
    seen = sum(rank for sign, rank in zip(signs, doubled, strict=True) if sign > 0)
    low = min(seen, sum(doubled) - seen)
    return float(min(1.0, 2 * sum(ways[: low + 1]) / 2 ** len(doubled)))


def largest_z(pairs: int) -> float:
    """What `signed_rank_z` is when all pairs point one way: no effect gives more."""
    return signed_rank_z([*range(1, pairs + 1)])


def _signed_ranks(d: Sequence[float]) -> tuple[list[int], list[float]]:
    kept = [x for x in d if x != 0.0]
    order = sorted(range(len(kept)), key=lambda i: abs(kept[i]))
    ranks = [0.0] * len(kept)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and abs(kept[order[end]]) == abs(kept[order[start]]):
            end += 1
        for position in range(start, end):
            ranks[order[position]] = (start + 1 + end) / 2
        start = end
    return [1 if x > 0 else -1 for x in kept], ranks


@dataclass(frozen=True, slots=True)
class Effect:
    """Ratio cost(B) / cost(A) by Hodges and Lehmann with its 95 % signed-rank interval: to report, never to decide."""

    ratio: float
    low: float
    high: float


def effect(d: Sequence[float]) -> Effect:
    """Of at least one pair; below six pairs no interval of 95 % exists and the widest is given."""
    n = len(d)
    walsh = sorted((d[i] + d[j]) / 2 for i in range(n) for j in range(i, n))
    cut = math.floor(n * (n + 1) / 4 - 1.96 * math.sqrt(n * (n + 1) * (2 * n + 1) / 24))
    cut = max(0, cut)
    return Effect(math.exp(statistics.median(walsh)), math.exp(walsh[cut]), math.exp(walsh[-1 - cut]))


def spread(d: Sequence[float]) -> float:
    """Standard deviation of a pair, from the quartiles' cousin that a few wild pairs do not move (MAD)."""
    middle = statistics.median(d)
    return 1.4826 * statistics.median(abs(x - middle) for x in d)


def smallest_effect(sd: float, pairs: int, at_boundary: float) -> float:
    """The share that `pairs` pairs find in 8 of 10 plans when one pair has this standard deviation: (z + 0.84) times
    the standard error of the signed-rank centre, sqrt(pi / 3) of the mean's for normal noise."""
    return math.expm1((at_boundary + 0.84) * sd * math.sqrt(math.pi / 3 / pairs))


def lag_1(d: Sequence[float]) -> float:
    """Autocorrelation of neighbours in time: far from 0, pairs are not independent and no test here holds."""
    mean = statistics.fmean(d)
    below = sum((x - mean) ** 2 for x in d)
    return sum((a - mean) * (b - mean) for a, b in itertools.pairwise(d)) / below if below else 0.0


def holm(tops: Sequence[float], at: Sequence[int], steps: int) -> list[bool]:
    """Which of the largest |z| so far are decided: the strongest passes the value of all `steps`, the next that of
    one less, and so on; the first that does not ends it. Steps without figures count as open."""
    decided = [False] * len(tops)
    for place, index in enumerate(sorted(range(len(tops)), key=lambda i: -tops[i])):
        if tops[index] <= boundary(at, steps - place):
            break
        decided[index] = True
    return decided
