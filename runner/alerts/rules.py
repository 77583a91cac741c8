"""An alert rule over samples: quiet, pending, firing, and back. A pure function of values and times, nothing else.

A rule fires when its condition has held at every sample for `for_s`, and is over when the value has been on the other
side of `clear` for `for_s` too: between two changes of one rule lies at least `for_s`, so that it cannot flap. A value
that is not known now (null) proves neither. Called by runner.alerts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runner.config.monitor import AlertRule


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nothing to say. `since`: from when the condition has held without a break, None while it does not."""

    since: float | None = None

    @property
    def pending(self) -> bool:
        """The condition holds, not yet for long enough."""
        return self.since is not None


@dataclass(frozen=True, slots=True)
class Firing:
    """Somebody was told. `clear_since`: from when the value has been back, None while it is not."""

    since: float
    clear_since: float | None = None


State = Quiet | Firing
Change = Literal["firing", "resolved"]


def holds(rule: AlertRule, value: float | None) -> bool:
    """The condition, now."""
    return value is not None and (value > rule.value if rule.op == "above" else value < rule.value)


def is_clear(rule: AlertRule, value: float | None) -> bool:
    """The value is back: on the other side of `clear`, which lies beyond `value`."""
    edge = rule.value if rule.clear is None else rule.clear
    return value is not None and (value <= edge if rule.op == "above" else value >= edge)


def step(rule: AlertRule, state: State, value: float | None, now: float) -> tuple[State, Change | None]:
    """One sample. `now` never goes back."""
    if isinstance(state, Quiet):
        if not holds(rule, value):
            return Quiet(), None
        since = now if state.since is None else state.since
        return (Firing(now), "firing") if now - since >= rule.for_s else (Quiet(since), None)
    if not is_clear(rule, value):
        return Firing(state.since), None
    clear_since = now if state.clear_since is None else state.clear_since
    if now - clear_since >= rule.for_s:
        return Quiet(), "resolved"
    return Firing(state.since, clear_since), None
