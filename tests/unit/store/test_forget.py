"""A failure that is taken out of the index is outstanding for the next run; what was finished stays."""

import re
import sqlite3
from pathlib import Path

import pytest

from runner.errors import StorageError
from runner.store.forget import INDEX_VERSION, forget
from tests.end_to_end.conftest import ROOT

WORK = "ab" * 32


def make_index(path: Path, version: int = INDEX_VERSION) -> Path:
    """The tables that native/src/index/build.rs makes, as far as they are touched here."""
    source = (ROOT / "native" / "src" / "index" / "build.rs").read_text()
    (tables,) = re.findall(r'"\n(CREATE TABLE.*?)";', source, re.DOTALL)
    with sqlite3.connect(path) as database:
        database.executescript(tables + f"PRAGMA user_version = {version};")
        for number, (status, steps) in enumerate([(1, None), (2, f'[{{"work_id": "{"cd" * 32}", "from": []}}]')]):
            database.execute(
                "INSERT INTO inputs VALUES (?, 1, NULL, 1, 1, 1, 1, 1, 1, ?, 1, 1, ?)", (f"/in/{number}", status, steps)
            )
        for work_id, status in ((WORK, 2), ("cd" * 32, 2), ("ef" * 32, 1)):
            database.execute("INSERT INTO work VALUES (?, 1, 1, 1, ?)", (bytes.fromhex(work_id), status))
    database.close()
    return path


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as database:
        found = database.execute(query).fetchall()
    database.close()
    return found


def test_failed_work_and_its_reduce_steps_are_outstanding_again_and_finished_work_stays(tmp_path: Path) -> None:
    index = make_index(tmp_path / "index.sqlite")
    lines = [{"source": f"/in/{number}", "parts": [{"work_id": WORK}, {"work_id": "ef" * 32}]} for number in (0, 1)]
    assert forget(index, lines) == 1
    assert rows(index, "SELECT source, status FROM inputs ORDER BY source") == [("/in/0", 1), ("/in/1", 0)]
    assert rows(index, "SELECT work_id FROM work") == [(bytes.fromhex("ef" * 32),)]


def test_an_index_of_another_version_or_none_is_not_touched(tmp_path: Path) -> None:
    assert forget(tmp_path / "none", []) == 0
    with pytest.raises(StorageError, match="has schema version 9"):
        forget(make_index(tmp_path / "index.sqlite", 9), [])


def test_the_version_is_that_of_the_index_room() -> None:
    source = (ROOT / "native" / "src" / "index.rs").read_text()
    assert re.search(r"SCHEMA_VERSION: i64 = (\d+)", source).group(1) == str(INDEX_VERSION)  # type: ignore[union-attr]
