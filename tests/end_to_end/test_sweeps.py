"""Sweeps as a user types them, with the scripted engine: killed in the middle and resumed; sweepers with batches."""

import csv
import json
import os
import signal
import time
from pathlib import Path

import pytest

from runner.store import sweeps
from runner.store.sweeps import SweepFolder
from tests.end_to_end.conftest import Shell, scripted


def swept(shell: Shell) -> Path:
    (found,) = (shell.folder / "outputs/sweeps").glob("*/*")
    return found


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "summary.csv").read_text().splitlines()))


def documents(shell: Shell, count: int) -> None:
    (shell.folder / "texts").mkdir()
    for number in range(count):
        (shell.folder / f"texts/{number}.txt").write_text(f"document {number}\n")


@pytest.mark.parametrize("whole_group", [False, True])
def test_a_sweep_killed_in_the_middle_goes_on_and_runs_no_job_twice(shell: Shell, whole_group: bool) -> None:
    """kill -9 while the second job runs: of the sweep alone, and of everything with it. Alone, the job lives on and is
    waited for; with everything, it is tried once more. The first one is never touched."""
    documents(shell, 4)
    script = json.dumps({"output": "echo", "steps": 2, "delay_ms_per_row": 100})
    words = scripted("input=texts", "batching.max_num_seqs=4,8", "hydra.sweeper.max_batch_size=1", script=script)
    process = shell.start("-m", *words, own_group=True)
    deadline, running = time.monotonic() + 100, "outputs/sweeps/*/*/001_*/journal"
    try:
        while not (begun := list(shell.folder.glob(running))) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
    assert begun
    process.communicate()
    folder = swept(shell)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("000_*/*") if path.is_file()}
    assert sweeps.state_of(SweepFolder(folder), sweeps.read(SweepFolder(folder))) == "crashed"

    done = shell.run("resume", folder.name)
    assert done.returncode == 0, done.stderr
    assert [row["status"] for row in rows(folder)] == ["completed", "completed"]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    tries = [len(SweepFolder(folder).places(row["key"])) for row in rows(folder)]
    assert tries == [1, 2 if whole_group else 1], done.stderr
    assert not (shell.folder / "outputs/latest").is_symlink(), "a sweep's jobs are not a person's last run"
    assert [(row["batching.max_num_seqs"], row["ok"]) for row in rows(folder)] == [("4", "4"), ("8", "4")]
    assert ("Best:" in (folder / "report.html").read_text(), (folder / "best/profile/best.yaml").is_file()) == (
        True,
        True,
    )
    again = shell.run("resume", folder.name)
    assert (again.returncode, "nothing to resume" in again.stdout) == (0, True)
