"""The state machine of one rule: when it fires, when it is over, and that nothing makes it flap."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from runner.alerts.rules import Quiet, State, holds, is_clear, step
from runner.config.monitor import AlertRule

LOW = AlertRule("throughput_share", "below", 0.5, 0.7, 10.0, "warning")
HIGH = AlertRule("failed_share", "above", 0.2, 0.1, 5.0, "warning")


def changes(rule: AlertRule, series: list[tuple[float, float | None]]) -> list[tuple[float, str]]:
    state: State = Quiet()
    found = []
    for now, value in series:
        state, change = step(rule, state, value, now)
        if change is not None:
            found.append((now, change))
    return found


def test_a_rule_fires_after_its_time_and_is_over_after_the_same_time_beyond_clear() -> None:
    series = [(0.0, 1.0), (5.0, 0.4), (14.0, 0.4), (15.0, 0.4), (20.0, 0.6), (60.0, 0.6), (61.0, 0.8), (71.0, 0.8)]
    assert changes(LOW, series) == [(15.0, "firing"), (71.0, "resolved")]


def test_one_sample_on_the_good_side_starts_the_time_again() -> None:
    assert changes(LOW, [(0.0, 0.4), (9.0, 0.6), (10.0, 0.4), (19.0, 0.4)]) == []


def test_a_value_between_the_two_limits_changes_nothing_in_either_state() -> None:
    assert changes(HIGH, [(float(second), 0.15) for second in range(100)]) == []
    fired = [(0.0, 0.3), (5.0, 0.3)]
    assert changes(HIGH, [*fired, *((float(second), 0.15) for second in range(6, 100))]) == [(5.0, "firing")]


def test_a_value_that_is_not_known_neither_fires_nor_resolves() -> None:
    assert changes(LOW, [(0.0, 0.4), (5.0, None), (11.0, 0.4)]) == []
    assert changes(HIGH, [(0.0, 0.3), (5.0, 0.3), (6.0, 0.0), (8.0, None), (12.0, 0.0)]) == [(5.0, "firing")]


def test_a_rule_without_time_or_clear_follows_each_sample() -> None:
    rule = AlertRule("disk_free_bytes", "below", 10, None, 0.0, "critical")
    assert changes(rule, [(0.0, 9.0), (1.0, 10.0)]) == [(0.0, "firing"), (1.0, "resolved")]


_VALUES = st.one_of(st.none(), st.floats(-1, 2))
_STEPS = st.lists(st.tuples(st.floats(0.01, 20), _VALUES), max_size=200)
_RULES = st.builds(
    lambda op, value, gap, for_s: AlertRule(
        "failed_share", op, value, value - gap if op == "above" else value + gap, for_s, "warning"
    ),
    st.sampled_from(("above", "below")),
    st.floats(0, 1),
    st.floats(0, 0.5),
    st.floats(0, 30),
)


@given(_RULES, _STEPS)
def test_two_changes_are_never_closer_than_the_time_of_the_rule_and_alternate(
    rule: AlertRule, steps: list[tuple[float, float | None]]
) -> None:
    now, series = 0.0, []
    for wait, value in steps:
        now += wait
        series.append((now, value))
    found = changes(rule, series)
    assert [change for _, change in found] == ["firing", "resolved"] * (len(found) // 2) + ["firing"] * (len(found) % 2)
    for (before, _), (after, _) in pairwise(found):
        assert after - before >= rule.for_s


@given(_RULES, _STEPS)
def test_what_fires_has_held_at_every_sample_of_the_time_before_and_what_is_over_was_clear(
    rule: AlertRule, steps: list[tuple[float, float | None]]
) -> None:
    now, series = 0.0, []
    for wait, value in steps:
        now += wait
        series.append((now, value))
    for at, change in changes(rule, series):
        proves = holds if change == "firing" else is_clear
        window = [value for time, value in series if at - rule.for_s <= time <= at]
        assert all(proves(rule, value) for value in window)
