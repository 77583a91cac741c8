"""Asks an exec'ed worker for one answer: a JSON object goes to its stdin, JSON lines come back.

Does not supervise long-lived workers (runner.supervise does). Used for convert, describe, render, pull,
measure-blas and confine, so that this process never imports mlx, transformers or huggingface_hub.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.errors import RunFailed, UsageError

Say = Callable[[str], None]


def say_on_stderr(text: str) -> None:
    """The default progress line: stderr, since stdout is the result."""
    print(text, file=sys.stderr, flush=True)


def ask(
    verb: str,
    spec: Mapping[str, Any],
    *,
    say: Say = say_on_stderr,
    env: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
) -> dict[str, Any]:
    """The worker's `result` event. A worker's `error` event becomes UsageError; a worker that dies, RunFailed."""
    # `python -P` keeps the current folder off the path: a checkout that is not installed must find the package too.
    package = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-P", "-m", "runner.worker", verb]
    return _converse(f"the worker's {verb}", command, spec, {**os.environ, **package, **(env or {})}, say, timeout_s)


def ask_script(python: str, script: Path, spec: Mapping[str, Any], say: Say = say_on_stderr) -> dict[str, Any]:
    """The same, of a script that imports nothing of this package, in an interpreter that has what it needs."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return _converse(f"{script.name} in {python}", [python, "-P", str(script)], spec, environment, say, None)


def _converse(
    who: str,
    command: Sequence[str],
    spec: Mapping[str, Any],
    environment: Mapping[str, str],
    say: Say,
    timeout_s: float | None,
) -> dict[str, Any]:
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None,
        text=True,
        encoding="utf-8",
        # Ctrl-C on the terminal is for the runner, which ends this child; it must not show a trace of its own.
        process_group=0,
        env=environment,
    ) as process:
        try:
            stdout, _ = process.communicate(json.dumps(spec) + "\n", timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            process.kill()
            raise RunFailed(
                f"{who} did not answer within {timeout_s} s", "see stderr above; run `runner doctor`"
            ) from error
        except BaseException:
            process.kill()
            raise
    return _answer(who, stdout, process.returncode, say)


def _answer(who: str, stdout: str, status: int, say: Say) -> dict[str, Any]:
    result: dict[str, Any] | None = None
    for line in stdout.splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        match event.get("event"):
            case "result":
                result = event
            case "progress":
                say(str(event.get("text", "")))
            case "error":
                raise UsageError(str(event["problem"]), str(event["cure"]))
    if result is None or status != 0:
        raise RunFailed(
            f"{who} ended with status {status} and no answer",
            "its messages are above; `runner doctor` checks the installation",
        )
    return result
