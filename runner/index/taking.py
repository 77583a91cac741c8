"""One run's or sweep's folder as rows of the tables. A file that cannot be read as what it should be vouches for
nothing:
its rows are left out, and the run's row says so.

Reads only. Called by catch_up.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runner.layout import RunFolder
from runner.store import listing, sweeps
from runner.store.files import storage

Values = tuple[Any, ...]


def number_of(folder: str) -> int:
    """The key of a run or sweep: the same in every rebuild, since it follows from the folder's name."""
    return int.from_bytes(hashlib.blake2b(folder.encode(errors="surrogateescape"), digest_size=6).digest(), "big")


def stamp_of(*paths: Path) -> str:
    """Changes when one of the files does."""
    found = []
    for path in paths:
        try:
            info = path.stat()
        except OSError:
            found.append("-")
        else:
            found.append(f"{info.st_ino}:{info.st_size}:{info.st_mtime_ns}")
    return " ".join(found)


def run_row(run: RunFolder, folder: str, sweep: int | None) -> dict[str, Any]:
    """The row of `runs`."""
    row = listing.row(run)
    identity, summary = row.identity, row.summary or {}
    counts = {
        name: summary.get(name)
        for name in (
            "inputs", "ok", "failed", "skipped", "quarantined", "reused", "prompt_tokens", "generated_tokens",
            "seconds", "working_seconds", "docs_per_hour", "conditions",
        )
    }  # fmt: skip
    peaks = summary.get("peak_rss_bytes")
    environment = _environment(run)
    return {
        "run": number_of(folder),
        "folder": folder,
        "sweep": sweep,
        "run_id": identity and identity.run_id,
        "state": row.state,
        "problem": row.problem or None,
        "job": identity and identity.job,
        "profile": identity and identity.profile,
        "model": identity and identity.model,
        "started_at": identity and identity.started_at,
        "ended_at": identity and identity.ended_at,
        "exit_code": identity and identity.exit_code,
        "lives": identity and identity.incarnation,
        **{name: value if isinstance(value, int | float | str) else None for name, value in counts.items()},
        "peak_rss_bytes": sum(peaks.values()) if isinstance(peaks, dict) and _numbers(peaks) else None,
        "runner_version": identity and identity.runner_version,
        "chip": _text(environment.get("chip")),
        "workers": environment.get("workers") if isinstance(environment.get("workers"), int) else None,
        "environment": json.dumps(environment, ensure_ascii=True, sort_keys=True) if environment else None,
    }


def _numbers(peaks: dict[str, Any]) -> bool:
    return all(isinstance(value, int) for value in peaks.values())


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _environment(run: RunFolder) -> dict[str, Any]:
    try:
        value = json.loads(run.environment.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


class Damaged(Exception):  # noqa: N818 - an outcome
    """A line of a results file is no result."""


def documents(run: RunFolder, number: int) -> Iterator[Values]:
    """Rows of `documents` in the order of results.jsonl; half a last line of a run that lives or died is left out.
    Damaged for anything else."""
    if not run.results.is_file():
        return
    offset = 0
    with storage(f"cannot read {run.results}"), run.results.open("rb") as lines:
        for position, line in enumerate(lines):
            if not line.endswith(b"\n"):
                return
            try:
                yield _document(number, position, json.loads(line), offset, len(line))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise Damaged(f"{run.results.name} line {position + 1}: {error or type(error).__name__}") from error
            offset += len(line)


def _document(number: int, position: int, line: dict[str, Any], offset: int, size: int) -> Values:
    parts, output = line["parts"], line["output"]
    timings, coverage, reason = line.get("timings") or {}, line.get("coverage") or {}, line.get("reason") or ""
    kind = reason.split(":", 1)[0].split(" (", 1)[0]
    return (
        number, position, _clean(line["input_id"]), _clean(line["source"]), line["doc_id"], line["status"],
        _clean(kind) or None, _clean(reason) or None, len(parts), line["attempts"],
        sum(part["tokens_in"] for part in parts), sum(part["tokens_out"] for part in parts),
        None if output is None else len(output), timings.get("queued_ms"), timings.get("prefill_ms"),
        timings.get("decode_ms"), coverage.get("text_bytes"), coverage.get("covered_bytes"), line.get("duplicate_of"),
        line.get("reused_from"), line.get("reader"), line.get("unread"), offset, size,
    )  # fmt: skip


def _clean(text: str) -> str:
    """Half a surrogate pair cannot be stored."""
    return text.encode("utf-8", "backslashreplace").decode()


def samples(run: RunFolder, number: int) -> Iterator[Values]:
    """Rows of `metrics`; a line that is no sample is left out: a sample is a figure, never a promise."""
    if not run.metrics.is_file():
        return
    with storage(f"cannot read {run.metrics}"), run.metrics.open("rb") as lines:
        for position, line in enumerate(lines):
            try:
                sample = json.loads(line)
            except ValueError:
                continue
            if isinstance(sample, dict):
                seconds = sample.get("seconds")
                kept = seconds if isinstance(seconds, int | float) else None
                yield number, position, kept, json.dumps(sample, separators=(",", ":"))


def sweep_rows(path: Path, folder: str) -> tuple[Values, list[Values]]:
    """The row of `sweeps` and those of `jobs`.

    Raises RunnerError, KeyError, TypeError or ValueError for a damaged one.
    """
    swept = sweeps.SweepFolder(path)
    identity = sweeps.read(swept)
    number = number_of(folder)
    preflight = json.loads(swept.preflight.read_bytes()) if swept.preflight.is_file() else []
    jobs: list[Values] = []
    for job in preflight:
        row = sweeps.ended(swept, job["key"])
        run = number_of(f"{folder}/{row.folder}") if row else None
        jobs.append((
            number, job["number"], job["key"], row.status if row else "not started", row and row.exit_code,
            row and row.seconds, row.figures.get("docs_per_hour") if row else None, _clean(job["shown"]), run,
        ))  # fmt: skip
    states = [job[3] for job in jobs]
    row_of_sweep = (
        number, folder, sweeps.state_of(swept, identity), identity.problem or None, identity.started_at,
        identity.ended_at, identity.lives, len(jobs), states.count("completed"), states.count("failed"),
        json.dumps(identity.words),
    )  # fmt: skip
    return row_of_sweep, jobs


def folders(base: Path, depth: int) -> Iterator[Path]:
    """Folders `depth` levels below, sorted; links are not followed, hidden ones are not ours."""
    try:
        with os.scandir(base) as entries:
            names = sorted(
                entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not entry.name.startswith(".")
            )
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if depth == 1:
            yield base / name
        else:
            yield from folders(base / name, depth - 1)
