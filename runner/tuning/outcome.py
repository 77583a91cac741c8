"""What became of one tuning step, in one form for every scope: shown by progress and doctor, kept as `setting` records.

Plain data; decides only what `tuning.strict` means.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from runner.errors import TuningError

State = Literal[
    "applied",  # set now, read back
    "already",  # was so before; nothing written, nothing to revert
    "unsupported",  # this machine or system has no such thing
    "needs_privilege",  # it has, and we may not
    "conflict",  # somebody else owns the setting
    "differs",  # written, and the system made something else of it; put back
    "failed",  # refused; put back
    "left_out",  # its scope is not among `tuning.scopes`
    "reverted",  # put back
]

FULFILLED: frozenset[State] = frozenset({"applied", "already", "reverted"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """`value` is what is set now in the step's own notation; `detail` says why, in words."""

    step: str
    scope: Literal["process", "session", "system"]
    state: State
    value: str
    detail: str

    def to_json(self) -> str:
        """The value of the journal's `setting` record."""
        return json.dumps({"scope": self.scope, "state": self.state, "value": self.value, "detail": self.detail})


def require(outcomes: Iterable[Outcome], strict: bool) -> None:
    """With `tuning.strict` a step that is not set ends the run with exit 5; TuningError names each."""
    missing = [outcome for outcome in outcomes if outcome.state not in FULFILLED and outcome.state != "left_out"]
    if strict and missing:
        listed = "; ".join(f"{o.step}: {o.state} ({o.detail or 'no detail'})" for o in missing)
        raise TuningError(
            f"tuning.strict=true and {len(missing)} step{'s' * (len(missing) > 1)} could not be set: {listed}",
            "choose a tuning group that this machine can take (runner profiles), or tuning.strict=false",
        )
