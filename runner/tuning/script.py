"""One call of a tuning script: its verb, its one JSON line, its exit code, checked against each other.

Knows the contract of tuning/lib.sh and no step by name. Called by system.py.
"""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runner import layout
from runner.errors import TuningError

Verb = Literal["status", "apply", "verify", "revert", "facts"]

TIMEOUT_S = 30
"""A call takes about 10 ms; a script that hangs must not hang the run."""

FOLDERS = {"linux": "linux", "darwin": "macos"}
EXIT_STATES = {0: ("ok", "applied", "reverted"), 1: ("failed",), 3: ("unsupported",), 4: ("needs_privilege",)}
EXIT_STATES |= {5: ("differs",), 6: ("conflict",)}


@dataclass(frozen=True, slots=True)
class Report:
    """What the script said. `state` fits the exit code, or the call raised."""

    step: str
    state: str
    value: str
    detail: str
    touches: tuple[str, ...]


def known_scripts(folder: Path | None = None) -> dict[str, str]:
    """Path below tuning/, as `tuning.steps` names it, -> the system it is for ("linux" or "darwin")."""
    root = folder or layout.tuning_dir()
    return {
        p.relative_to(root).as_posix(): system for system, name in FOLDERS.items() for p in root.glob(f"{name}/*.sh")
    }


def call(script: str, verb: Verb, value: str = "", *, folder: Path | None = None, keep: Sequence[int] = ()) -> Report:
    """Runs `script` (a path below tuning/). `keep`: descriptors it inherits, so that the lock outlives a killed runner.

    TuningError when the script breaks its contract: no JSON line, or a state that is not its exit code's.
    """
    path = (folder or layout.tuning_dir()) / script
    command = ["/bin/sh", str(path), verb, *([value] if value else [])]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, pass_fds=keep, stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise TuningError(
            f"tuning/{script} {verb} did not end within {TIMEOUT_S} s", f"run it by hand: {path} {verb}"
        ) from error
    except OSError as error:
        raise TuningError(f"tuning/{script} cannot be run: {error.strerror}", "reinstall runner") from error
    return _parsed(script, verb, done)


def _parsed(script: str, verb: Verb, done: "subprocess.CompletedProcess[str]") -> Report:
    try:
        line = json.loads(done.stdout)
        report = Report(line["step"], line["state"], line["value"], line["detail"], tuple(line["touches"]))
    except (ValueError, KeyError, TypeError) as error:
        said = (done.stderr or done.stdout).strip()[-300:]
        raise TuningError(
            f"tuning/{script} {verb} ended with {done.returncode} and no report: {said or 'no output'}",
            "a wrong value ends with 2: see the Usage line of the script",
        ) from error
    if report.state not in EXIT_STATES.get(done.returncode, ()):
        raise TuningError(
            f"tuning/{script} {verb} reports '{report.state}' and exits {done.returncode}; they contradict each other",
            "the script breaks the contract in tuning/lib.sh",
        )
    return report
