"""`runner ls`: runs of an outputs folder with their counts, and its sweeps. Thin: chooses words, prints rows.

Called by cli, which has not imported Hydra by then; imports neither the native core nor numpy.
"""

from __future__ import annotations

import json
import sqlite3
from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any, Final

from runner import display
from runner.commands.parser import Parser
from runner.index.catch_up import Index
from runner.layout import DEFAULT_OUTPUTS, RunFolder
from runner.store import listing

SORTS: Final = {
    "started": "started_at", "ended": "ended_at", "rate": "docs_per_hour", "documents": "inputs", "failed": "failed",
    "seconds": "seconds", "memory": "peak_rss_bytes",
}  # fmt: skip
HEAD: Final = ("started", "state", "job", "model", "ok", "failed", "skipped", "quarantined", "docs/h", "folder")


def _limit(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a count, it must be 0 or more")
    return int(text)


def rows(db: sqlite3.Connection, options: Namespace) -> list[dict[str, Any]]:
    """Rows of `runs` that pass the filters, in order. A run that cannot be read passes every filter but `--state`: what
    is damaged is not hidden."""
    where, values = [], []
    if not options.jobs:
        where.append("sweep IS NULL")
    for name in ("job", "model", "profile"):
        if (wanted := getattr(options, name)) is not None:
            where.append(f"({name} GLOB ? OR state = 'unreadable')")
            values.append(wanted)
    if options.state is not None:
        where.append("state = ?")
        values.append(options.state)
    if options.since is not None:
        where.append("(started_at >= ? OR state = 'unreadable')")
        values.append(options.since)
    column = SORTS[options.sort]
    order = "ASC" if options.reverse else "DESC"
    sql = "SELECT folder, state, started_at, job, model, ok, failed, skipped, quarantined, docs_per_hour FROM runs"
    sql += f" WHERE {' AND '.join(where)}" if where else ""
    sql += f" ORDER BY {column} IS NULL, {column} {order}, folder {order} LIMIT ?"
    names = ("folder", "state", "started", "job", "model", "ok", "failed", "skipped", "quarantined", "rate")
    found = db.execute(sql, (*values, options.limit or -1))
    return [dict(zip(names, row, strict=True)) for row in found]


def _sweeps(db: sqlite3.Connection, options: Namespace) -> list[dict[str, Any]]:
    names = ("folder", "state", "started", "jobs", "completed", "failed", "problem")
    sql = "SELECT folder, state, started_at, jobs, completed, failed, problem FROM sweeps ORDER BY folder DESC LIMIT ?"
    return [dict(zip(names, row, strict=True)) for row in db.execute(sql, (options.limit or -1,))]


def main(argv: list[str]) -> int:
    """Prints the table, or a JSON list with `--json`."""
    parser = Parser(prog="runner ls", description="List the runs of an outputs folder, newest first.")
    parser.add_argument("--outputs", default=DEFAULT_OUTPUTS, help="outputs folder (default: outputs)")
    parser.add_argument("--limit", type=_limit, default=20, help="at most this many, 0 = all (default: 20)")
    parser.add_argument("--job", metavar="GLOB", help="only runs of such jobs")
    parser.add_argument("--model", metavar="GLOB", help="only runs of such models")
    parser.add_argument("--profile", metavar="GLOB", help="only runs of such profiles")
    states = ("running", "finished", "failed", "interrupted", "crashed", "unreadable")
    parser.add_argument("--state", choices=states, help="only runs in this state")
    parser.add_argument("--since", metavar="DATE", help="only runs that started then or later (2026-11-23)")
    parser.add_argument("--sort", choices=list(SORTS), default="started", help="by what, largest first (started)")
    parser.add_argument("--reverse", action="store_true", help="smallest first")
    parser.add_argument("--jobs", action="store_true", help="also the jobs of sweeps")
    parser.add_argument("--sweeps", action="store_true", help="list sweeps instead of runs")
    parser.add_argument("--json", action="store_true", help="a JSON list on stdout")
    options = parser.parse_args(argv)
    outputs = Path(options.outputs)
    with Index(outputs) as index:
        found = _sweeps(index.db, options) if options.sweeps else rows(index.db, options)
        places = [] if options.sweeps else [index.path_of(row["folder"]) for row in found]
    if options.json:
        full = found if options.sweeps else [listing.row(RunFolder(place)).to_json() for place in places]
        print(json.dumps(full, indent=2, ensure_ascii=True))
    elif not found:
        print(f"no {'sweeps' if options.sweeps else 'runs'} in {display.visible(options.outputs)}")
    elif options.sweeps:
        print(display.table(tuple(found[0]), [tuple(row.values()) for row in found]))
    else:
        cells = ("started", "state", "job", "model", "ok", "failed", "skipped", "quarantined", "rate")
        shown = [
            (*(str(row[name])[:19] if name == "started" and row[name] else row[name] for name in cells), place)
            for row, place in zip(found, (str(place) for place in places), strict=True)
        ]
        print(display.table(HEAD, shown))
    return 0
