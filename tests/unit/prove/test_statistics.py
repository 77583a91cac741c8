"""The tests behind a verdict: exact where possible, calibrated where simulated, blind to order and sign."""

import math
import random
from itertools import product

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runner.compare import statistics

RATIOS = st.lists(st.floats(-2, 2).filter(lambda x: x == 0 or abs(x) > 1e-9), min_size=1, max_size=40)


@given(RATIOS)
def test_swapping_the_arms_turns_every_sign(d: list[float]) -> None:
    turned = [-x for x in d]
    assert statistics.signed_rank_z(turned) == pytest.approx(-statistics.signed_rank_z(d))
    assert statistics.exact_p(turned) == pytest.approx(statistics.exact_p(d))
    there, back = statistics.effect(d), statistics.effect(turned)
    assert (there.low * back.high, there.ratio * back.ratio) == (pytest.approx(1), pytest.approx(1))


@given(RATIOS, st.randoms(use_true_random=False), st.floats(0.1, 10))
def test_neither_order_nor_unit_of_the_effect_counts(d: list[float], order: random.Random, unit: float) -> None:
    assume(len({abs(x) for x in d}) == len({abs(x) * unit for x in d}))
    mixed = [x * unit for x in order.sample(d, len(d))]
    assert statistics.signed_rank_z(mixed) == pytest.approx(statistics.signed_rank_z(d))


@given(RATIOS)
def test_the_interval_holds_the_estimate_and_no_pair_moves_it_far(d: list[float]) -> None:
    found = statistics.effect(d)
    assert math.exp(min(d)) - 1e-9 <= found.low <= found.ratio <= found.high <= math.exp(max(d)) + 1e-9


@pytest.mark.parametrize("d", [[1.0, -2.0, 3.0, 4.0], [1.0, 1.0, -1.0, 2.0, -5.0], [0.0, 1.0, 2.0, 2.0, -3.0, 3.0]])
def test_the_exact_p_is_what_counting_all_signs_gives(d: list[float]) -> None:
    kept = [x for x in d if x]
    seen = abs(statistics.signed_rank_z(kept))
    far = [abs(statistics.signed_rank_z([abs(x) * s for x, s in zip(kept, signs, strict=True)])) >= seen - 1e-12
           for signs in product((1, -1), repeat=len(kept))]  # fmt: skip
    assert statistics.exact_p(d) == pytest.approx(sum(far) / len(far))


def test_eight_pairs_cannot_show_more_than_they_can() -> None:
    """Known values: 2^-7 two-sided, and the largest z of the notes."""
    assert statistics.exact_p([0.1 * n for n in range(1, 9)]) == pytest.approx(2 / 2**8)
    assert [round(statistics.largest_z(n), 2) for n in (8, 12, 16)] == [2.52, 3.06, 3.52]


@pytest.mark.parametrize("steps", range(1, statistics.MOST_STEPS + 1))
def test_the_first_look_can_decide(steps: int) -> None:
    at = statistics.looks(steps)
    assert statistics.largest_z(at[0]) > statistics.boundary(at, steps)
    assert statistics.boundary(at, steps) >= statistics.boundary(at, max(1, steps - 1))


@pytest.mark.parametrize("steps", [1, 5, 27])
def test_the_boundaries_keep_their_promise(steps: int, seeded: random.Random) -> None:
    """A smaller repetition of the simulation: what crosses at ANY look when there is nothing."""
    at, repeats = statistics.looks(steps), 3000
    bound, crossed = statistics.boundary(statistics.looks(steps), 1), 0
    for _ in range(repeats):
        d = [seeded.gauss(0, 1) for _ in range(at[-1])]
        crossed += any(abs(statistics.signed_rank_z(d[:look])) > bound for look in at)
    assert 0.035 < crossed / repeats < 0.066  # five standard errors round 5 %


def test_holm_lowers_the_bar_only_behind_a_step_that_passed() -> None:
    at = statistics.looks(5)
    high, low = statistics.boundary(at, 5), statistics.boundary(at, 4)
    between = (high + low) / 2
    assert statistics.holm([between, 0, 0, 0, 0], at, 5) == [False] * 5
    assert statistics.holm([between, high + 0.1, 0, 0, 0], at, 5) == [True, True, False, False, False]


def test_neighbours_that_follow_each_other_are_seen() -> None:
    assert statistics.lag_1([1, 1, 1, 1, -1, -1, -1, -1]) > 0.5
    assert statistics.lag_1([1, -1] * 8) < -0.5
    assert statistics.lag_1([2.0] * 5) == 0.0


def test_the_smallest_effect_is_found_in_most_plans(seeded: random.Random) -> None:
    """What the command promises of a quiet machine holds: about 8 of 10."""
    sd, at = 0.05, statistics.looks(1)
    bound = statistics.boundary(at, 1)
    size = math.log1p(statistics.smallest_effect(sd, at[-1], bound))
    hits = 0
    for _ in range(300):
        d = [seeded.gauss(size, sd) for _ in range(at[-1])]
        hits += any(abs(statistics.signed_rank_z(d[:look])) > bound for look in at)
    assert hits > 0.7 * 300
