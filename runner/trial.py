"""One fresh runner process with overrides, its exit code and its summary: the only way that a sweep and all
experiments start a run.

A killed or crashing run is a number here, never an exception; memory, GPU and tuning state cannot leak from one run
to the next. Does not decide what to run or what a failure means. Called by sweep,
prove, bench and plan.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from runner.errors import EXIT_SIGTERM
from runner.layout import PACKAGE, RunFolder

STOP_S = 30.0
"""Seconds a run gets to drain after SIGTERM: three times what it promises."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How one run ended. A negative `exit_code` is the signal that killed it. `cpu_s`: of the run and its workers."""

    exit_code: int
    seconds: float
    cpu_s: float
    summary: dict[str, Any] | None


def run(overrides: Sequence[str], folder: Path, console: Path, most_s: float | None = None) -> Trial:
    """Runs with `folder` as run folder; stdout and stderr go to `console`. When this process is interrupted, and after
    `most_s`, the run is asked to drain and waited for."""
    command = [sys.executable, "-P", "-m", "runner", *overrides, f"output.run_dir={folder}", "output.reuse=never"]
    environment = dict(os.environ)
    paths = [str(PACKAGE.parent), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    started, cpu = time.monotonic(), _cpu_s()
    with console.open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        try:
            code = process.wait(most_s)
        except subprocess.TimeoutExpired:
            code = _stop(process)
        except BaseException:
            _stop(process)
            raise
    return Trial(code, round(time.monotonic() - started, 3), round(_cpu_s() - cpu, 3), _summary(folder))


def _cpu_s() -> float:
    """Of all children that have ended: one trial at a time is what this room starts."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _stop(process: "subprocess.Popen[bytes]") -> int:
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _summary(folder: Path) -> dict[str, Any] | None:
    """None when the run did not get as far as its summary."""
    try:
        data = json.loads(RunFolder(folder).summary.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) else None


class _Stopped(BaseException):
    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """SIGTERM becomes an exception while trials run, so that the one under way is drained; then exit 143."""

    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        raise _Stopped(EXIT_SIGTERM)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except _Stopped as stopped:
        raise SystemExit(stopped.exit_code) from None
    finally:
        signal.signal(signal.SIGTERM, before)
