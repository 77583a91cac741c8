"""Hydra's door to our sweeps: composes and checks every job, then hands them to runner.sweep.

Hydra imports every module of this namespace at every start, so that only Hydra itself is imported at the top.
"""

import hashlib
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
    """`on_failure`: continue | stop. `max_failures`: stop after so many; 0 = no limit."""

    _target_: str = "hydra_plugins.runner_launcher.RunnerLauncher"
    on_failure: str = "continue"
    max_failures: int = 0


ConfigStore.instance().store(group="hydra/launcher", name="runner", node=LauncherConfig, provider="runner")


class RunnerLauncher(Launcher):
    """One process a job, everything checked before the first starts."""

    def __init__(self, on_failure: str = "continue", max_failures: int = 0) -> None:
        self.on_failure, self.max_failures = on_failure, max_failures
        self.config: Any = None
        self.context: Any = None

    def setup(self, *, hydra_context: Any, task_function: Any, config: DictConfig) -> None:  # noqa: ARG002
        """Called by Hydra before `launch`; the task runs in other processes."""
        self.context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Called by Hydra's sweeper with all jobs."""
        from runner import sweep
        from runner.errors import UsageError

        if self.on_failure not in ("continue", "stop"):
            raise UsageError(
                f"hydra.launcher.on_failure is '{self.on_failure}', it must be continue or stop",
                "hydra.launcher.on_failure=continue",
            )
        jobs = self._preflight(job_overrides, initial_job_idx)
        rows = sweep.run(
            jobs,
            Path(str(self.config.hydra.sweep.dir)).absolute(),
            "stop" if self.on_failure == "stop" else "continue",
            self.max_failures,
        )
        returns = []
        for job, row in zip(jobs, rows, strict=True):
            done = JobReturn()
            done.overrides, done.status, done.return_value = list(job.overrides), JobStatus.COMPLETED, row.exit_code
            returns.append(done)
        return returns

    def _preflight(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[Any]:
        """Every job composed and checked; UsageError lists the problems of all of them."""
        from runner import machine
        from runner.config.compose import COMPOSITION_ERRORS, from_composed, usage_error
        from runner.config.given import refuse_stdin
        from runner.config.overrides import words_of_job
        from runner.errors import Problem, UsageError
        from runner.sweep import Job

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
                refuse_stdin(from_composed(config, words_of_job(mine), here), "each job of a sweep would read anew")
            except COMPOSITION_ERRORS as error:
                found: Sequence[Problem] = usage_error(error).problems
            except UsageError as error:
                found = error.problems
            else:
                # Only hashed: the resolved text may hold secrets.
                text = OmegaConf.to_yaml(config, resolve=True, sort_keys=True)
                jobs.append(Job(number, tuple(mine), shown, hashlib.sha256(text.encode()).hexdigest()[:12]))
                continue
            problems += [Problem(f"job #{number} ({shown}): {each.text}", each.cure) for each in found]
        if problems:
            raise UsageError(problems=problems)
        return jobs
