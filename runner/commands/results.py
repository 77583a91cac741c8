"""`runner results JOB|SCHEDULE`: the current results over all its nights, with where each comes from. Thin.

Prints JSON lines, or writes them or a parquet file; shows an earlier night, and goes back to one. Called by cli.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runner import layout
from runner.commands.parser import Parser
from runner.errors import EXIT_OK, UsageError
from runner.layout import DEFAULT_OUTPUTS
from runner.nights import history, job, runs, schedule, view
from runner.store.files import storage


def main(argv: list[str]) -> int:
    """Lines on stdout, or a file and one line about it."""
    parser = Parser(prog="runner results", description="The current results of a schedule or a job, over all its runs.")
    parser.add_argument("name", help="a schedule, or a job of the outputs folder")
    parser.add_argument("--outputs", default=DEFAULT_OUTPUTS, help="outputs folder, for a job (default: outputs)")
    parser.add_argument("--night", type=int, help="as they were when this night had ended")
    parser.add_argument("--status", choices=["ok", "failed", "skipped", "quarantined"], help="only these")
    parser.add_argument("--current", action="store_true", help="leave out what older settings of the job have made")
    parser.add_argument("--out", metavar="FILE", help="write FILE.jsonl or FILE.parquet instead of stdout")
    parser.add_argument("--nights", action="store_true", help="list the nights instead")
    parser.add_argument("--rollback", type=int, metavar="NIGHT", help="go back to a night, until --latest")
    parser.add_argument("--latest", action="store_true", help="undo --rollback")
    options = parser.parse_args(argv)
    scheduled = layout.schedule_file(options.name).is_file() if "/" not in options.name else False
    if options.rollback is not None or options.latest:
        return _pin(options, scheduled)
    if options.nights:
        return _nights(options.name, scheduled)
    found = _of_schedule(options) if scheduled else _of_job(options)
    chosen = (
        line
        for line in found.lines()
        if options.status in (None, line["status"]) and not (options.current and line["outdated"])
    )
    if options.out is None:
        for line in chosen:
            print(json.dumps(line, ensure_ascii=False))
        return EXIT_OK
    count = _write(Path(options.out), chosen)
    print(f"{count} results -> {options.out}", file=sys.stderr)
    return EXIT_OK


def _events(name: str) -> list[dict[str, Any]]:
    return history.History(layout.schedule_state_dir(name) / "history.jsonl").events()


def _of_schedule(options: Any) -> view.View:
    made, events = schedule.load(options.name), _events(options.name)
    wanted = options.night if options.night is not None else history.pinned(events)
    if wanted is None:
        found = view.fold(runs.sources(events), made.deleted)
        return view.without(found, view.missing(found), made.deleted)
    ended = _night(options.name, events, wanted)
    if options.night is None:
        print(f"results of night {wanted} (--rollback); `runner results {options.name} --latest`", file=sys.stderr)
    return view.without(view.fold(runs.sources(events, wanted), made.deleted), ended["absent"], made.deleted)


def _night(name: str, events: list[dict[str, Any]], wanted: int) -> history.Event:
    known = {event["night"]: event for event in history.ended_nights(events)}
    if wanted not in known:
        shown = ", ".join(map(str, sorted(known)[-5:])) or "none"
        raise UsageError(f"schedule '{name}' has no night {wanted} that ended", f"the last ones: {shown}")
    return known[wanted]


def _of_job(options: Any) -> view.View:
    found = job.sources(Path(options.outputs), options.name)
    if not found:
        known = ", ".join(schedule.names()) or "none"
        raise UsageError(
            f"'{options.name}' is no schedule, and no run of {options.outputs} is of a job of this name",
            f"schedules: {known}; `runner ls` shows the runs and their jobs",
        )
    if options.night is not None:
        found = [source for source in found if source.night <= options.night]
    whole = view.fold(found)
    return view.without(whole, view.missing(whole), "drop") if options.night is None else whole


def _pin(options: Any, scheduled: bool) -> int:
    if not scheduled:
        raise UsageError(f"'{options.name}' is no schedule: only a schedule's results can be rolled back", "--night N")
    events = _events(options.name)
    if options.rollback is not None:
        _night(options.name, events, options.rollback)
    log = history.History(layout.schedule_state_dir(options.name) / "history.jsonl")
    log.append("results.pinned", time.time(), night=options.rollback)
    print(
        f"{options.name}: results are those of {f'night {options.rollback}' if options.rollback else 'the last night'}"
    )
    return EXIT_OK


def _nights(name: str, scheduled: bool) -> int:
    if not scheduled:
        raise UsageError(f"'{name}' is no schedule, so it has no nights", "`runner ls` shows the runs")
    for event in history.ended_nights(_events(name)):
        print(event["line"])
    return EXIT_OK


def _write(path: Path, lines: Iterator[dict[str, Any]]) -> int:
    """Whole or not at all; the number of lines."""
    if path.suffix not in (".jsonl", ".parquet"):
        raise UsageError(
            f"--out is '{path}', it must end in .jsonl or .parquet", f"--out {path.stem or 'results'}.jsonl"
        )
    part = path.with_name(f".{path.name}.part")
    if path.suffix == ".parquet":
        count = _write_parquet(part, lines)
    else:
        counter: Counter[str] = Counter()
        with storage(f"cannot write {path}"), part.open("w", encoding="utf-8") as out:
            for line in lines:
                out.write(json.dumps(line, ensure_ascii=False) + "\n")
                counter["lines"] += 1
        count = counter["lines"]
    with storage(f"cannot write {path}"):
        part.replace(path)
    return count


def _write_parquet(path: Path, lines: Iterator[dict[str, Any]]) -> int:
    """One typed column a field, also where all values are null: a schema must not hang on what the first rows hold."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(
            "parquet needs pyarrow, which is not installed", "pip install pyarrow, or --out FILE.jsonl"
        ) from error
    texts = (
        "input_id",
        "source",
        "doc_id",
        "status",
        "reason",
        "output",
        "duplicate_of",
        "reused_from",
        "run",
        "settings",
    )
    flags, numbers = ("outdated", "deleted"), ("night", "attempts")
    nested = ("parts", "coverage", "timings", "reader", "unread", "read")
    fields = [pa.field(name, pa.string()) for name in (*texts, *nested)]
    fields += [pa.field(name, pa.bool_()) for name in flags]
    fields += [pa.field(name, pa.int64()) for name in numbers]
    shape, count, held = pa.schema(fields), 0, []

    def row(line: dict[str, Any]) -> dict[str, Any]:
        plain = {name: line.get(name) for name in (*texts, *flags, *numbers)}
        return {**plain, **{name: json.dumps(line.get(name), ensure_ascii=False) for name in nested}}

    with storage(f"cannot write {path}"), parquet.ParquetWriter(path, shape) as out:
        for line in lines:
            held.append(row(line))
            count += 1
            if len(held) == 1000:
                out.write_table(pa.Table.from_pylist(held, shape))
                held.clear()
        out.write_table(pa.Table.from_pylist(held, shape))
    return count
