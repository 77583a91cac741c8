"""A sweep keeps going or stops as told, shows failures, and does not do done jobs again. Trials are scripted."""

import csv
import fcntl
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runner import sweep
from runner.errors import BusyError
from runner.store import sweeps
from runner.store.files import write_json
from runner.store.sweeps import Job, SweepFolder
from runner.sweep import Policy
from runner.trial import Trial

JOBS = [Job(n, (f"x={n}", "y=1"), f"x={n} y=1", f"key{n}") for n in range(3)]
GO_ON = Policy()


class Scripted:
    def __init__(self, *codes: int) -> None:
        self.codes, self.calls, self.rests = list(codes), [], []

    def __call__(self, overrides: Sequence[str], folder: Path, console: Path, *, keep: Sequence[int]) -> Trial:
        self.calls.append((tuple(overrides), folder))
        console.write_text("said")
        return Trial(self.codes.pop(0), 0.1, 0.1, {"docs_per_hour": 12.5, "peak_rss_bytes": {"a": 2, "b": 3}})

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)


def run(folder: Path, start: Scripted, policy: Policy = GO_ON, jobs: Sequence[Job] = JOBS) -> list[sweeps.Row]:
    return sweep.run(jobs, folder, policy, start, start.rest)


def table(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "summary.csv").read_text().splitlines()))


