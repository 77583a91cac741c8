"""The life of one run, start to end: `execute(config, machine)` returns the exit code.

Resolves the model, asks the core what there is to do, opens the folder, runs workers until the core says that it is
over, and closes everything in every case. It does NOT compose configs (config does) and starts no process itself
(supervise does). Called by cli and by the resume command.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

from runner import layout, log, models
from runner.config.given import path_list, shown
from runner.config.schema import RunnerConfig
from runner.errors import EXIT_OK, EXIT_SIGINT, BusyError, RunnerError, UsageError
from runner.layout import RunFolder
from runner.machine import Machine
from runner.monitor import Monitor
from runner.run import closing, facts, fitting, inputs, keep, pools, settings, summary
from runner.run.door import core_errors, make_core
from runner.run.life import Plan, make_loop, record_settings
from runner.run.loop import FORCED_GRACE_S, Ending, Loop
from runner.run.signals import Stopped, StopRequest
from runner.store import chat, folder, reasons
from runner.store.files import storage
from runner.store.locks import DeviceLock, FileLock
from runner.tuning.scopes import Tuned, tuned

_log = log.get("run")

STOP_GRACE_S: Final = 5.0
"""For idle workers at the end of a run: they only have to notice SIGTERM."""


def execute(config: RunnerConfig, machine: Machine, resume: RunFolder | None = None, as_json: bool = False) -> int:
    """Runs the batch; `resume` goes on in an existing folder. Returns the exit code; RunnerError for the user's and the
    world's faults, which the command line prints. `as_json`: the end on stdout is summary.json, not lines."""
    log.configure(config.log.level)
    _say(summary.first_line(config))
    for line in (*summary.fitted_lines(config), *summary.note_lines(config)):
        _say(line)
    with StopRequest() as stop:
        device = _device(config, machine)
        if device is not None and not device.acquire(
            f"{config.job.name} run", config.on_busy, lambda: stop.asked, _waits
        ):
            if stop.asked:
                return stop.exit_code
            _say(f"skipped: {device.name} is in use by {device.holders()} (on_busy=skip)")
            return EXIT_OK
        try:
            try:
                with stop.at_once():
                    plan = _prepare(config, machine, resume, as_json)
            except Stopped:
                _say("stopped before the run began; no run folder was made")
                return stop.exit_code
            if plan.survey["nothing_to_do"] and config.output.unchanged == "skip":
                _unmake(plan)
                _say(summary.nothing_to_do_line(plan.survey))
                if as_json:
                    print(summary.nothing_to_do_json(plan.survey))
                return EXIT_OK
            if stop.asked:
                _unmake(plan)
                return stop.exit_code
            _say(summary.why_line(plan.survey))
            return _live(plan, stop)
        finally:
            if device is not None:
                device.release()


def _unmake(plan: Plan) -> None:
    """A run that does not begin leaves no folder."""
    if plan.made:
        inputs.discard(plan.run)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _waits(holders: str) -> None:
    _log.info("device.waited", holders=holders)


def _device(config: RunnerConfig, machine: Machine) -> DeviceLock | None:
    """The lock of the device that the engine computes on; the scripted engine computes on none."""
    if config.model.engine == "scripted":
        return None
    if machine.metal:
        return DeviceLock.metal(layout.device_lock_file("metal"))
    threads = config.cores.workers * config.cores.threads_per_worker
    return DeviceLock.cpu(lambda slot: layout.device_lock_file(f"cpu-{slot}"), machine.physical_cores, threads)


