"""The bench's end of one measured process: asks for batches, waits with a limit, kills what does not answer.

A reader that hangs or dies is started again behind the file that did it, a few times; then it is given up for good.
Judges no figure. Called by the package.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from runner.bench.ingest.files import Found
from runner.supervise.child import Child, exit_text, spawn

START_S: Final = 120.0
"""For a library that loads a model of its own."""
MOST_DEATHS: Final = 3
_TICK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Reader:
    """Who is measured. `whole`: reads all files in one go, as a run does, and is timed over the pass."""

    name: str
    command: tuple[str, ...]
    spec: Mapping[str, Any]
    environment: Mapping[str, str]
    whole: bool = False


@dataclass(frozen=True, slots=True)
class FileTime:
    """What one file took; zeros in a pass."""

    cpu_s: float
    wall_s: float
    error: str | None
    documents: int = 1


@dataclass(slots=True)
class Turn:
    """One batch, or one pass. Files that were not reached are missing."""

    files: dict[int, FileTime] = field(default_factory=dict)
    cpu_s: float = 0.0
    wall_s: float = 0.0


class UnusableError(Exception):
    """The reader is not there or does not start; `installed` tells which."""

    def __init__(self, reason: str, installed: bool) -> None:
        super().__init__(reason)
        self.installed = installed


class _SilentError(Exception):
    """No line within the time."""


class _GoneError(Exception):
    """The process has ended."""


class Host:
    """One reader over all its processes. Close it."""

    def __init__(self, reader: Reader, file_s: float) -> None:
        self.reader = reader
        self.version = ""
        self.peak_bytes = 0
        self.deaths = 0
        self._file_s = file_s
        self._child: Child | None = None
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
        self._said: deque[str] = deque(maxlen=5)

    @property
    def given_up(self) -> bool:
        """Too many of its processes have died."""
        return self.deaths >= MOST_DEATHS

    def start(self) -> None:
        """A process that is ready for files. Raises UnusableError."""
        ours, theirs = socket.socketpair()
        with theirs:
            spec = json.dumps({**self.reader.spec, "fd": theirs.fileno()})
            command, environment = self.reader.command, self.reader.environment
            self._child = spawn(command, spec, [theirs.fileno()], environment, time.monotonic())
        ours.settimeout(_TICK_S)
        self._socket, self._buffer = ours, bytearray()
        try:
            hello = self._hear(START_S)
        except _SilentError:
            self.close()
            raise UnusableError(f"not ready after {START_S:.0f} s", True) from None
        except _GoneError:
            raise UnusableError(self._end(), True) from None
        if hello.get("ready"):
            self.version = hello["version"]
            return
        self.close()
        raise UnusableError(hello.get("broken", "not installed"), "broken" in hello)

    def read(self, batch: Sequence[Found], texts: str | None) -> Turn:
        """Has the batch read; `texts` is a folder for what came out, or None."""
        turn, rest = Turn(), list(batch)
        while rest and not self.given_up:
            if self._child is None:
                self.start()
            try:
                self._ask(rest, texts, turn)
                break
            except _SilentError:
                reason = f"killed: no answer within {self._file_s:g} s"
            except _GoneError:
                reason = f"died: {self._end()}"
            self.close()
            self.deaths += 1
            rest = [file for file in rest if file.number not in turn.files]
            if rest:
                lost = rest if self.reader.whole else rest[:1]
                turn.files |= {file.number: FileTime(0, 0, reason) for file in lost}
                rest = rest[len(lost) :]
        return turn

    def _ask(self, files: list[Found], texts: str | None, turn: Turn) -> None:
        question = {"files": [file.path for file in files], "numbers": [file.number for file in files], "texts": texts}
        assert self._socket is not None
        try:
            self._socket.sendall(json.dumps(question).encode() + b"\n")
        except OSError as error:
            raise _GoneError from error
        patience = self._file_s * (len(files) if self.reader.whole else 2)  # the first file is read twice
        while not (line := self._hear(patience)).get("done"):
            got = FileTime(line.get("cpu", 0.0), line.get("wall", 0.0), line["error"], line.get("documents", 1))
            turn.files[line["file"]] = got
            turn.cpu_s += got.cpu_s
            turn.wall_s += got.wall_s
        turn.cpu_s += line.get("cpu", 0.0)
        turn.wall_s += line.get("wall", 0.0)
        self.peak_bytes = max(self.peak_bytes, line["peak"])

    def _hear(self, most_s: float) -> dict[str, Any]:
        assert self._socket is not None
        deadline = time.monotonic() + most_s
        while (end := self._buffer.find(b"\n")) < 0:
            self._drain()
            try:
                data = self._socket.recv(1 << 16)
            except TimeoutError:
                if time.monotonic() >= deadline:
                    raise _SilentError from None
                continue
            except OSError as error:
                raise _GoneError from error
            if not data:
                raise _GoneError
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        message: dict[str, Any] = json.loads(line)
        return message

    def _drain(self) -> None:
        """Takes what it printed: a full pipe would make it wait, and look hung."""
        if self._child is not None:
            self._said += [line for _, line in self._child.take()]

    def _end(self) -> str:
        """How it ended, and what it said last. Its socket is closed, so it is dead or about to be killed."""
        child = self._child
        self.close()
        assert child is not None
        return "; ".join([exit_text(child.popen.returncode), *list(self._said)[-1:]])

    def close(self) -> None:
        """Ends the process and everything that it started."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._child is not None:
            # A healthy one ends by itself when its socket closes; its own children have no other reason to.
            with suppress(ProcessLookupError):
                os.killpg(self._child.popen.pid, signal.SIGKILL)
            self._child.popen.wait()
            self._drain()
            self._child = None
