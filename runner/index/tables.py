"""The tables of runs.sqlite, and opening the file: made anew when it is missing, damaged or of another version.

Knows no folder of a run (taking does). Called by catch_up and reading.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from runner.errors import StorageError

VERSION: Final = 1
"""Raised when a table or the meaning of a column changes; a file of another version is made anew."""

WAIT_S: Final = 10.0
"""For another process that is filling the file."""

TABLES: Final = """
CREATE TABLE runs(
  run INTEGER PRIMARY KEY, folder TEXT NOT NULL UNIQUE, sweep INTEGER, run_id TEXT, state TEXT NOT NULL, problem TEXT,
  job TEXT, profile TEXT, model TEXT, started_at TEXT, ended_at TEXT, exit_code INTEGER, lives INTEGER,
  inputs INTEGER, ok INTEGER, failed INTEGER, skipped INTEGER, quarantined INTEGER, reused INTEGER,
  prompt_tokens INTEGER, generated_tokens INTEGER, seconds REAL, working_seconds REAL, docs_per_hour REAL,
  peak_rss_bytes INTEGER, conditions TEXT, runner_version TEXT, chip TEXT, workers INTEGER, environment TEXT);
CREATE INDEX runs_by_start ON runs(started_at);
CREATE TABLE documents(
  run INTEGER NOT NULL, position INTEGER NOT NULL, input_id TEXT NOT NULL, source TEXT NOT NULL, doc_id TEXT,
  status TEXT NOT NULL, class TEXT, reason TEXT, parts INTEGER, attempts INTEGER, tokens_in INTEGER, tokens_out INTEGER,
  output_chars INTEGER, queued_ms REAL, prefill_ms REAL, decode_ms REAL, text_bytes INTEGER, covered_bytes INTEGER,
  duplicate_of TEXT, reused_from TEXT, reader TEXT, unread TEXT, offset INTEGER NOT NULL, bytes INTEGER NOT NULL,
  PRIMARY KEY(run, position)) WITHOUT ROWID;
CREATE INDEX documents_by_end ON documents(run, status, class);
CREATE INDEX documents_by_source ON documents(source);
CREATE TABLE metrics(
  run INTEGER NOT NULL, number INTEGER NOT NULL, seconds REAL, sample TEXT NOT NULL, PRIMARY KEY(run, number)
) WITHOUT ROWID;
CREATE TABLE sweeps(
  sweep INTEGER PRIMARY KEY, folder TEXT NOT NULL UNIQUE, state TEXT NOT NULL, problem TEXT, started_at TEXT,
  ended_at TEXT, lives INTEGER, jobs INTEGER, completed INTEGER, failed INTEGER, words TEXT);
CREATE TABLE jobs(
  sweep INTEGER NOT NULL, job INTEGER NOT NULL, key TEXT NOT NULL, status TEXT NOT NULL, exit_code INTEGER,
  seconds REAL, docs_per_hour REAL, overrides TEXT, run INTEGER, PRIMARY KEY(sweep, job)) WITHOUT ROWID;
CREATE TABLE stamps(folder TEXT NOT NULL, part TEXT NOT NULL, stamp TEXT NOT NULL, PRIMARY KEY(folder, part))
WITHOUT ROWID;
"""

SHOWN: Final = ("runs", "documents", "metrics", "sweeps", "jobs")
"""What a query may read."""


def connect(path: Path) -> sqlite3.Connection:
    """Ready to be filled. Where the folder cannot be written the index lives in memory for this one command."""
    try:
        return _opened(path)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise StorageError(f"{path} is being filled by another process", "try again when it has ended") from error
        return _opened(Path(":memory:"))
    except sqlite3.DatabaseError:
        path.unlink(missing_ok=True)
        return _opened(path)


def _opened(path: Path) -> sqlite3.Connection:
    # Not WAL: outputs may lie on a network disk.
    db = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    try:
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA cache_size=-65536")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version != VERSION:
            db.execute("BEGIN IMMEDIATE")
            for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type='table'").fetchall():
                db.execute(f'DROP TABLE "{name}"')
            for statement in TABLES.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version={VERSION}")
            db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db
