"""Lets a failure be tried again: takes it out of index.sqlite, which is only a cache of what the journals say.

The next run then finds the work of these inputs outstanding; all other work of their files stays finished. Changes no
run's folder, so that a rebuilt index knows the failures again. Called by nights and by the retry command.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from runner.errors import StorageError

INDEX_VERSION: Final = 3
"""SCHEMA_VERSION of native/src/index.rs; a test holds them together."""

_OK: Final = 1
_UNFINISHED: Final = 0


def forget(index: Path, failures: Iterable[Mapping[str, Any]]) -> int:
    """`failures`: lines of failures.jsonl. How many of them the index knew; another version's file is rebuilt by the
    next run
    and says so by an error."""
    if not index.is_file():
        return 0
    known = 0
    try:
        with sqlite3.connect(index, timeout=10) as database:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version != INDEX_VERSION:
                raise StorageError(
                    f"{index} has schema version {version}, known here: {INDEX_VERSION}",
                    f"remove {index}: it is only a cache",
                )
            for line in failures:
                steps = database.execute("SELECT steps FROM inputs WHERE source = ?", (line["source"],)).fetchall()
                works = [part["work_id"] for part in line["parts"]]
                works += [step["work_id"] for (text,) in steps if text for step in json.loads(text)]
                changed = database.execute(
                    "UPDATE inputs SET status = ? WHERE source = ? AND status <> ?", (_UNFINISHED, line["source"], _OK)
                ).rowcount
                known += changed > 0
                for work_id in works:
                    database.execute(
                        "DELETE FROM work WHERE work_id = ? AND status <> ?", (bytes.fromhex(work_id), _OK)
                    )
        database.close()
    except sqlite3.Error as error:
        raise StorageError(f"cannot use {index}: {error}", f"remove {index}: it is only a cache") from error
    return known
