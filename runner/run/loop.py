"""The loop of one life: events of the core, turns of the supervisor, samples, and the two ways to end early.

Ends with the words `finished` or `drained`, or raises. It does NOT open or close anything. Called by run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from runner import log
from runner.errors import StorageError
from runner.run.door import Core
from runner.run.signals import StopRequest
from runner.run.watch import Watch
from runner.supervise import Supervisor
from runner.supervise.converters import Converters

_log = log.get("run")

TURN_MS: Final = 100
"""Longest wait of one turn: how late a signal or a dead worker is seen."""

FORCED_GRACE_S: Final = 0.5
"""Between SIGTERM and SIGKILL of workers when the drain took too long or a second signal came."""

DRAIN_LIMIT_S: Final = 7.5
"""From the first signal until workers are stopped by force: with the close it stays below the 10 s of guarantee G8."""

Ending = Literal["finished", "drained"]


@dataclass(slots=True)
class Loop:
    """What one life needs to go on until its end."""

    core: Core
    supervisor: Supervisor
    converters: Converters
    watch: Watch
    stop: StopRequest
    interval_s: float
    check_folder: Callable[[], None]
    drain_limit_s: float = DRAIN_LIMIT_S
    clock: Callable[[], float] = time.monotonic
    first_ready: float | None = None
    ended: float | None = None
    _drain_since: float | None = None
    _finishing: bool = False
    _forced: bool = False

    def until_end(self) -> Ending:
        """Turns until the core says that it is over. StorageError and RunFailed come through."""
        next_sample = self.clock()
        while True:
            for event in self.core.next_events(TURN_MS):
                ending = self._handle(event)
                if ending is not None:
                    self.ended = self.clock()
                    return ending
            counters = self.core.counters()
            self.supervisor.poll(progress_mark(counters))
            self.converters.poll()
            now = self.clock()
            self._hear(counters)
            self._watch_stop(now)
            if now >= next_sample:
                next_sample = now + self.interval_s
                self._sample(counters, now)

    def sample(self) -> None:
        """One more sample, for the end."""
        self._sample(self.core.counters(), self.clock())

    def _sample(self, counters: dict[str, int], now: float) -> None:
        self.check_folder()
        problem = log.storage_problem()
        if problem is not None:
            raise StorageError.of("cannot write log.jsonl", problem)
        states = [view.state.value for view in self.supervisor.views()]
        self.watch.look(counters, now, states, self._drain_since is not None)

    def _hear(self, counters: dict[str, int]) -> None:
        """Keys of the live view. `d` is a pause until nothing is in a worker any more, and then a stop."""
        for key in self.watch.progress.pressed():
            match key.lower():
                case "p" if not self._finishing:
                    self._pause(not counters["paused"])
                case "d" if not self._finishing:
                    self._finishing = True
                    self._pause(True)
                case "q":
                    self.stop.ask()
        if self._finishing and counters["paused"] and counters["leased"] == 0 and not self.stop.asked:
            self.stop.ask()

    def _pause(self, paused: bool) -> None:
        self.core.pause(paused)
        self.core.setting("run.paused", "true" if paused else "false", "a key of the live view")
        _log.info("run.paused" if paused else "run.continued")

    def worker_is_ready(self) -> None:
        """Called when a worker becomes ready: samples are too far apart to see the first one in a short run."""
        if self.first_ready is None:
            self.first_ready = self.clock()

    def _handle(self, event: dict[str, Any]) -> Ending | None:
        match event["event"]:
            case "finished":
                return "finished"
            case "drained":
                return "drained"
            case "deadline":
                self.supervisor.expired(event["worker"], event["work_id"], event["elapsed_ms"])
            case "channel_broken":
                self.supervisor.broken(event["worker"], event["problem"])
            case "converter_wanted":
                self.converters.wanted(event["seat"])
            case "converter_given_up":
                self.converters.given_up(event["seat"])
            case "storage_failed":
                problem: Exception = event["error"]
                raise problem
            case unknown:
                raise AssertionError(f"the core sent an unknown event {unknown!r}")
        return None

    def _watch_stop(self, now: float) -> None:
        if not self.stop.asked:
            return
        if self._drain_since is None:
            self._drain_since = now
            assert self.stop.first is not None
            _log.info("run.interrupted", signal=self.stop.first.name)
            self.supervisor.drain()
            self.core.drain()
        elif not self._forced and (self.stop.count > 1 or now - self._drain_since > self.drain_limit_s):
            self._forced = True
            self.supervisor.stop(FORCED_GRACE_S)


def progress_mark(counters: dict[str, int]) -> int:
    """A number that grows whenever some work gets finished, however it ends."""
    return counters["prompt_tokens_done"] + counters["ok"] + counters["failed"] + counters["quarantined"]
