"""A sweep keeps going or stops as told, shows failures, and does not do done jobs again. Trials are scripted."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from runner import sweep
from runner.trial import Trial

JOBS = [sweep.Job(n, (f"x={n}",), f"x={n}", f"key{n}") for n in range(3)]


class Scripted:
    def __init__(self, *codes: int) -> None:
        self.codes, self.calls = list(codes), []

    def __call__(self, overrides: Sequence[str], folder: Path, console: Path) -> Trial:
        self.calls.append((tuple(overrides), folder))
        console.write_text("said")
        return Trial(self.codes.pop(0), 0.1, 0.1, None)


def test_a_killed_job_is_a_row_and_the_others_run(tmp_path: Path) -> None:
    start = Scripted(0, -9, 0)
    with pytest.raises(sweep.SweepFailed, match="1 of 3 jobs failed") as caught:
        sweep.run(JOBS, tmp_path / "s", "continue", 0, start)
    assert caught.value.exit_code == 1
    assert len(start.calls) == 3
    rows = list(csv.DictReader((tmp_path / "s/summary.csv").read_text().splitlines()))
    assert [row["exit_code"] for row in rows] == ["0", "-9", "0"]
    lines = (tmp_path / "s/jobs.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["completed", "failed", "completed"]


@pytest.mark.parametrize(("policy", "limit"), [("stop", 0), ("continue", 1)])
def test_stop_and_max_failures_start_no_more(tmp_path: Path, policy: sweep.OnFailure, limit: int) -> None:
    start = Scripted(1, 0, 0)
    with pytest.raises(sweep.SweepFailed, match="2 not started"):
        sweep.run(JOBS, tmp_path / "s", policy, limit, start)
    assert len(start.calls) == 1


def test_a_second_start_skips_done_jobs_and_tries_failed_ones_in_a_new_folder(tmp_path: Path) -> None:
    first = Scripted(0, 1, 0)
    with pytest.raises(sweep.SweepFailed):
        sweep.run(JOBS, tmp_path / "s", "continue", 0, first)
    second = Scripted(0)
    rows = sweep.run(JOBS, tmp_path / "s", "continue", 0, second)
    assert [row.status for row in rows] == ["completed"] * 3
    assert [words for words, _ in second.calls] == [("x=1",)]
    assert second.calls[0][1] != first.calls[1][1]


def test_a_job_with_other_values_is_not_taken_for_a_done_one(tmp_path: Path) -> None:
    sweep.run(JOBS, tmp_path / "s", "continue", 0, Scripted(0, 0, 0))
    other = [sweep.Job(0, ("x=9",), "x=9", "key9")]
    start = Scripted(0)
    sweep.run(other, tmp_path / "s", "continue", 0, start)
    assert len(start.calls) == 1


def test_a_stopped_job_stops_the_sweep(tmp_path: Path) -> None:
    start = Scripted(143, 0, 0)
    with pytest.raises(sweep.SweepFailed):
        sweep.run(JOBS, tmp_path / "s", "continue", 0, start)
    assert len(start.calls) == 1
