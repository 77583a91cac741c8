"""runs.sqlite is level with the folders, is rebuilt to the same rows, and trusts no damaged folder."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from runner.errors import RunFailed, UsageError
from runner.index import reading
from runner.index.catch_up import Index
from tests.unit.index.folders import make_run, result


def dump(index: Index) -> list[str]:
    index.take_documents()
    return sorted(line for line in index.db.iterdump() if line.startswith("INSERT") and "stamps" not in line)


def ask(outputs: Path, sql: str) -> list[tuple[object, ...]]:
    with Index(outputs) as index:
        index.take_documents()
        return [tuple(row) for row in reading.query(index.db, sql, 10).rows]


def test_a_rebuild_gives_the_same_rows_as_catching_up_step_by_step(tmp_path: Path) -> None:
    make_run(tmp_path, 1, [result(0), result(1, status="failed", reason="schema: no object")])
    with Index(tmp_path) as index:
        index.take_documents()
    first = make_run(tmp_path, 2, [result(0)])
    third = make_run(tmp_path, 3, [result(5)])
    with Index(tmp_path) as index:
        index.take_documents()
    shutil.rmtree(third)
    (first / "results.jsonl").write_text(json.dumps(result(0, output="other")) + "\n")
    with Index(tmp_path) as index:
        stepwise = dump(index)
    (tmp_path / "runs.sqlite").unlink()
    with Index(tmp_path) as index:
        assert dump(index) == stepwise
    assert len(stepwise) == 2 + 3 + 2  # runs, documents, samples


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    make_run(tmp_path, 1, [result(0)])
    (tmp_path / "runs.sqlite").write_bytes(b"no database at all" * 100)
    assert ask(tmp_path, "SELECT count(*) FROM documents") == [(1,)]


def test_an_index_of_another_version_is_made_anew(tmp_path: Path) -> None:
    make_run(tmp_path, 1)
    db = sqlite3.connect(tmp_path / "runs.sqlite")
    db.executescript("CREATE TABLE runs(x); INSERT INTO runs VALUES (1); PRAGMA user_version=99")
    db.close()
    assert ask(tmp_path, "SELECT run_id FROM runs") == [("000001",)]


def test_a_damaged_run_is_listed_as_such_and_hides_no_other(tmp_path: Path) -> None:
    make_run(tmp_path, 1)
    (make_run(tmp_path, 2) / "run.json").write_text('{"schema_version": 1, "run_')
    (make_run(tmp_path, 3, [result(0)]) / "results.jsonl").write_text('{"input_id": 7}\n')
    (make_run(tmp_path, 4) / "run.json").unlink()
    found = ask(tmp_path, "SELECT state, problem FROM runs ORDER BY folder")
    assert [state for state, _ in found] == ["finished", "unreadable", "finished", "unreadable"]
    assert "is not JSON" in str(found[1][1])
    assert "results.jsonl line 1" in str(found[2][1])
    assert ask(tmp_path, "SELECT count(*) FROM documents") == [(0,)]


def test_a_torn_last_line_of_a_live_run_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path, 1, [result(0)])
    with (run / "results.jsonl").open("a") as lines:
        lines.write('{"input_id": "00')
    assert ask(tmp_path, "SELECT source FROM documents") == [("/in/0.txt",)]


def test_a_run_whose_process_is_gone_becomes_crashed_without_a_changed_file(tmp_path: Path) -> None:
    make_run(tmp_path, 1, status="running", exit_code=None, ended_at=None)
    assert ask(tmp_path, "SELECT state FROM runs") == [("crashed",)]


def test_a_folder_that_cannot_be_written_is_indexed_in_memory(tmp_path: Path) -> None:
    make_run(tmp_path, 1)
    (tmp_path / "runs.sqlite").mkdir()  # as good as a read-only disk, also for root
    assert ask(tmp_path, "SELECT run_id FROM runs") == [("000001",)]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM runs",
        "ATTACH 'x.sqlite' AS x",
        "PRAGMA journal_mode=WAL",
        "CREATE TEMP TABLE x(a)",
        "SELECT load_extension('x')",
        "SELECT * FROM sqlite_schema",
        "SELECT * FROM stamps",
        "VACUUM INTO 'copy.sqlite'",
    ],
)
def test_a_query_can_only_read_what_is_documented(tmp_path: Path, sql: str) -> None:
    make_run(tmp_path, 1)
    with pytest.raises(UsageError):
        ask(tmp_path, sql)
    assert ask(tmp_path, "SELECT count(*) FROM runs") == [(1,)]


def test_a_query_without_an_end_is_stopped(tmp_path: Path) -> None:
    make_run(tmp_path, 1)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with Index(tmp_path) as index, pytest.raises(RunFailed, match="ran longer than"):
        list(reading.query(index.db, endless, 0.05).rows)


def test_ordinary_queries_work(tmp_path: Path) -> None:
    make_run(tmp_path, 1, [result(0), result(1, status="failed", reason="schema: x")])
    joined = "SELECT r.job, d.class, count(*) FROM documents d JOIN runs r USING(run) GROUP BY 1, 2 ORDER BY 2"
    assert ask(tmp_path, joined) == [("summarize", None, 1), ("summarize", "schema", 1)]
    assert ask(tmp_path, "SELECT sample ->> '$.ok' FROM metrics") == [(3,)]
    assert ask(tmp_path, "SELECT x FROM (SELECT max(tokens_in) AS x FROM documents)") == [(100,)]
