"""Hydra's door to our sweeps: composes and checks every job, then hands them to runner.sweep.

Hydra imports every module of this namespace at every start, so that only Hydra itself is imported at the top.
"""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus, filter_overrides
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig, OmegaConf, open_dict

# Said by the controller; harmful in a job.
CONTROLLER_KEYS = (
    "hydra.sweep.", "hydra.launcher", "hydra/launcher", "hydra.sweeper", "hydra/sweeper", "hydra.mode",
    "output.run_dir",
)  # fmt: skip


@dataclass
class LauncherConfig:
    """`on_failure`: continue | stop. `max_failures`: stop after so many; 0 = no limit. `cool_down_s`: rest behind a
    job that
    computed on the device. `objective`: number of summary.json that a sweeper with an aim gets back."""

    _target_: str = "hydra_plugins.runner_launcher.RunnerLauncher"
    on_failure: str = "continue"
    max_failures: int = 0
    cool_down_s: float = 5.0
    objective: str = "docs_per_hour"


ConfigStore.instance().store(group="hydra/launcher", name="runner", node=LauncherConfig, provider="runner")


class RunnerLauncher(Launcher):
    """One process a job, everything checked before the first starts."""

    def __init__(
        self,
        on_failure: str = "continue",
        max_failures: int = 0,
        cool_down_s: float = 5.0,
        objective: str = "docs_per_hour",
    ) -> None:
        self.on_failure, self.max_failures = on_failure, max_failures
        self.cool_down_s, self.objective = cool_down_s, objective
        self.config: Any = None
        self.context: Any = None
        self.sweep: Any = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:  # noqa: ARG002
        """Called by Hydra before `launch`; the task runs in other processes."""
        self.context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Called by Hydra's sweeper: once with all jobs, or with batch after batch."""
        jobs = self._preflight(job_overrides, initial_job_idx)
        if self.sweep is None:
            self.sweep = self._begin()
        rows = self.sweep.run_batch(jobs)
        returns = []
        for job, row in zip(jobs, rows, strict=True):
            done = JobReturn()
            # Never FAILED: the stock sweepers would end the sweep at it; a failed job has no figure instead.
            done.overrides, done.status = list(job.overrides), JobStatus.COMPLETED
            done.return_value = row.figures.get(self.objective) if row.status == "completed" else None
            returns.append(done)
        return returns

    def _begin(self) -> Any:
        from runner import sweep
        from runner.errors import UsageError
        from runner.store.sweeps import FIGURES

        for name, value, good, rule in (
            ("on_failure", self.on_failure, self.on_failure in ("continue", "stop"), "continue or stop"),
            ("max_failures", self.max_failures, self.max_failures >= 0, "0 (no limit) or more"),
            ("cool_down_s", self.cool_down_s, 0 <= self.cool_down_s <= 3600, "0 to 3600 seconds"),
            ("objective", self.objective, self.objective in FIGURES, f"one of: {', '.join(FIGURES)}"),
        ):
            if not good:
                raise UsageError(
                    f"hydra.launcher.{name} is {value!r}, it must be {rule}", "leave it out for its default"
                )
        policy = sweep.Policy("stop" if self.on_failure == "stop" else "continue", self.max_failures, self.cool_down_s)
        # The command line has put its words, quoted and with their profile, where Hydra reads them.
        return sweep.begin(Path(str(self.config.hydra.sweep.dir)).absolute(), policy, sys.argv[1:])

    def _preflight(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[Any]:
        """Every job composed and checked; UsageError lists the problems of all of them."""
        from runner import machine
        from runner.config.compose import COMPOSITION_ERRORS, from_composed, usage_error
        from runner.config.given import refuse_stdin
        from runner.config.overrides import words_of_job
        from runner.errors import Problem, UsageError
        from runner.store.sweeps import Job

        here = machine.detect()
        jobs: list[Job] = []
        problems: list[Problem] = []
        for number, overrides in enumerate(map(list, job_overrides), first):
            shown = " ".join(filter_overrides(overrides))
            mine = [word for word in overrides if not word.lstrip("+~").startswith(CONTROLLER_KEYS)]
            try:
                config = self.context.config_loader.load_sweep_config(self.config, overrides)
                with open_dict(config):
                    del config["hydra"]
                made = from_composed(config, words_of_job(mine), here)
                refuse_stdin(made, "each job of a sweep would read anew")
            except COMPOSITION_ERRORS as error:
                found: Sequence[Problem] = usage_error(error).problems
            except UsageError as error:
                found = error.problems
            else:
                # Only hashed: the resolved text may hold secrets.
                text = OmegaConf.to_yaml(config, resolve=True, sort_keys=True)
                key = hashlib.sha256(text.encode()).hexdigest()[:12]
                jobs.append(Job(number, tuple(mine), shown, key, made.model.engine != "scripted"))
                continue
            problems += [Problem(f"job #{number} ({shown}): {each.text}", each.cure) for each in found]
        if problems:
            raise UsageError(problems=problems)
        return jobs
