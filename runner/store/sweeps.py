"""A sweep's folder as it lies on disk: sweep.json, one status.json a job, jobs.jsonl, summary.csv. Format:
docs/sweeps.md.

Writes and reads them; starts nothing and decides nothing (runner.sweep does). summary.csv is made from the
status.json of the jobs, so that it is the same after any number of lives. Called by sweep, resume, ls and whoever
shows a sweep.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from runner.display import csv_cell
from runner.errors import RunnerError, StorageError, UsageError
from runner.layout import RunFolder
from runner.store.files import full_sync, read_json, storage, write_bytes, write_json
from runner.store.folder import read_identity
from runner.store.locks import is_held

SWEEP_VERSION: Final = 1
STATUS_VERSION: Final = 1

JobStatus = Literal["completed", "failed", "interrupted"]
SweepStatus = Literal["running", "finished", "failed", "interrupted"]

FIGURES: Final = (
    "docs_per_hour", "ok", "failed", "skipped", "quarantined", "prompt_tokens", "generated_tokens", "working_seconds",
    "peak_rss_bytes",
)  # fmt: skip
"""Of a job's summary.json, in status.json and as columns of summary.csv."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job. `key` is a hash of its resolved configuration: equal keys are the same job. `whole_machine`: it
    computes on
    the device, so that the machine needs a rest before the next one."""

    number: int
    overrides: tuple[str, ...]
    shown: str
    key: str
    whole_machine: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """How a job ended.

    `folder` is a name inside the sweep's folder. `figures`: see FIGURES, empty without a summary.
    """

    job: int
    key: str
    status: JobStatus
    exit_code: int
    seconds: float
    overrides: str
    folder: str
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class SweepIdentity:
    """sweep.json.

    `words` and `cwd` are what `runner resume` starts it again with; `lives` counts the starts, from 1.
    """

    version: int
    status: SweepStatus
    words: tuple[str, ...]
    cwd: str
    on_failure: str
    max_failures: int
    cool_down_s: float
    started_at: str
    ended_at: str | None
    lives: int
    pid: int
    jobs: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SweepFolder:
    """The files of one sweep."""

    root: Path

    @property
    def identity(self) -> Path:
        """Who the sweep is, and what starts it again."""
        return self.root / "sweep.json"

    @property
    def lock(self) -> Path:
        """One writer a folder."""
        return self.root / "lock"

    @property
    def preflight(self) -> Path:
        """All jobs that were composed and checked."""
        return self.root / "preflight.json"

    @property
    def table(self) -> Path:
        """One row a job."""
        return self.root / "summary.csv"

    @property
    def log(self) -> Path:
        """One line for each end of a job."""
        return self.root / "jobs.jsonl"

    def places(self, key: str) -> list[Path]:
        """Folders of all tries of a job."""
        return sorted(path for path in self.root.glob(f"*_{key}") if path.is_dir())


def write_identity(folder: SweepFolder, identity: SweepIdentity) -> None:
    """sweep.json, whole."""
    write_json(folder.identity, asdict(identity))


def read(folder: SweepFolder) -> SweepIdentity:
    """sweep.json. StorageError when it is damaged, UsageError when a newer runner wrote it."""
    data = read_json(folder.identity)
    if data.get("version") != SWEEP_VERSION:
        raise UsageError(
            f"{folder.identity} has version {data.get('version')!r}, known here: {SWEEP_VERSION}",
            "use the runner that wrote it",
        )
    try:
        words = data["words"]
        if not isinstance(words, list):
            raise TypeError("words is not a list")
        return SweepIdentity(**{**data, "words": tuple(str(word) for word in words)})  # type: ignore[arg-type]
    except (TypeError, KeyError) as error:
        raise StorageError(f"{folder.identity}: {error}", "the file was changed from outside; restore it") from error


def state_of(folder: SweepFolder, identity: SweepIdentity) -> str:
    """Its status; `crashed` when it says running and nobody holds the folder."""
    return "crashed" if identity.status == "running" and not is_held(folder.lock) else identity.status


def find(outputs: Path, name: str) -> SweepFolder | None:
    """The sweep that a path, a folder's name or its id means; None for anything else. UsageError for several."""
    if (Path(name) / "sweep.json").is_file():
        return SweepFolder(Path(name).resolve())
    found = [
        path.parent
        for path in sorted((outputs / "sweeps").glob("*/*/sweep.json"))
        if path.parent.name == name or path.parent.name.endswith(f"_{name}")
    ]
    if len(found) > 1:
        raise UsageError(f"{name!r} means {len(found)} sweeps: {', '.join(map(str, found))}", "give the folder's path")
    return SweepFolder(found[0].resolve()) if found else None


