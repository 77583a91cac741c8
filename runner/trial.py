"""One fresh runner process with overrides, its exit code and its summary: the only way that a sweep and all
experiments start a run.

A killed or crashing run is a number here, never an exception; memory, GPU and tuning state cannot leak from one run
to the next. Does not decide what to run or what a failure means. Called by sweep,
prove, bench and plan.
"""

import json
import math
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from runner.errors import EXIT_SIGTERM, RunFailed
from runner.layout import PACKAGE, RunFolder

STOP_S = 30.0
"""Seconds a run gets to drain after SIGTERM: three times what it promises."""

TURN_S = 0.2
"""Seconds between two looks whether a run is to stop."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How one run ended. A negative `exit_code` is the signal that killed it. `cpu_s`: of the run and its workers."""

    exit_code: int
    seconds: float
    cpu_s: float
    summary: dict[str, Any] | None


def run(
    overrides: Sequence[str],
    folder: Path,
    console: Path,
    most_s: float | None = None,
    *,
    keep: Sequence[int] = (),
    build: Path = PACKAGE.parent,
    stop: Callable[[], bool] | None = None,
) -> Trial:
    """Runs with `folder` as run folder; stdout and stderr go to `console`. When this process is interrupted, after
    `most_s`, and when `stop()` turns true, the run is asked to drain and waited for. `keep`: descriptors that the run
    holds until it ends; `build`: the folder that `runner` is imported from."""
    words = [*overrides, f"output.run_dir={folder}", "output.reuse=never"]
    return _start(words, folder, console, most_s, keep=keep, build=build, stop=stop)


def go_on(folder: Path, console: Path, stop: Callable[[], bool] | None = None) -> Trial:
    """`runner resume` of a run that was begun and is not finished; the rest as `run`."""
    return _start(["resume", str(folder)], folder, console, None, stop=stop)


def _start(
    words: Sequence[str],
    folder: Path,
    console: Path,
    most_s: float | None,
    *,
    keep: Sequence[int] = (),
    build: Path = PACKAGE.parent,
    stop: Callable[[], bool] | None = None,
) -> Trial:
    command = [sys.executable, "-P", "-m", "runner", *words]
    started, cpu = time.monotonic(), _cpu_s()
    with console.open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment_of(build), pass_fds=tuple(keep)
        )
        try:
            code = process.wait(most_s) if stop is None else _wait(process, most_s, stop)
        except subprocess.TimeoutExpired:
            code = _stop(process)
        except BaseException:
            _stop(process)
            raise
    return Trial(code, round(time.monotonic() - started, 3), round(_cpu_s() - cpu, 3), _summary(folder))


def become(words: Sequence[str]) -> NoReturn:
    """This process goes on as `runner WORDS`, with the same terminal and process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-P", "-m", "runner", *words], environment_of(PACKAGE.parent))


def environment_of(build: Path) -> dict[str, str]:
    """Ours, with the `runner` of that folder in front."""
    environment = dict(os.environ)
    paths = [str(build), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return environment


def _cpu_s() -> float:
    """Of all children that have ended: one trial at a time is what this room starts."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _wait(process: "subprocess.Popen[bytes]", most_s: float | None, stop: Callable[[], bool]) -> int:
    until = math.inf if most_s is None else time.monotonic() + most_s
    while not stop() and time.monotonic() < until:
        try:
            return process.wait(TURN_S)
        except subprocess.TimeoutExpired:
            continue
    return _stop(process)


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


class Served:
    """A script under a build that answers a line of JSON with a line of JSON, until closed."""

    def __init__(self, script: Path, build: Path, first: dict[str, Any]) -> None:
        self._said = ""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            env=environment_of(build), text=True,
        )  # fmt: skip
        self.ask(first)

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """RunFailed with its last words when it has ended instead."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.close()
            raise RunFailed(
                f"the measured process ended: {self._said}", "is this build whole, and its interface the same?"
            )
        found = json.loads(answer)
        assert isinstance(found, dict)
        return found

    def close(self) -> None:
        """Ends the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if not self._log.closed:
            self._log.seek(0)
            lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
            self._said = lines[-1][:300] if lines else "it said nothing"
            self._log.close()


def command(words: Sequence[str], cwd: Path, console: Path) -> int:
    """`runner WORDS` in a folder, to its end; the exit code."""
    with console.open("ab") as log:
        return subprocess.run(
            [sys.executable, "-P", "-m", "runner", *words], cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=environment_of(PACKAGE.parent),
        ).returncode  # fmt: skip


def killed(words: Sequence[str], cwd: Path, console: Path, when: Callable[[], bool]) -> int:
    """`runner WORDS`, killed as soon as `when()` is true; its exit code, negative when it was still alive then."""
    with console.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "runner", *words], cwd=cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env=environment_of(PACKAGE.parent),
        )  # fmt: skip
        while process.poll() is None and not when():
            time.sleep(0.005)
        process.kill()
        return process.wait()


def output(words: Sequence[str], cwd: Path) -> tuple[int, bytes]:
    """A command of the system (git): exit code and what it printed; 127 when there is none."""
    try:
        done = subprocess.run(words, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True)
    except FileNotFoundError:
        return 127, b""
    return done.returncode, done.stdout