def test_a_killed_job_is_a_row_and_the_others_run(tmp_path: Path) -> None:
    start = Scripted(0, -9, 0)
    with pytest.raises(sweep.SweepFailed, match="1 of 3 jobs failed") as caught:
        run(tmp_path / "s", start)
    assert caught.value.exit_code == 1
    assert len(start.calls) == 3
    rows = table(tmp_path / "s")
    assert [row["exit_code"] for row in rows] == ["0", "-9", "0"]
    assert [row["x"] for row in rows] == ["0", "1", "2"]
    assert "y" not in rows[0], "only what differs is a column"
    assert (rows[0]["docs_per_hour"], rows[0]["peak_rss_bytes"]) == ("12.5", "5")
    lines = (tmp_path / "s/jobs.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["completed", "failed", "completed"]
    assert sweeps.read(SweepFolder(tmp_path / "s")).status == "failed"
    assert "1 job failed" in (tmp_path / "s/report.html").read_text()


@pytest.mark.parametrize(("policy", "limit"), [("stop", 0), ("continue", 1)])
def test_stop_and_max_failures_start_no_more(tmp_path: Path, policy: sweep.OnFailure, limit: int) -> None:
    start = Scripted(1, 0, 0)
    with pytest.raises(sweep.SweepFailed, match="2 not started"):
        run(tmp_path / "s", start, Policy(policy, limit))
    assert len(start.calls) == 1
    assert [row["status"] for row in table(tmp_path / "s")] == ["failed", "not started", "not started"]


def test_a_second_start_skips_done_jobs_and_tries_failed_ones_in_a_new_folder(tmp_path: Path) -> None:
    first = Scripted(0, 1, 0)
    with pytest.raises(sweep.SweepFailed):
        run(tmp_path / "s", first)
    second = Scripted(0)
    rows = run(tmp_path / "s", second)
    assert [row.status for row in rows] == ["completed"] * 3
    assert [words for words, _ in second.calls] == [("x=1", "y=1")]
    assert second.calls[0][1] != first.calls[1][1]
    identity = sweeps.read(SweepFolder(tmp_path / "s"))
    assert (identity.status, identity.lives, identity.jobs) == ("finished", 2, 3)


def test_a_job_with_other_values_is_not_taken_for_a_done_one(tmp_path: Path) -> None:
    run(tmp_path / "s", Scripted(0, 0, 0))
    start = Scripted(0)
    run(tmp_path / "s", start, jobs=[Job(0, ("x=9",), "x=9", "key9")])
    assert len(start.calls) == 1


def test_a_damaged_status_vouches_for_nothing(tmp_path: Path) -> None:
    run(tmp_path / "s", Scripted(0, 0, 0))
    (tmp_path / "s/001_key1/status.json").write_text('{"version": 1, "status": "comp')
    start = Scripted(0)
    run(tmp_path / "s", start)
    assert [words[0] for words, _ in start.calls] == ["x=1"]


def test_a_stopped_job_stops_the_sweep(tmp_path: Path) -> None:
    start = Scripted(143, 0, 0)
    with pytest.raises(sweep.SweepFailed):
        run(tmp_path / "s", start)
    assert len(start.calls) == 1
    assert sweeps.read(SweepFolder(tmp_path / "s")).status == "interrupted"


def test_the_machine_rests_only_behind_a_job_that_needed_it(tmp_path: Path) -> None:
    start = Scripted(0, 0, 0)
    jobs = [Job(n, (f"x={n}",), f"x={n}", f"key{n}", whole_machine=n == 1) for n in range(3)]
    run(tmp_path / "s", start, Policy(cool_down_s=7.0), jobs)
    assert start.rests == [7.0]


def test_failures_of_earlier_batches_count_and_are_told_at_the_end(tmp_path: Path) -> None:
    start = Scripted(1, 0, 0)
    many = sweep.Sweep(tmp_path / "s", Policy(), start=start)
    many.run_batch(JOBS[:1])
    many.run_batch(JOBS[1:])
    with pytest.raises(sweep.SweepFailed, match="1 of 3 jobs failed"):
        many.close()
    assert [row["status"] for row in table(tmp_path / "s")] == ["failed", "completed", "completed"]


def test_two_sweeps_do_not_share_a_folder(tmp_path: Path) -> None:
    held = sweep.Sweep(tmp_path / "s", Policy(), start=Scripted())
    with pytest.raises(BusyError, match="in use by process"):
        run(tmp_path / "s", Scripted())
    held.close()


def test_a_job_that_outlived_its_sweep_is_waited_for_and_taken_over(tmp_path: Path) -> None:
    """The sweep was killed, its job 0 lives on: it holds the lock of its try and ends while the second life waits."""
    folder = tmp_path / "s"
    place = folder / "000_key0"
    place.mkdir(parents=True)
    alive = (folder / "000_key0.lock").open("w")
    fcntl.flock(alive, fcntl.LOCK_EX)
    start = Scripted(0, 0)

    def rest(_seconds: float) -> None:
        identity: dict[str, Any] = dict.fromkeys(
            ("job", "profile", "model", "started_at", "ended_at", "boot_id", "runner_version", "cwd"), ""
        )
        identity |= {"schema_version": 1, "run_id": "a", "status": "finished", "exit_code": 0, "incarnation": 1}
        identity |= {"pid": 1, "argv": [], "inputs": [], "overrides": []}
        write_json(place / "run.json", identity)
        write_json(place / "summary.json", {"seconds": 4.5, "docs_per_hour": 99})
        alive.close()

    rows = sweep.run(JOBS, folder, GO_ON, start, rest)
    assert [words[0] for words, _ in start.calls] == ["x=1", "x=2"]
    assert (rows[0].status, rows[0].seconds, rows[0].figures["docs_per_hour"]) == ("completed", 4.5, 99)


def test_a_try_that_was_killed_is_tried_again_in_a_new_folder(tmp_path: Path) -> None:
    (tmp_path / "s/000_key0").mkdir(parents=True)
    (tmp_path / "s/000_key0.lock").touch()
    start = Scripted(0, 0, 0)
    run(tmp_path / "s", start)
    assert start.calls[0][1].name == "000_try2_key0"


def test_no_cell_of_the_table_is_a_formula(tmp_path: Path) -> None:
    run(tmp_path / "s", Scripted(0, 0), jobs=[Job(n, (f"x=={n}",), "+profile=a", f"key{n}") for n in range(2)])
    assert [(row["x"], row["overrides"]) for row in table(tmp_path / "s")] == [
        ("'=0", "'+profile=a"),
        ("'=1", "'+profile=a"),
    ]
