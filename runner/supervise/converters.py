"""Extract workers from the parent's side: started when an extract thread of the core asks, reaped, ended on its word.

The core decides what a file is owed (a second try, a reason) and when a worker is given up; here a process is a
process. It does NOT read what they answer and knows no format. Called by run's loop.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from runner import log
from runner.supervise.child import Child, event_of, exit_text, spawn

_log = log.get("supervise")

REAP_S: Final = 1.0
"""For the reader threads of a dead process; its pipes are at their end unless a grandchild holds them."""


class ConverterCore(Protocol):
    """What this needs of `runner._native.Core`."""

    def attach_converter(self, seat: int) -> dict[str, int]:
        """Descriptors for a process on this seat: input_fd, output_fd, control_fd."""

    def converter_died(self, seat: int, cause: str) -> None:
        """After waitpid."""

    def converter_cannot_start(self, seat: int, problem: str) -> None:
        """No process can be had: the files of this seat fail with this reason."""


@dataclass(slots=True)
class _Converter:
    process: Child
    ready: bool = False


class Converters:
    """All extract workers of one run, one a seat."""

    def __init__(
        self,
        core: ConverterCore,
        make_spec: Callable[[Mapping[str, int]], str],
        environment: Mapping[str, str],
        command: Sequence[str],
        on_start: Callable[[int, int], None] | None = None,
        on_ready: Callable[[int, Mapping[str, Any]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._core = core
        self._make_spec = make_spec
        self._environment = environment
        self._command = command
        self._on_start = on_start
        self._on_ready = on_ready
        self._clock = clock
        self._running: dict[int, _Converter] = {}

    def wanted(self, seat: int) -> None:
        """The core's event: a thread waits for a process on this seat; it has heard of the end of the one before."""
        assert seat not in self._running, f"extract worker {seat} is still running"
        ends = self._core.attach_converter(seat)
        inherited = [ends["input_fd"], ends["output_fd"], ends["control_fd"]]
        try:
            process = spawn(self._command, self._make_spec(ends), inherited, self._environment, self._clock())
        except OSError as error:
            self._core.converter_cannot_start(seat, f"could not start: {error}")
            return
        finally:
            for fd in inherited:
                os.close(fd)
        self._running[seat] = _Converter(process)
        _log.info("converter.started", seat=seat, pid=process.popen.pid)
        if self._on_start is not None:
            self._on_start(seat, process.popen.pid)

    def given_up(self, seat: int) -> None:
        """The core's event: this one is too slow, or sends what cannot be true. `poll` reaps it and tells its end; one
        that has ended meanwhile was told already, and a second death would be taken for that of the next one."""
        if (converter := self._running.get(seat)) is not None:
            _log.warning("converter.killed", seat=seat)
            converter.process.popen.kill()

    def poll(self) -> None:
        """One turn: what they said, and who has ended."""
        for seat, converter in list(self._running.items()):
            self._hear(seat, converter)
            if converter.process.popen.poll() is not None:
                self._reap(seat, converter)

    def stop(self) -> None:
        """Ends all: they hold nothing that is not made again."""
        for seat, converter in list(self._running.items()):
            converter.process.popen.kill()
            converter.process.popen.wait()
            self._reap(seat, converter, stopping=True)

    def _hear(self, seat: int, converter: _Converter) -> None:
        for kind, line in converter.process.take():
            message = event_of(line) if kind == "stdout" else None
            if message is None:
                converter.process.last_stderr.append(line)
                _log.debug("converter.said", seat=seat, line=line)
            elif message["event"] == "ready" and not converter.ready:
                converter.ready = True
                fields = {key: value for key, value in message.items() if key != "event"}
                if self._on_ready is not None:
                    self._on_ready(seat, fields)
            elif message["event"] == "error":
                converter.process.reported = (str(message.get("problem", line)), str(message.get("cure", "")))

    def _reap(self, seat: int, converter: _Converter, stopping: bool = False) -> None:
        process = converter.process
        for thread in process.threads:
            thread.join(REAP_S)
        self._hear(seat, converter)
        del self._running[seat]
        end = exit_text(process.popen.returncode)
        lines = list(process.last_stderr)[-5:]
        if stopping or process.popen.returncode == 0:
            _log.info("converter.stopped", seat=seat, exit=end)
            self._core.converter_died(seat, end)
        elif converter.ready:
            _log.warning("converter.died", seat=seat, exit=end, last_lines=lines)
            self._core.converter_died(seat, end)
        else:
            problem = process.reported[0] if process.reported else "; ".join([f"{end} while starting", *lines])
            _log.warning("converter.died", seat=seat, exit=end, last_lines=lines)
            self._core.converter_cannot_start(seat, problem)
