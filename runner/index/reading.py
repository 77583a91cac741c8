"""SQL of the user's over runs.sqlite: reads the documented tables and nothing else, for as long as it may.

The connection is read-only, and an authorizer refuses everything but SELECT on our tables and functions that touch no
file. Called by the query command.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from runner.errors import RunFailed, UsageError
from runner.index import tables

_MOST_BYTES: Final = 64 << 20
"""Of one value: a query that builds a longer one ends."""
_REFUSED: Final = frozenset({"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"})
_EVERY: Final = 10_000
"""Steps of SQLite's machine between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Column names, and rows to be read once."""

    columns: tuple[str, ...]
    rows: Iterator[Sequence[Any]]


def query(db: sqlite3.Connection, sql: str, seconds: float) -> Answer:
    """UsageError for SQL that cannot be read or may not be done; RunFailed when it takes longer than `seconds`."""
    db.execute("PRAGMA query_only=ON")
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_BYTES)
    db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    db.set_authorizer(_may)
    until = time.monotonic() + seconds
    db.set_progress_handler(lambda: time.monotonic() > until, _EVERY)
    try:
        cursor = db.execute(sql)
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        raise _told(error, seconds) from error
    if cursor.description is None:
        raise UsageError("the query gives no table", f"SELECT from {', '.join(tables.SHOWN)}; see docs/index.md")
    return Answer(tuple(column[0] for column in cursor.description), _rows(cursor, seconds))


def _rows(cursor: sqlite3.Cursor, seconds: float) -> Iterator[Sequence[Any]]:
    try:
        yield from cursor
    except sqlite3.Error as error:
        raise _told(error, seconds) from error


def _told(error: Exception, seconds: float) -> UsageError | RunFailed:
    if str(error) == "interrupted":
        return RunFailed(f"the query ran longer than {seconds:g} s", "ask for less, or raise --seconds")
    if "prohibited" in str(error) or "not authorized" in str(error):
        return UsageError(
            f"the query does more than read: {error}", f"SELECT from {', '.join(tables.SHOWN)}; see docs/index.md"
        )
    return UsageError(f"the query cannot be done: {error}", "`runner query --tables` shows tables and columns")


def _may(action: int, first: str | None, second: str | None, _base: str | None, _trigger: str | None) -> int:
    if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
        return sqlite3.SQLITE_OK
    # Of our file only these are told; any other name is one that the query has made itself.
    if action == sqlite3.SQLITE_READ and not str(first).lower().startswith(("sqlite_", "pragma_", "stamps", "dbstat")):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and second not in _REFUSED:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
