"""The parent side of worker processes: started, watched, restarted with back-off within a limit, stopped in time.

One state machine a worker, driven by the run's loop through `poll`; two reader threads a worker only move lines. The
core decides what happens to leases (`died`); this room decides when a process starts and ends. It does NOT know what a
worker computes and never forks: workers are exec'ed with only the descriptors they need. Called by run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Protocol

from runner import log
from runner.config.worker_spec import WorkerSpec
from runner.errors import RunFailed
from runner.supervise.child import Child, event_of, exit_text, spawn, worker_environment

__all__ = ["Policy", "State", "Supervisor", "WorkerCore", "WorkerView", "exit_text", "worker_environment"]

_log = log.get("supervise")

START_DEATHS: Final = 2
"""Restarts of a worker that dies before it is ready: no document can be at fault, and what fails thrice fails again."""


class WorkerCore(Protocol):
    """What supervision needs of `runner._native.Core`."""

    def attach(self, worker: int) -> dict[str, Any]:
        """A fresh channel for this worker: incarnation, channel_fd, control_fd, document_fds."""

    def ready(self, worker: int) -> None:
        """The worker takes leases from now on."""

    def died(self, worker: int, cause: str, charged: bool = True) -> dict[str, int]:
        """After waitpid: the leases left are given back; {"requeued", "quarantined"}. `charged`: attempts count."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Bounds of supervision; each is a key of the config."""

    start_timeout_s: float
    """From exec to `ready`; loading a model is in it."""
    grace_s: float
    """From SIGTERM to SIGKILL: a hard kill may strand wired memory on macOS, so it always comes second."""
    backoff_first_s: float
    backoff_max_s: float
    max_restarts: int
    """Deaths in a row of one worker with nothing finished in between, before it is given up."""


class State(Enum):
    """Where a worker's process stands."""

    WAITING = "waiting"
    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"
    GONE = "gone"


@dataclass(slots=True)
class _Worker:
    number: int
    state: State = State.WAITING
    start_at: float = 0.0
    process: Child | None = None
    kill_at: float = 0.0
    cause: str = ""
    deaths: int = 0
    restarts: int = 0
    progress_at_death: int = -1


@dataclass(frozen=True, slots=True)
class WorkerView:
    """What progress and metrics show of one worker."""

    worker: int
    state: State
    pid: int | None
    restarts: int


