"""Which point to try next: Optuna's TPE over three goals, told of every trial that was ever made.

The only module that imports optuna (the extra `search`). It keeps nothing on disk: the study's own file is the truth,
and the sampler hears it again at each start. Called by study.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runner.errors import UsageError
from runner.search.front import Figures
from runner.search.space import Dimension, Point

STARTUP = 8
"""Points at random before the model of what was seen decides."""
ATTEMPTS = 256
"""Points asked for before the space counts as used up."""
GUIDED = 8
"""Of these by the model, which in a small space insists on what it knows; the others at random."""


def optuna_of() -> Any:
    """The library, or how to get it."""
    try:
        import optuna
    except ImportError as error:
        raise UsageError(
            f"runner tune search needs Optuna, which is not installed ({error.name})",
            "pip install 'mlx-runner[search]'",
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


class Sampler:
    """`ask` for a point, `tell` what it came to; `tell` alone repeats what an earlier start asked for."""

    def __init__(self, space: Sequence[Dimension], seed: int) -> None:
        self._optuna, self._seed = optuna_of(), seed
        self._study = self._optuna.create_study(directions=["maximize", "minimize", "maximize"])
        self._space = {each.name: self._distribution(each) for each in space}
        self._told: list[Point] = []

    def _distribution(self, each: Dimension) -> Any:
        kinds = self._optuna.distributions
        if each.values:
            return kinds.CategoricalDistribution(list(each.values))
        return kinds.IntDistribution(each.low, each.high, log=each.log)

    def ask(self, number: int) -> Point | None:
        """A point that was not told yet, or None when it finds no more. The same after the same history, however often
        the search was interrupted: each number has a seed of its own."""
        for attempt in range(ATTEMPTS):
            seed = (self._seed * 1_000_003 + number) * ATTEMPTS + attempt
            kinds = self._optuna.samplers
            self._study.sampler = (
                kinds.TPESampler(seed=seed % 2**32, n_startup_trials=STARTUP)
                if attempt < GUIDED
                else kinds.RandomSampler(seed=seed % 2**32)
            )
            trial = self._study.ask(self._space)
            point = dict(trial.params)
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)  # what it comes to is told by `tell`
            if point not in self._told:
                return point
        return None

    def tell(self, point: Point, figures: Figures | None, over: float) -> None:
        """`figures` None: it does not run. `over`: how far it is above the limits, 0 when within."""
        self._told.append(point)
        if figures is None:
            return
        self._study.enqueue_trial(point)
        trial = self._study.ask(self._space)
        trial.set_constraint("over", over)
        self._study.tell(trial, (figures.docs_per_hour, figures.memory_bytes, figures.quality))
