"""What one life of a run is made of: the plan, known before anything is written, and the loop with all its parts.

Puts together; runs nothing. Called by run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner import log, models
from runner.alerts import watching
from runner.config.schema import RunnerConfig
from runner.layout import RunFolder
from runner.machine import Machine
from runner.monitor import Monitor
from runner.monitor.prometheus import Exposition
from runner.predict.pace import Paces
from runner.progress import Heading, choose
from runner.progress.follow import Failures
from runner.run import extraction, facts, settings
from runner.run.door import Core
from runner.run.loop import Loop
from runner.run.signals import StopRequest
from runner.run.watch import Watch
from runner.store import folder
from runner.store.files import storage
from runner.supervise import Policy, Supervisor, worker_environment
from runner.supervise.converters import Converters
from runner.tuning.outcome import FULFILLED
from runner.tuning.scopes import Tuned

_log = log.get("run")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known before anything is written: the model, the core with its survey, and who the run is."""

    config: RunnerConfig
    machine: Machine
    model: models.ModelFolder
    core: Core
    survey: Mapping[str, Any]
    run: RunFolder
    run_id: str
    resumed: folder.RunIdentity | None
    as_json: bool
    workers: int
    answers_key: str
    made: bool
    """The folder is there already: it keeps what the run reads from standard input or from a list."""

    def pace_of(self) -> dict[str, Any]:
        """What a pace is compared by."""
        setting = facts.pace_setting(self.config, self.machine, self.model, self.workers)
        return {"setting": setting, "workers": self.workers, "answers_key": self.answers_key}


def record_settings(plan: Plan, tuning: Tuned) -> None:
    """What was applied goes into the journal, so that a tuned run can be replayed."""
    for name, value in settings.thread_variables(plan.config).items():
        plan.core.setting(f"worker.environment.{name}", json.dumps(value), "cores.threads_per_worker")
    for outcome in tuning.outcomes:
        plan.core.setting(f"tuning.{outcome.step}", outcome.to_json(), outcome.state)
        if outcome.state in FULFILLED or outcome.state == "left_out":
            _log.debug("setting.applied", **asdict(outcome))
        else:  # the run goes on without it
            _log.warning("setting.refused", **asdict(outcome))
    plan.core.setting("cores.worker_cpus", json.dumps(plan.config.cores.worker_cpus), "asked for; see the ready event")


def make_loop(plan: Plan, monitor: Monitor, stop: StopRequest, tuning: Tuned) -> Loop:
    """The loop of this life; nothing is started yet. StorageError where its folder cannot be used."""
    config, worker = plan.config, plan.config.worker
    temporary = plan.run.root / "tmp"
    with storage(f"cannot create {temporary}"):
        temporary.mkdir(mode=0o700, exist_ok=True)
    asked = {**settings.thread_variables(config), **tuning.environment}
    variables = worker_environment(os.environ, asked, temporary)

    paces = Paces()

    def on_start(number: int, pid: int) -> None:
        monitor.watch(pid, f"worker {number}")
        paces.started(number)

    def on_ready(number: int, fields: Mapping[str, Any]) -> None:
        loop.worker_is_ready()
        monitor.engine(int(fields.get("kv_bytes_per_token", 0)))
        plan.core.setting(f"worker.{number}", json.dumps(fields), "as the worker reported it")
        _log.debug("setting.applied", worker=number, **fields)

    supervisor = Supervisor(
        plan.core,
        plan.workers,
        lambda number, attachment: settings.worker_spec(config, plan.model, plan.workers, number, attachment),
        lambda _number: variables,
        Policy(
            start_timeout_s=worker.start_timeout_ms / 1000,
            grace_s=worker.drain_ms / 1000,
            backoff_first_s=worker.backoff_ms / 1000,
            backoff_max_s=worker.backoff_max_ms / 1000,
            max_restarts=worker.max_restarts,
        ),
        on_start=on_start,
        on_ready=on_ready,
        on_pace=paces.note,
    )
    converters = Converters(
        plan.core,
        lambda ends: extraction.extractor_spec(config, ends),
        worker_environment(os.environ, {}, temporary),
        extraction.COMMAND,
        on_start=lambda seat, pid: monitor.watch(pid, f"extract worker {seat}"),
        on_ready=lambda seat, fields: plan.core.setting(f"extract_worker.{seat}", json.dumps(fields), "as it reported"),
    )
    inode = folder.inode_of(plan.run)
    assert inode is not None
    loop = Loop(
        plan.core,
        supervisor,
        converters,
        make_watch(plan, monitor, paces),
        stop,
        config.monitor.interval_ms / 1000,
        lambda: folder.check_still_there(plan.run, inode),
    )
    return loop


def make_watch(plan: Plan, monitor: Monitor, paces: Paces) -> Watch:
    """Everything that looks at samples."""
    config, run = plan.config, plan.run
    prometheus = config.monitor.prometheus
    heading = Heading(config.job.name, config.model.name, config.profile.label, plan.run_id)
    with storage(f"cannot read {run.alerts}"):
        kept = watching.read(run.alerts)
    return Watch(
        monitor=monitor,
        paces=paces,
        alerts=watching.Alerts(config.monitor.alerts, run.alerts, config.job.name, kept=kept),
        exposition=Exposition(
            Path(prometheus.textfile) if prometheus.textfile else None, prometheus.port, asdict(heading)
        ),
        failures=Failures(run.failures),
        progress=choose(heading),
    )