class Supervisor:
    """All workers of one run. Not thread-safe: one loop calls it."""

    def __init__(
        self,
        core: WorkerCore,
        workers: int,
        make_spec: Callable[[int, Mapping[str, Any]], WorkerSpec],
        environment: Callable[[int], dict[str, str]],
        policy: Policy,
        *,
        command: tuple[str, ...] = (sys.executable, "-P", "-m", "runner.worker", "serve"),
        on_start: Callable[[int, int], None] | None = None,
        on_ready: Callable[[int, Mapping[str, Any]], None] | None = None,
        on_pace: Callable[[int, Mapping[str, Any]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`make_spec(worker, attachment)`; `on_start(worker, pid)`; `on_ready(worker, fields of the ready line)`;
        `on_pace(worker, fields of a pace line)`."""
        self._core = core
        self._make_spec = make_spec
        self._environment = environment
        self._policy = policy
        self._command = command
        self._on_start = on_start
        self._on_ready = on_ready
        self._on_pace = on_pace
        self._clock = clock
        self._workers = [_Worker(number) for number in range(workers)]
        self._draining = False

    def views(self) -> list[WorkerView]:
        """The workers as they stand."""
        return [
            WorkerView(
                worker.number, worker.state, worker.process.popen.pid if worker.process else None, worker.restarts
            )
            for worker in self._workers
        ]

    def poll(self, progress: int) -> None:
        """One turn: start what is due, take what workers said, reap, enforce times. `progress` is any number that grows
        when work gets finished. RunFailed when no worker is left."""
        now = self._clock()
        for worker in self._workers:
            if worker.process is not None:
                self._hear(worker, worker.process)
                self._enforce(worker, worker.process, now, progress)
            elif worker.state is State.WAITING and not self._draining and now >= worker.start_at:
                self._start(worker, now, progress)

    def expired(self, number: int, work_id: str, elapsed_ms: int) -> None:
        """The core's deadline event: the worker counts as hung; SIGTERM, and SIGKILL after the grace."""
        _log.warning("lease.expired", worker=number, work_id=work_id, elapsed_ms=elapsed_ms)
        self._ask_to_stop(self._workers[number], f"deadline {elapsed_ms} ms")

    def broken(self, number: int, problem: str) -> None:
        """The core's channel_broken event: what this worker sends cannot be trusted, so it gets no grace."""
        worker = self._workers[number]
        _log.warning("channel.broke", worker=number, problem=problem)
        if worker.process is not None:
            worker.state, worker.cause = State.STOPPING, f"channel broken: {problem}"
            worker.process.popen.kill()

    def drain(self) -> None:
        """From now on nothing is started again."""
        self._draining = True

    def stop(self, grace_s: float) -> None:
        """Ends all workers: SIGTERM, up to `grace_s` for all, SIGKILL. Afterwards each is reaped, the core knows."""
        self._draining = True
        running = [(worker, worker.process) for worker in self._workers if worker.process is not None]
        for worker, process in running:
            if worker.state is not State.STOPPING:
                worker.cause = "drained"
            worker.state = State.STOPPING
            process.popen.terminate()
        deadline = self._clock() + grace_s
        for worker, process in running:
            try:
                process.popen.wait(max(0.0, deadline - self._clock()))
            except subprocess.TimeoutExpired:
                _log.warning("worker.killed", worker=worker.number, after_s=grace_s)
                process.popen.kill()
                process.popen.wait()
            self._settle(worker, process)

    # -- one worker --------------------------------------------------------------------------------------------------

    def _start(self, worker: _Worker, now: float, progress: int) -> None:
        attachment = self._core.attach(worker.number)
        inherited = [attachment["channel_fd"], attachment["control_fd"], *attachment["document_fds"]]
        try:
            spec = self._make_spec(worker.number, attachment).to_json()
            worker.process = spawn(self._command, spec, inherited, self._environment(worker.number), now)
        except OSError as error:
            self._core.died(worker.number, f"could not start: {error}", False)
            self._plan_restart(worker, now, progress, f"could not start: {error}", [], starting=True)
            return
        finally:
            for fd in inherited:
                os.close(fd)
        pid = worker.process.popen.pid
        worker.state, worker.cause = State.STARTING, ""
        _log.info("worker.started", worker=worker.number, pid=pid, incarnation=attachment["incarnation"])
        if self._on_start is not None:
            self._on_start(worker.number, pid)

    def _hear(self, worker: _Worker, process: Child) -> None:
        for kind, line in process.take():
            if kind == "stderr":
                process.last_stderr.append(line)
                _log.debug("worker.said", worker=worker.number, line=line)
            else:
                self._message(worker, process, line)

    def _message(self, worker: _Worker, process: Child, line: str) -> None:
        message = event_of(line)
        if message is None:
            process.last_stderr.append(line)
            _log.debug("worker.said", worker=worker.number, line=line)
            return
        event = message["event"]
        if event == "ready" and worker.state is State.STARTING:
            worker.state = State.SERVING
            self._core.ready(worker.number)
            fields = {key: value for key, value in message.items() if key != "event"}
            seconds = round(self._clock() - process.started, 2)
            _log.info("worker.became_ready", worker=worker.number, seconds=seconds)
            if self._on_ready is not None:
                self._on_ready(worker.number, fields)
        elif event == "pace":
            if self._on_pace is not None:
                self._on_pace(worker.number, {key: value for key, value in message.items() if key != "event"})
        elif event == "error":
            process.reported = (str(message.get("problem", line)), str(message.get("cure", "")))
            _log.warning("worker.reported", worker=worker.number, problem=process.reported[0])

    def _enforce(self, worker: _Worker, process: Child, now: float, progress: int) -> None:
        returncode = process.popen.poll()
        if returncode is not None:
            self._reap(worker, process, now, progress)
        elif worker.state is State.STARTING and now - process.started > self._policy.start_timeout_s:
            self._ask_to_stop(worker, f"not ready after {self._policy.start_timeout_s:g} s")
        elif worker.state is State.STOPPING and now >= worker.kill_at:
            _log.warning("worker.killed", worker=worker.number, after_s=self._policy.grace_s)
            process.popen.kill()
            worker.kill_at = now + self._policy.grace_s

    def _ask_to_stop(self, worker: _Worker, cause: str) -> None:
        if worker.process is None or worker.state is State.STOPPING:
            return
        worker.state, worker.cause = State.STOPPING, cause
        worker.kill_at = self._clock() + self._policy.grace_s
        worker.process.popen.terminate()

    def _settle(self, worker: _Worker, process: Child) -> str:
        """After waitpid: last lines, the core told, the slot free. Returns the cause."""
        self._hear(worker, process)
        for thread in process.threads:
            # The pipes are at their end unless a grandchild holds them; a second is plenty for what is left in them.
            thread.join(1.0)
        self._hear(worker, process)
        returncode = process.popen.returncode
        clean = returncode == 0 or (worker.cause == "drained" and returncode in (0, 143, -signal.SIGTERM))
        cause = worker.cause or ("recycled" if clean else f"worker died: {exit_text(returncode)}")
        # What we stopped ourselves for reasons of our own is no fault of the documents it held.
        fate = self._core.died(worker.number, cause, cause not in ("drained", "recycled"))
        fields = {"worker": worker.number, "cause": cause, "exit": exit_text(returncode), **fate}
        if clean:
            _log.info("worker.stopped" if cause == "drained" else "worker.recycled", **fields)
        else:
            _log.warning("worker.died", **fields, last_lines=list(process.last_stderr)[-5:])
        worker.process, worker.cause = None, ""
        worker.state = State.GONE if self._draining else State.WAITING
        return cause

    def _reap(self, worker: _Worker, process: Child, now: float, progress: int) -> None:
        starting = worker.state is State.STARTING
        reported, last_lines = process.reported, process.last_stderr
        recycled = self._settle(worker, process) == "recycled" and not starting
        if self._draining:
            return
        if starting and process.reported is not None:
            reported = process.reported
            self._give_up(worker, reported[0], reported[1])
            return
        if recycled and progress != worker.progress_at_death:
            worker.deaths, worker.progress_at_death, worker.start_at = 0, progress, now
            worker.restarts += 1
            return
        cause = f"{exit_text(process.popen.returncode)}{' while starting' if starting else ''}"
        self._plan_restart(worker, now, progress, reported[0] if reported else cause, list(last_lines), starting)

    def _plan_restart(
        self, worker: _Worker, now: float, progress: int, cause: str, last_lines: list[str], starting: bool
    ) -> None:
        fresh = progress != worker.progress_at_death and not starting
        worker.deaths = 1 if fresh else worker.deaths + 1
        worker.progress_at_death = progress
        if worker.deaths > min(self._policy.max_restarts, START_DEATHS if starting else self._policy.max_restarts):
            shown = "".join(f"\n    {line}" for line in last_lines)
            self._give_up(
                worker,
                f"worker {worker.number} ended {worker.deaths} times in a row ({cause})"
                + (f"; its last lines:{shown}" if shown else ""),
                "`runner doctor` checks model, memory and BLAS; log.jsonl holds all that the worker said",
            )
            return
        wait_s = min(self._policy.backoff_first_s * 2 ** (worker.deaths - 1), self._policy.backoff_max_s)
        worker.state, worker.start_at = State.WAITING, now + wait_s
        worker.restarts += 1
        _log.info("worker.restarted", worker=worker.number, in_s=wait_s, deaths_in_a_row=worker.deaths)

    def _give_up(self, worker: _Worker, problem: str, cure: str) -> None:
        worker.state = State.GONE
        _log.warning("worker.gave_up", worker=worker.number, problem=problem)
        if all(other.state is State.GONE for other in self._workers):
            raise RunFailed(problem, cure)
