"""A sweep: jobs that were composed and checked before, one process each, with a failure policy; done jobs are not
done again.

Knows no Hydra: hydra_plugins composes the jobs and calls `run`. Writes the sweep's folder: preflight.json, one run
folder a job with status.json and console.log beside the run's own files, jobs.jsonl, summary.csv.
"""

import csv
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from runner import trial
from runner.errors import EXIT_SIGINT, EXIT_SIGTERM, RunFailed
from runner.store.files import read_json, storage, write_bytes, write_json

OnFailure = Literal["continue", "stop"]
Start = Callable[[Sequence[str], Path, Path], trial.Trial]


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a sweep. `key` is a hash of its resolved configuration: equal keys are the same job."""

    number: int
    overrides: tuple[str, ...]
    shown: str
    key: str


@dataclass(frozen=True, slots=True)
class Row:
    """How a job ended. `status` is completed, failed, or skipped when an earlier start of this sweep completed it."""

    job: int
    key: str
    status: Literal["completed", "failed"]
    exit_code: int
    seconds: float
    overrides: str
    folder: str


class SweepFailed(RunFailed):
    """Some jobs of a sweep failed; the others are done."""


def run(
    jobs: Sequence[Job], folder: Path, on_failure: OnFailure, max_failures: int, start: Start = trial.run
) -> list[Row]:
    """All rows, or SweepFailed. `max_failures` 0 = no limit. SIGTERM drains the running job and ends with 143."""
    with storage(f"cannot create {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "preflight.json", [asdict(job) for job in jobs])
    _say(f"sweep: {len(jobs)} jobs -> {folder}")
    rows: list[Row] = []
    failures = 0
    with trial.sigterm_raises():
        try:
            for job in jobs:
                row = _finished(folder, job) or _run(folder, job, start)
                rows.append(row)
                failures += row.status == "failed"
                if row.exit_code in (EXIT_SIGINT, EXIT_SIGTERM):
                    break
                if failures and (on_failure == "stop" or failures == max_failures):
                    break
        finally:
            _write_table(folder / "summary.csv", rows)
    if failures:
        left = len(jobs) - len(rows)
        more = f", {left} not started" if left else ""
        raise SweepFailed(
            f"{failures} of {len(jobs)} jobs failed{more}",
            f"see console.log of each in {folder}; the same command with hydra.sweep.dir='{folder}' skips what is done",
        )
    return rows


def _finished(folder: Path, job: Job) -> Row | None:
    for status in sorted(folder.glob(f"*_{job.key}/status.json")):
        data = read_json(status)
        if data.get("status") == "completed":
            _say(f"  #{job.number} {job.shown}: already done")
            return Row(job.number, job.key, "completed", 0, 0.0, job.shown, str(status.parent))
    return None


def _run(folder: Path, job: Job, start: Start) -> Row:
    place = folder / f"{job.number:03d}_{job.key}"
    attempt = 1
    while place.exists():  # a failed attempt keeps its folder: a run folder belongs to one run
        attempt += 1
        place = folder / f"{job.number:03d}_try{attempt}_{job.key}"
    console = folder / f"{place.name}.console.log"
    done = start(job.overrides, place, console)
    status: Literal["completed", "failed"] = "completed" if done.exit_code == 0 else "failed"
    row = Row(job.number, job.key, status, done.exit_code, done.seconds, job.shown, str(place))
    with storage(f"cannot create {place}"):
        place.mkdir(exist_ok=True)  # a run that ended before its folder was made
    write_json(place / "status.json", {"version": 1, **asdict(row)})
    line = json.dumps(asdict(row), ensure_ascii=False) + "\n"
    with storage(f"cannot write {folder / 'jobs.jsonl'}"), (folder / "jobs.jsonl").open("a", encoding="utf-8") as out:
        out.write(line)
        out.flush()
        os.fsync(out.fileno())
    why = "" if status == "completed" else f" (exit {done.exit_code}; see {console})"
    _say(f"  #{job.number} {job.shown}: {status}{why} in {done.seconds:.1f} s")
    return row


def _write_table(path: Path, rows: Sequence[Row]) -> None:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["job", "status", "exit_code", "seconds", "overrides", "folder"])
    table.writerows([row.job, row.status, row.exit_code, row.seconds, row.overrides, row.folder] for row in rows)
    write_bytes(path, text.getvalue().encode())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
