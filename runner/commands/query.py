"""`runner query "SELECT ..."`: SQL over all runs, documents, samples and sweeps of an outputs folder (docs/index.md).

Thin: index.reading guards and runs it. Called by cli.
"""

from __future__ import annotations

import csv
import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any, Final

from runner import display
from runner.commands.parser import Parser
from runner.errors import EXIT_OK, UsageError
from runner.index import reading, tables
from runner.index.catch_up import Index
from runner.layout import DEFAULT_OUTPUTS

MOST_ROWS: Final = 1_000
"""Of a table on the terminal."""


def main(argv: list[str]) -> int:
    """Prints the answer as a table, JSON, JSON lines or CSV."""
    parser = Parser(prog="runner query", description="Ask the index of an outputs folder by SQL.")
    parser.add_argument("sql", nargs="?", help='one SELECT: "SELECT job, count(*) FROM runs GROUP BY job"')
    parser.add_argument("--outputs", default=DEFAULT_OUTPUTS, help="outputs folder (default: outputs)")
    parser.add_argument("--format", choices=("table", "json", "jsonl", "csv"), default="table", help="(table)")
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    parser.add_argument("--seconds", type=float, default=30.0, help="the longest that it may take (30)")
    parser.add_argument("--tables", action="store_true", help="show tables and columns instead")
    options = parser.parse_args(argv)
    if not options.tables and not options.sql:
        raise UsageError("runner query: there is no SQL", 'runner query "SELECT * FROM runs", or runner query --tables')
    with Index(Path(options.outputs)) as index:
        if options.tables:
            _print_tables(index)
            return EXIT_OK
        if any(name in options.sql.lower() for name in ("documents", "metrics")):
            index.take_documents()
        answer = reading.query(index.db, options.sql, options.seconds)
        _print(answer, "json" if options.json else options.format)
    return EXIT_OK


def _print_tables(index: Index) -> None:
    for name in tables.SHOWN:
        columns = ", ".join(row[1] for row in index.db.execute(f"PRAGMA table_info({name})"))
        print(f"{name}: {columns}")


def _print(answer: reading.Answer, form: str) -> None:
    if form == "table":
        rows = list(islice(answer.rows, MOST_ROWS + 1))
        print(display.table(answer.columns, [tuple(map(_shown, row)) for row in rows[:MOST_ROWS]]))
        if len(rows) > MOST_ROWS:
            print(f"only the first {MOST_ROWS} rows; --format csv or jsonl gives all", file=sys.stderr)
    elif form == "csv":
        table = csv.writer(sys.stdout)
        table.writerow(answer.columns)
        table.writerows([display.csv_cell(_shown(value)) for value in row] for row in answer.rows)
    elif form == "jsonl":
        for row in answer.rows:
            print(json.dumps(_object(answer.columns, row)))
    else:
        print(json.dumps([_object(answer.columns, row) for row in answer.rows], indent=2))


def _object(columns: tuple[str, ...], row: Any) -> dict[str, Any]:
    return {name: _shown(value) for name, value in zip(columns, row, strict=True)}


def _shown(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value
