"""Pairs of two arms, interleaved: A B B A, so that a machine that slowly changes favours nobody.

Arms come as arguments: a unit under a build (trial.Served), or a whole run. Judges nothing. Called by
commands/validate and the torture lane.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner import trial
from runner.config.overrides import quote
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


class WholeRun:
    """A unit that is a whole run of a build, with the words of the user's: the real engine; start-up counts into its
    processor time and not into its wall. Minutes instead of tenths of a second."""

    def __init__(self, build: Path, words: Sequence[str], scratch: Path, start: Callable[..., trial.Trial] = trial.run):
        self._build, self._words, self._scratch, self._start = build, tuple(words), scratch, start

    def __call__(self) -> dict[str, float]:
        """Cost of one more run."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        words = [*self._words, f"output.dir={quote(str(self._scratch))}", "on_busy=wait"]
        console = self._scratch / "console.log"
        done = self._start(words, self._scratch / "run", console, build=self._build)
        if done.exit_code != 0 or not done.summary or not done.summary["working_seconds"]:
            text = console.read_text(encoding="utf-8", errors="replace") if console.exists() else ""
            last = (text.strip().splitlines() or ["it said nothing"])[-1][:300]
            raise RunFailed(
                f"a run of the build in {self._build} ended with exit code {done.exit_code}: {last}",
                "the same words as `runner ...` show more",
            )
        return {"cpu": done.cpu_s, "wall": done.summary["working_seconds"]}

    def close(self) -> None:
        """Removes what the last run left."""
        shutil.rmtree(self._scratch, ignore_errors=True)


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
