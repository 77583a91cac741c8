"""report.html of a run and of a sweep: reads the folder once, draws the page, writes it whole.

The pages are pure; this door alone touches files. It never changes a run: everything it writes can be rebuilt.
Called at the end of a run and of a sweep, and by `runner report`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from runner.errors import RunnerError, StorageError
from runner.layout import RunFolder
from runner.report import events, outcomes, run_page, sweep_page, sweep_rows, timeline
from runner.report.units import shell_word
from runner.store.files import read_json, storage, write_bytes

LONGEST_CONFIG: Final = 1 << 20
SHOWN_FILES: Final = (
    "results.jsonl", "failures.jsonl", "chat.jsonl", "summary.json", "metrics.jsonl", "alerts.jsonl", "trace.json",
    "log.jsonl",
)  # fmt: skip
LAST_WORDS: Final = 8192
"""Bytes of a failed job's console that are looked at for its error."""


def write(run: RunFolder, state: str | None = None) -> Path:
    """Draws the run's report.html. `state` is run.json's status unless the caller knows better (`crashed`).
    StorageError when the folder cannot be read or written."""
    write_bytes(run.report, run_page.page(read(run, state)).encode())
    return run.report


def attempt(draw: Callable[[], Path], folder: Path) -> tuple[str, str]:
    """(What to say, the problem or ""). A report is for people and can be drawn again, so that no fault of it may
    change how a run or a sweep ended."""
    try:
        return f"report: {draw()}", ""
    except Exception as error:  # noqa: BLE001 - a bug in drawing must not turn a finished run into a failed one
        problem = error.problem if isinstance(error, RunnerError) else f"{type(error).__name__}: {error}"
        return f"report.html could not be drawn: {problem}; `runner report {folder}` tries again", problem


def read(run: RunFolder, state: str | None = None) -> run_page.RunFacts:
    """What the folder holds. Only run.json must be there: a run that died early has little more."""
    identity = read_json(run.run_json)
    return run_page.RunFacts(
        folder=str(run.root),
        state=state or str(identity.get("status")),
        identity=identity,
        environment=_object(run.environment),
        summary=_object(run.summary),
        config_text=_text(run.config / "config.yaml"),
        events=events.read(_lines(run.log)),
        timeline=timeline.read(_lines(run.metrics)),
        outcomes=outcomes.read(_lines(run.results)),
        tuning=tuple(_records(run.tuning)),
        files=tuple(name for name in SHOWN_FILES if (run.root / name).is_file()),
    )


# ---- sweeps ----


def write_sweep(folder: Path) -> Path:
    """Draws the sweep's report.html and writes the best row as a profile of one's own into best/. StorageError."""
    rows = tuple(_sweep_rows(folder))
    top = sweep_rows.best(rows)
    files: dict[str, str] = {}
    command = ""
    if top is not None:
        about = f"Best row of the sweep {folder.name}: {top.docs_per_hour} docs/h @ {top.conditions}"
        config = _composed(RunFolder(folder / top.folder).config / "config.yaml")
        files, rest = sweep_rows.profile_files(top, config, about)
        for name, text in files.items():
            place = folder / "best" / name
            with storage(f"cannot create {place.parent}"):
                place.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(place, text.encode())
        command = " ".join(
            ["runner", "--config-dir", shell_word(str(folder / "best")), "+profile=best", *map(shell_word, rest)]
        )
    page = folder / "report.html"
    write_bytes(page, sweep_page.page(sweep_page.SweepFacts(str(folder), folder.name, rows, files, command)).encode())
    return page


def _composed(path: Path) -> dict[str, Any]:
    """The composed tree of a run; empty when it is not there or not readable as one."""
    import yaml

    try:
        found = yaml.safe_load(_text(path))
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _sweep_rows(folder: Path) -> Iterator[sweep_rows.SweepRow]:
    for job in _jobs(folder / "preflight.json"):
        places = [path for path in sorted(folder.glob(f"*_{job['key']}")) if path.is_dir()]
        ended = [(place, read_json(place / "status.json")) for place in places if (place / "status.json").is_file()]
        done = [(place, status) for place, status in ended if status.get("status") == "completed"]
        if not ended:
            yield sweep_rows.row_of(job, None, {}, "", "")
            continue
        place, status = (done or ended)[-1]
        error = "" if done else _last_words(folder, place)
        yield sweep_rows.row_of(job, status, _object(RunFolder(place).summary), error, place.name)


def _jobs(path: Path) -> list[dict[str, Any]]:
    """What the sweep was to do."""
    with storage(f"cannot read {path}"):
        text = path.read_bytes()
    try:
        found = json.loads(text)
        if not all(isinstance(job["key"], str) and isinstance(job["number"], int) for job in found):
            raise ValueError("a job without key or number")
        return list(found)
    except (ValueError, TypeError, KeyError) as error:
        raise StorageError(
            f"{path} is no list of jobs: {error}", "the file was changed from outside; restore it"
        ) from error


def _last_words(folder: Path, place: Path) -> str:
    """The error that a failed job ended with: its own `error:` lines, else the end of what it said."""
    console = folder / f"{place.name}.console.log"
    if not console.is_file():
        return ""
    with storage(f"cannot read {console}"), console.open("rb") as file:
        file.seek(max(0, console.stat().st_size - LAST_WORDS))
        said = file.read().decode("utf-8", "replace").splitlines()
    errors = [number for number, line in enumerate(said) if line.startswith("error:")]
    return "\n".join(said[errors[-1] :] if errors else said[-6:])


# ---- files ----


def _object(path: Path) -> dict[str, Any]:
    return dict(read_json(path)) if path.is_file() else {}


def _text(path: Path) -> str:
    if not path.is_file():
        return ""
    with storage(f"cannot read {path}"), path.open("rb") as file:
        return file.read(LONGEST_CONFIG).decode("utf-8", "replace")


def _lines(path: Path) -> Iterator[bytes]:
    """Whole lines; none when there is no file. What a crash tore off at the end is left out."""
    if not path.is_file():
        return
    with storage(f"cannot read {path}"), path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line


def _records(path: Path) -> Iterator[dict[str, Any]]:
    for line in _lines(path):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise StorageError(f"{path} holds a line that is no JSON: {error}", "restore the file") from error
        if isinstance(record, dict):
            yield record