def _prepare(config: RunnerConfig, machine: Machine, resume: RunFolder | None, as_json: bool) -> Plan:
    """Model, prompt and survey; writes nothing into outputs but the copies of what can be read only once."""
    cache = models.cache_dir()
    with storage(f"cannot use the model or its cache {cache}"):
        model = models.resolve(settings.model_choice(config.model), cache)
        config, left_out = keep.proven_only(config, facts.live_facts(config, machine, model))
        workers = fitting.workers_here(config, model)
        prompt = models.render_prompt(
            model, config.job.system_prompt, config.model.enable_thinking, config.job.answer_prefix
        )
    for line in filter(None, (*left_out, fitting.fitted_line(config, model, workers))):
        _say(line)
    outputs = Path(config.output.dir)
    resumed = folder.read_identity(resume) if resume is not None else None
    run_id = resumed.run_id if resumed else layout.new_id()
    if resume is not None:
        run = resume
    elif config.output.run_dir is not None:
        run = RunFolder(Path(config.output.run_dir))
    else:
        run = RunFolder(layout.new_run_dir(outputs, config.job.name, config.profile.label, time.time(), run_id))
    wanted = settings.core_settings(
        config, model, prompt, run_id=run_id, run_dir=str(run.root), index_path=str(layout.index_file(outputs))
    )
    folder.make_outputs(outputs)
    with inputs.kept(config, run, resume is not None) as made:
        with core_errors():
            core = make_core(json.dumps(wanted))
            survey = core.survey()
        _check_survey(config, survey)
        key = facts.answers_key(config, model, prompt)
        return Plan(config, machine, model, core, survey, run, run_id, resumed, as_json, workers, key, made)


def _check_survey(config: RunnerConfig, survey: Mapping[str, Any]) -> None:
    """A run of no file is a mistake; on a list a path that cannot be read is a row, and rows enough."""
    left = survey["rejected"]
    if survey["files"] > 0 or (left and path_list(config.ingest) is not None):
        return
    raise UsageError(
        f"no files to process in {shown(config)}: none passes ingest.include, exclude and ignore files"
        + (f"; {left} paths there are links or cannot be read" if left else ""),
        "check the path, or widen ingest.include / ingest.hidden / ingest.ignore_files"
        + (" / ingest.follow_links" if left else ""),
    )


def _live(plan: Plan, stop: StopRequest) -> int:
    """One life in the folder, under its lock."""
    outputs = Path(plan.config.output.dir)
    if plan.resumed is None and not plan.made:
        folder.create(outputs, plan.run)
    lock = FileLock(plan.run.lock)
    if not lock.acquire(f"run {plan.run_id}"):
        raise BusyError(f"{plan.run.root} is in use by {lock.holder()}", "wait for it to end; one writer a run folder")
    try:
        identity = _identity(plan)
        folder.write_identity(plan.run, identity)
        try:
            return _in_folder(plan, identity, stop)
        except RunnerError as error:
            closing.failed(plan.run, identity, error)
            raise
        finally:
            closing.draw(plan.run, plan.config)
    finally:
        log.detach()
        lock.release()


def _identity(plan: Plan) -> folder.RunIdentity:
    config = plan.config
    now: dict[str, Any] = {"status": "running", "pid": os.getpid(), "boot_id": plan.machine.boot_id, "problem": ""}
    if plan.resumed is not None:
        lives = plan.resumed.incarnation + 1
        return replace(plan.resumed, **now, exit_code=None, ended_at=None, incarnation=lives)
    return folder.RunIdentity(
        schema_version=folder.RUN_SCHEMA_VERSION,
        run_id=plan.run_id,
        exit_code=None,
        job=config.job.name,
        profile=config.profile.label,
        model=config.model.name,
        argv=tuple(sys.argv),
        inputs=config.inputs,
        started_at=folder.now_text(),
        ended_at=None,
        incarnation=1,
        runner_version=facts.runner_version(),
        cwd=str(Path.cwd()),
        overrides=config.overrides,
        **now,
    )


def _in_folder(plan: Plan, identity: folder.RunIdentity, stop: StopRequest) -> int:
    config, run, started = plan.config, plan.run, time.monotonic()
    with storage(f"cannot open {run.log}"):
        log.attach(run.log, plan.run_id)
    if plan.resumed is None:
        folder.write_config(run, config.composed_yaml)
    environment = facts.environment(config, plan.machine, plan.model, plan.workers)
    folder.write_environment(run, environment)
    if not layout.is_job_of_sweep(Path(config.output.dir), run.root):
        folder.point_latest(Path(config.output.dir), run)
    monitor = Monitor(run.metrics, started, plan.machine)
    with tuned(
        config.tuning, os.environ, run=plan.run_id, boot_id=plan.machine.boot_id, system=sys.platform, mirror=run.tuning
    ) as tuning:
        loop = make_loop(plan, monitor, stop, tuning)
        try:
            ending, closed, before = _work(plan, loop, tuning)
        finally:
            loop.watch.close()
    with storage(f"cannot remove {run.root / 'tmp'}"):
        shutil.rmtree(run.root / "tmp")
    return _finish(plan, identity, loop, ending, closed, before, started, stop)


