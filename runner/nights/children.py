"""The processes of a night: the run, stopped in time, and what keeps the machine awake meanwhile.

The run inherits the night's lock, so that a night that is killed leaves the schedule locked until its run has ended,
too. Does not decide what runs. Called by night.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from runner.layout import PACKAGE
from runner.store.files import storage

Cause = Literal["", "budget", "timeout", "signal"]

DRAIN_LIMIT_S: Final = 60.0
"""From the request to drain until the run is killed: six times what it promises."""

TURN_S: Final = 0.2


class Process(Protocol):
    """What is needed of a subprocess.Popen."""

    pid: int

    def poll(self) -> int | None:
        """The exit status, None while it runs."""

    def send_signal(self, sig: int) -> None:
        """As os.kill, and nothing when it has ended."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit status."""


@dataclass(frozen=True, slots=True)
class Launch:
    """One run as a process: words behind `runner`, where, with what, and where its text goes."""

    words: tuple[str, ...]
    cwd: Path
    environment: Mapping[str, str]
    console: Path
    lock_fd: int


Start = Callable[[Launch], Process]


def start(launch: Launch) -> Process:
    """`runner WORDS`, in a group of its own: a signal for the night is passed on by the night."""
    paths = [str(PACKAGE.parent), *filter(None, launch.environment.get("PYTHONPATH", "").split(os.pathsep))]
    environment = {**launch.environment, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
    with storage(f"cannot write {launch.console}"):
        console = launch.console.open("ab")
    with console:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "runner", *launch.words],
            cwd=launch.cwd, env=environment, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
            pass_fds=(launch.lock_fd,), process_group=0,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """`stop_at` and `fail_at` on the clock of `now`; None = no such limit."""

    stop_at: float | None
    fail_at: float | None
    now: Callable[[], float]
    asked: Callable[[], bool]


def wait(process: Process, limits: Limits, pause: Callable[[float], None] = time.sleep) -> tuple[int, Cause]:
    """The exit status, and what made us stop it. A run that does not drain within its limit is killed."""
    cause: Cause = ""
    drained_since = 0.0
    while (code := process.poll()) is None:
        now = limits.now()
        if not cause:
            if limits.asked():
                cause = "signal"
            elif limits.fail_at is not None and now >= limits.fail_at:
                cause = "timeout"
            elif limits.stop_at is not None and now >= limits.stop_at:
                cause = "budget"
            if cause:
                process.send_signal(signal.SIGTERM)
                drained_since = time.monotonic()
        elif time.monotonic() - drained_since > DRAIN_LIMIT_S:
            process.send_signal(signal.SIGKILL)
        pause(TURN_S)
    return code, cause


@contextmanager
def awake(why: str) -> Iterator[str]:
    """Keeps the machine (never the display) from sleeping while the block runs; the value is a note when it cannot.

    The helper ends with us, however we end: caffeinate watches our pid, the other one reads our pipe.
    """
    if sys.platform == "darwin":
        command = ["caffeinate", "-is", "-w", str(os.getpid())]
    else:
        command = ["systemd-inhibit", "--what=sleep:idle", "--who=runner", f"--why={why}", "--mode=block", "cat"]
    if shutil.which(command[0]) is None:
        yield f"keep_awake unsupported here: there is no {command[0]}"
        return
    helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        try:
            code = helper.wait(0.3)  # refused at once, or holding
        except subprocess.TimeoutExpired:
            yield ""
        else:
            assert helper.stderr is not None
            said = helper.stderr.read().decode(errors="replace").strip().splitlines()
            yield f"keep_awake unsupported here: {said[0] if said else f'{command[0]}: exit status {code}'}"
    finally:
        helper.terminate()
        helper.communicate()