def figures_of(summary: Mapping[str, Any] | None) -> dict[str, float]:
    """The numbers of a summary.json that a sweep shows; peak memory is that of all processes together."""
    found = {}
    for name in FIGURES:
        value = (summary or {}).get(name)
        if isinstance(value, dict):
            value = sum(part for part in value.values() if isinstance(part, int))
        if isinstance(value, int | float):
            found[name] = value
    return found


def write_status(folder: SweepFolder, row: Row) -> None:
    """status.json in the job's folder, and a line of jobs.jsonl."""
    write_json(folder.root / row.folder / "status.json", {"version": STATUS_VERSION, **asdict(row)})
    line = json.dumps(asdict(row), ensure_ascii=False) + "\n"
    with storage(f"cannot write {folder.log}"), folder.log.open("a", encoding="utf-8") as out:
        out.write(line)
        out.flush()
        full_sync(out.fileno())


def ended(folder: SweepFolder, key: str) -> Row | None:
    """The row of a completed try of this job, else of its last one; None when none has ended."""
    last = None
    for place in folder.places(key):
        try:
            data = read_json(place / "status.json") if (place / "status.json").is_file() else None
            row = None if data is None else _row(data)
        except (RunnerError, KeyError, TypeError, ValueError):
            continue  # a damaged one vouches for nothing: the job is done again
        if row is not None and row.status == "completed":
            return row
        last = row or last
    return last


def _row(data: Mapping[str, Any]) -> Row:
    if data["version"] != STATUS_VERSION:
        raise ValueError(f"version {data['version']}")
    figures = {str(name): float(value) for name, value in data["figures"].items()}
    names = ("job", "key", "status", "exit_code", "seconds", "overrides", "folder")
    return Row(**{name: data[name] for name in names}, figures=figures)


def adopted(folder: SweepFolder, job: Job) -> Row | None:
    """A try whose run finished well after the sweep itself had died: run.json says so. None when there is none."""
    for place in folder.places(job.key):
        run = RunFolder(place)
        if (place / "status.json").exists() or not run.run_json.is_file():
            continue
        try:
            identity = read_identity(run)
            summary = read_json(run.summary) if run.summary.is_file() else None
        except RunnerError:
            continue
        if identity.status == "finished" and identity.exit_code == 0 and summary is not None:
            seconds = float(str(summary.get("seconds", 0.0)))
            return Row(job.number, job.key, "completed", 0, seconds, job.shown, place.name, figures_of(summary))
    return None


def write_jobs(folder: SweepFolder, jobs: Sequence[Job]) -> None:
    """preflight.json, whole."""
    write_json(folder.preflight, [asdict(job) for job in jobs])


def swept(jobs: Sequence[Job]) -> list[str]:
    """Keys whose value differs between the jobs, in the order of the words."""
    values: dict[str, set[str | None]] = {}
    words = [_settings(job) for job in jobs]
    for key in dict.fromkeys(key for each in words for key in each):
        values[key] = {each.get(key) for each in words}
    return [key for key, found in values.items() if len(found) > 1]


def _settings(job: Job) -> dict[str, str]:
    pairs = (word.lstrip("+").partition("=") for word in job.overrides)
    return {key: value for key, _, value in pairs}


def write_table(folder: SweepFolder, jobs: Sequence[Job], rows: Mapping[str, Row]) -> None:
    """summary.csv: a row a job in the order of their numbers; `rows` by key. A job without a row has not run."""
    keys = swept(jobs)
    text = io.StringIO()
    table = csv.writer(text)
    head = ["job", "key", "status", "exit_code", "seconds", *FIGURES, *keys, "overrides", "folder"]
    table.writerow(head)
    for job in sorted(jobs, key=lambda each: each.number):
        row, settings = rows.get(job.key), _settings(job)
        cells: list[object] = [job.number, job.key, row.status if row else "not started"]
        cells += [row.exit_code if row else "", row.seconds if row else ""]
        cells += [_number(row.figures[name]) if row and name in row.figures else "" for name in FIGURES]
        cells += [csv_cell(settings.get(key, "")) for key in keys]
        table.writerow([*cells, csv_cell(job.shown), row.folder if row else ""])
    write_bytes(folder.table, text.getvalue().encode())


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else value


def is_sweep(path: Path) -> bool:
    """Whether the folder is one of a sweep."""
    return os.path.lexists(path / "sweep.json")
