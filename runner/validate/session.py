"""Pairs of two arms, interleaved: A B B A, so that a machine that slowly changes favours nobody.

Arms come as arguments: a unit under a build (trial.Served), or a whole run. Judges nothing. Called by
commands/validate and the torture lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner import trial
from runner.errors import RunFailed

Measure = Callable[[], Mapping[str, float]]
"""One unit: cost by measure."""

MEASURES = ("cpu", "wall")


@dataclass(frozen=True, slots=True)
class Arm:
    """`input`: the folder a unit reads."""

    build: Path
    input: Path

    def start(self, overrides: list[str]) -> Unit:
        """A process that does units."""
        return Unit(self, trial.Served(Path(__file__).with_name("unit.py"), self.build, {"overrides": overrides}))


class Unit:
    """Does units of one arm until closed."""

    def __init__(self, arm: Arm, served: trial.Served) -> None:
        self._arm, self._served = arm, served

    def __call__(self) -> dict[str, float]:
        """Cost of one more unit."""
        found = self._served.ask({"input": str(self._arm.input)})
        if not found["ok"]:
            raise RunFailed("a unit answered no document", "run `runner validate` without a baseline to see why")
        return {"cpu": found["cpu_s"], "wall": found["wall_s"]}

    def close(self) -> None:
        """Ends its process."""
        self._served.close()


def pairs(a: Measure, b: Measure, count: int, warm_up: int = 2) -> dict[str, list[float]]:
    """Log ratios b / a by measure; the first pairs of both arms warm caches up and do not count."""
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    for number in range(-warm_up, count):
        if number % 2:
            cost_b, cost_a = b(), a()
        else:
            cost_a, cost_b = a(), b()
        if number >= 0:
            for name in MEASURES:
                found[name].append(math.log(cost_b[name] / cost_a[name]))
    return found
