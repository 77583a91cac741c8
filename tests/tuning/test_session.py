"""Staying awake: held while the block lasts, gone with the process that holds it, and never in the way of a run."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runner.tuning import session
from runner.tuning.session import awake
from tests.tuning.rig import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="platform: looks at /proc")


def holder(folder: Path, script: str) -> dict[str, list[str]]:
    """A command in the place of systemd-inhibit."""
    path = folder / "inhibit"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"linux": [str(path)]}


def test_the_hold_lasts_as_long_as_the_block(tmp_path: Path) -> None:
    with awake("linux", holder(tmp_path, "exec cat")) as outcome:
        assert (outcome.step, outcome.scope, outcome.state) == ("stay_awake", "session", "applied")
        pid = int(outcome.detail.rpartition(" ")[2])
        os.kill(pid, 0)
    assert not Path(f"/proc/{pid}").exists()


def test_a_refusal_is_said_and_the_run_goes_on(tmp_path: Path) -> None:
    with awake("linux", holder(tmp_path, "echo 'Failed to inhibit: Access denied' >&2; exit 1")) as outcome:
        assert outcome.state == "failed"
        assert outcome.detail.endswith("inhibit: Failed to inhibit: Access denied")


def test_a_holder_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "ANSWER_S", 0.05)
    with awake("linux", holder(tmp_path, "exec sleep 60")) as outcome:
        assert outcome.state == "failed"
        assert "no answer" in outcome.detail


def test_without_the_program_it_is_unsupported(tmp_path: Path) -> None:
    with awake("linux", {"linux": [str(tmp_path / "absent")]}) as outcome:
        assert outcome.state == "unsupported"


def test_a_kill_of_the_runner_ends_the_hold(tmp_path: Path) -> None:
    command = holder(tmp_path, "exec cat")
    code = "from runner.tuning.session import awake\n"
    code += f"with awake('linux', {command!r}) as held: print(held.detail, flush=True); input()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    life = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert life.stdout is not None
    pid = int(life.stdout.readline().rpartition(" ")[2])
    life.kill()
    life.communicate()
    deadline = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < deadline, "the hold outlives the runner"
        time.sleep(0.001)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
