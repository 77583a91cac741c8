"""One call of a tuning script: its verb, its one JSON line, its exit code, checked against each other.

Knows the contract of tuning/lib.sh and no step by name. Called by system.py.
"""

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
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


INSTALLED = Path("/usr/local/libexec/runner/tuning")
"""Copies that `sudo -n` may run: root's own, since a script that its user can change is root for everybody."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the script said. `state` fits the exit code, or the call raised. `step` has the item in its spelling."""

    step: str
    state: str
    value: str
    detail: str
    touches: tuple[str, ...]
    sides: tuple[str, ...] = ()
    lasting: bool = False


def known_scripts(folder: Path | None = None) -> dict[str, tuple[str, str]]:
    """Name, as `tuning.steps` has it -> (path below tuning/, the system it is for: "linux" or "darwin")."""
    root = folder or layout.tuning_dir()
    return {
        p.stem: (p.relative_to(root).as_posix(), system)
        for system, name in FOLDERS.items()
        for p in sorted(root.glob(f"{name}/*.sh"))
    }


def call(step: str, verb: Verb, value: str = "", *, folder: Path | None = None, keep: Sequence[int] = ()) -> Report:
    """Runs the script of `step` (its name, or `name:item`). `keep`: descriptors it inherits, so that the lock outlives
    a killed runner. What needs a privilege is tried once more through `sudo -n` where an installed copy stands.

    TuningError when the script breaks its contract: no JSON line, or a state that is not its exit code's.
    """
    name, _, item = step.partition(":")
    root = folder or layout.tuning_dir()
    script = next(path for each in FOLDERS.values() if (root / (path := f"{each}/{name}.sh")).is_file())
    words = [verb, *([item] if item else []), *([value] if value else [])]
    report = _parsed(script, verb, _run(script, ["/bin/sh", str(root / script), *words], keep))
    if report.state != "needs_privilege" or os.environ.get("TUNE_ROOT") or not _trusted(INSTALLED / script):
        return report
    try:
        return _parsed(script, verb, _run(script, ["sudo", "-n", str(INSTALLED / script), *words], ()))
    except TuningError as error:  # sudo would have asked for a password
        return replace(report, detail=f"{report.detail}; sudo -n: {error.problem}")


def _trusted(path: Path) -> bool:
    """Whether root alone can change this script, the library that it reads and every folder above."""
    if shutil.which("sudo") is None:
        return False
    try:
        found = [place.lstat() for place in (path, INSTALLED / "lib.sh", *path.parents)]
    except OSError:
        return False
    return all(each.st_uid == 0 and not each.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for each in found)


def _run(script: str, command: list[str], keep: Sequence[int]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, pass_fds=keep, stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise TuningError(
            f"tuning/{script} did not end within {TIMEOUT_S} s", f"run it by hand: {' '.join(command)}"
        ) from error
    except OSError as error:
        raise TuningError(f"tuning/{script} cannot be run: {error.strerror}", "reinstall runner") from error


def _parsed(script: str, verb: Verb, done: "subprocess.CompletedProcess[str]") -> Report:
    try:
        line = json.loads(done.stdout)
        report = Report(
            line["step"], line["state"], line["value"], line["detail"], tuple(line["touches"]),
            tuple(line["sides"]), line["lasting"],
        )  # fmt: skip
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