def _work(plan: Plan, loop: Loop, tuning: Tuned) -> tuple[Ending, dict[str, Any], Mapping[str, int]]:
    """The core opened, the loop, then workers and core closed in this order, whatever happened in the loop. A failed
    close never hides the failure that came before it. Also comes back what earlier lives had finished."""
    with core_errors():
        opened = plan.core.open(plan.machine.boot_id)
        before = reasons.ended(plan.run)
        record_settings(plan, tuning)
        plan.core.start()
    event = "run.resumed" if opened["resumed"] else "run.opened"
    _log.info(event, folder=str(plan.run.root), outstanding=opened["outstanding"])
    failure: RunnerError | None = None
    ending: Ending = "drained"
    try:
        with core_errors():
            ending = loop.until_end()
        loop.sample()  # while the workers are there to be read
    except RunnerError as error:
        failure = error
        plan.core.drain()
    loop.supervisor.stop(FORCED_GRACE_S if failure else STOP_GRACE_S)
    loop.converters.stop()
    try:
        with core_errors():
            closed = plan.core.close()
    except RunnerError:
        if failure is not None:
            raise failure from None
        raise
    if failure is not None:
        raise failure
    loop.sample()
    return ending, closed, before


def _finish(
    plan: Plan,
    identity: folder.RunIdentity,
    loop: Loop,
    ending: Ending,
    closed: Mapping[str, Any],
    before: Mapping[str, int],
    started: float,
    stop: StopRequest,
) -> int:
    config, run = plan.config, plan.run
    counts = plan.core.counters()
    now = time.monotonic()
    # Up to the last commit: stopping the workers is none of the documents' time.
    working_s = (loop.ended or now) - loop.first_ready if loop.first_ready is not None else 0.0
    timing = summary.Timing(now - started, working_s)
    peaks = loop.watch.monitor.peak_rss
    built = summary.build(config, plan.machine, closed, counts, before, plan.workers, timing, peaks)
    if config.job.export_chat and ending == "finished":
        exported = chat.export(run)
        built["chat"] = {"pairs": exported.pairs, "results": exported.results, "without_pairs": exported.without_pairs}
        _log.info("results.exported", file=run.chat.name, pairs=exported.pairs, without_pairs=exported.without_pairs)
    ended = reasons.tally(run)
    why = built["reasons"] = ended.reasons
    watch = loop.watch
    built["prefix"], built["thinking"] = watch.paces.prefix(), watch.paces.thinking()
    built["memory"] = pools.of_run(config, plan.model, plan.workers, watch.monitor, counts["rust_peak_bytes"])
    built["alerts"], built["monitoring"] = watch.alerts.summary(), watch.summary()
    built["pace"] = {**watch.paces.summary(), **plan.pace_of(), "answers": asdict(ended.answers)}
    folder.write_summary(run, built)
    if plan.as_json:
        print(json.dumps({**built, "folder": str(run.root)}, indent=2, ensure_ascii=False))
    else:
        print("\n".join(summary.end_lines(built, str(run.root), why)))
    if ending == "drained":
        code = stop.exit_code if stop.asked else EXIT_SIGINT
        folder.close_identity(run, identity, "interrupted", code)
        _log.info("run.drained", open=built["open"])
        _say(f"stopped; `runner resume {plan.run_id}` goes on")
        return code
    code = summary.exit_code(counts, config.job.max_failed)
    folder.close_identity(run, identity, "finished", code)
    _log.info("run.finished", exit_code=code)
    return code
