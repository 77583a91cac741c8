"""ls, show, diff, query, export and gc over folders made by hand: what they print, what they refuse, hostile text."""

import csv
import io
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from runner import cli
from runner.commands.gc import Candidate, plan
from runner.errors import StorageError
from runner.index import exporting
from runner.layout import RunFolder
from runner.store.rests import rests_on
from tests.unit.index.folders import make_run, result

HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e=cmd|' /C calc'!A0\r"


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(list(words))
    said = capsys.readouterr()
    return code, said.out, said.err


def frames(*bodies: tuple[int, dict[str, Any]]) -> bytes:
    out = b"RUNJRNL\n" + bytes(8)
    for kind, body in bodies:
        text = json.dumps(body).encode()
        out += struct.pack("<4sIIBBHQ", b"\xf5\x4a\x52\xfa", len(text), 0, kind, 1, 0, 0) + text
    return out


def test_ls_filters_sorts_and_limits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(1, 5):
        make_run(tmp_path, number, model="big" if number % 2 else "small")
    where = ("--outputs", str(tmp_path), "--json")
    _, out, _ = run(capsys, "ls", *where, "--sort", "rate", "--limit", "2")
    assert [row["run_id"] for row in json.loads(out)] == ["000004", "000003"]
    _, out, _ = run(capsys, "ls", *where, "--model", "b*", "--reverse")
    assert [row["run_id"] for row in json.loads(out)] == ["000001", "000003"]
    _, out, _ = run(capsys, "ls", *where, "--since", "2026-11-24")
    assert json.loads(out) == []


def test_show_finds_a_document_by_the_end_of_its_source_or_its_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path, 1, [result(0), result(10), result(77, output="line one\nline two")])
    where = ("--outputs", str(tmp_path))
    code, out, _ = run(capsys, "show", "000001", "77.txt", *where)
    assert (code, "line one\nline two" in out) == (0, True)
    assert run(capsys, "show", "000001", "000000000000004d", "--output", *where)[1] == "line one\nline two"
    code, _, err = run(capsys, "show", "000001", "0.txt", *where)
    assert (code, "means 2 documents" in err) == (2, True)
    code, _, err = run(capsys, "show", "000001", "nothing", *where)
    assert (code, "no document 'nothing'" in err) == (2, True)


def test_diff_names_every_kind_of_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path, 1, [result(0), result(1), result(2), result(3)])
    make_run(tmp_path, 2, [result(0), result(1, output="other"), result(2, status="failed"), result(4)])
    where = ("--outputs", str(tmp_path))
    code, out, _ = run(capsys, "diff", "000001", "000002", "--json", *where)
    found = json.loads(out)
    assert code == 0
    assert found["config"] == {"job.max_tokens": [1, 2]}
    assert found["environment"] == {}
    assert found["results"] == {
        "same": 1, "changed": ["/in/1.txt"], "ended_otherwise": [["/in/2.txt", "ok", "failed"]],
        "only_a": ["/in/3.txt"], "only_b": ["/in/4.txt"],
    }  # fmt: skip
    assert found["speed"]["docs_per_hour"] == [100.0, 200.0, 2.0]
    assert run(capsys, "diff", "000001", "000002", "--check", *where)[0] == 4
    code, out, _ = run(capsys, "diff", "000001", "000001", "--check", *where)
    assert (code, "results: the same for all 4 documents" in out) == (0, True)


def test_hostile_text_acts_on_no_terminal_and_on_no_spreadsheet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [result(0, source=HOSTILE, output=HOSTILE, reason=f"schema: {HOSTILE}", status="failed")]
    (make_run(tmp_path, 1, lines, job=HOSTILE) / "failures.jsonl").write_text(json.dumps(lines[0]) + "\n")
    make_run(tmp_path, 2, [result(0, source=HOSTILE, output="x" * 1_000_000)], job="=1+1")
    where = ("--outputs", str(tmp_path))
    said = [
        run(capsys, *words, *where)[1]
        for words in (
            ("ls",), ("show", "000001"), ("show", "000001", "0000"), ("show", "000002", "0000"),
            ("diff", "000001", "000002"), ("query", "SELECT * FROM documents"), ("query", "SELECT * FROM runs"),
        )
    ]  # fmt: skip
    for text in said:
        assert text
        assert not {*text} & {*"\x1b\x07\r\u202e"}, text[:500]
    _, table, _ = run(
        capsys, "query", "SELECT job, source FROM documents JOIN runs USING(run)", "--format", "csv", *where
    )
    assert "'=1+1" in table
    assert run(capsys, "export", "000001", "--to", "csv", "--out", str(tmp_path / "x.csv"), *where)[0] == 0
    (row,) = csv.DictReader(io.StringIO((tmp_path / "x.csv").read_bytes().decode(), newline=""))
    assert row["source"] == HOSTILE, "text that is no formula is not touched"
    start = [result(0, source="=HYPERLINK(1)", output="@x")]
    make_run(tmp_path, 3, start)
    run(capsys, "export", "000003", "--to", "csv", "--out", str(tmp_path / "y.csv"), *where)
    (row,) = csv.DictReader(io.StringIO((tmp_path / "y.csv").read_bytes().decode(), newline=""))
    assert (row["source"], row["output"]) == ("'=HYPERLINK(1)", "'@x")


def test_exports_agree_and_an_empty_column_keeps_its_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pyarrow = pytest.importorskip("pyarrow.parquet")
    make_run(tmp_path, 1, [result(number, output=None if number else "x\ud800") for number in range(3)])
    where = ("--outputs", str(tmp_path))
    for form, name in (("jsonl", "a.jsonl"), ("parquet", "a.parquet"), ("hf", "data set")):
        code, out, err = run(capsys, "export", "000001", "--to", form, "--out", str(tmp_path / name), *where)
        assert (code, "3 rows" in out) == (0, True), err
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    table = pyarrow.read_table(tmp_path / "a.parquet")
    assert [line["source"] for line in lines] == table["source"].to_pylist()
    assert table["output"].to_pylist() == ["x\\ud800", None, None]
    assert {str(table.schema.field(name).type) for name, kind in exporting.COLUMNS.items() if kind is str} == {"string"}
    assert (tmp_path / "data set/data/train-00000-of-00001.parquet").is_file()
    assert "path: data/train-*.parquet" in (tmp_path / "data set/README.md").read_text()
    code, _, err = run(capsys, "export", "000001", "--to", "jsonl", "--out", str(tmp_path / "a.jsonl"), *where)
    assert (code, "is there already" in err) == (2, True)


def test_gc_shows_and_removes_only_what_no_rule_keeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [make_run(tmp_path, number) for number in range(1, 6)]
    (tmp_path / "latest").symlink_to(folders[4].relative_to(tmp_path))
    where = ("--outputs", str(tmp_path), "--keep-days", "0")
    held = folders[1].relative_to(tmp_path).as_posix()
    (folders[3] / "journal").write_bytes(frames((5, {}), (6, {"run": held})))
    _, out, _ = run(capsys, "gc", "--keep-last", "2", *where)
    assert "2 of 5 would go" in out
    assert "rests on its results" in out
    assert all(folder.exists() for folder in folders), "nothing goes without --delete"
    _, out, _ = run(capsys, "gc", "--keep-last", "2", "--delete", *where)
    assert [folder.exists() for folder in folders] == [False, True, False, True, True]
    assert "2 of 5 removed" in out


def test_gc_keeps_everything_when_a_journal_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, young = make_run(tmp_path, 1), make_run(tmp_path, 2)
    good = frames((5, {}), (6, {"run": "runs/x"}), (5, {}))
    (young / "journal").write_bytes(good[:16] + b"\0\0\0\0" + good[20:])
    code, _, err = run(capsys, "gc", "--keep-last", "1", "--keep-days", "0", "--delete", "--outputs", str(tmp_path))
    assert (code, "damaged at byte 16" in err) == (74, True)
    assert old.exists()


def test_gc_follows_what_rests_on_what() -> None:
    def run_of(name: str, *rests: str, state: str = "finished") -> Candidate:
        return Candidate(name, state, 1e9, 1, frozenset(rests))

    found = [
        run_of("e", "c"),
        run_of("d", "b"),
        run_of("c", "a"),
        run_of("b"),
        run_of("a"),
        run_of("z", state="running"),
    ]
    fates = {fate.folder: fate.why for fate in plan(found, "", keep_last=1, keep_days=0)}
    assert fates == {
        "e": "one of the last 1", "d": "", "c": "e rests on its results", "b": "", "a": "c rests on its results",
        "z": "it is running",
    }  # fmt: skip


def test_a_torn_tail_hides_nothing_and_damage_before_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    whole = frames((6, {"run": "runs/a"}), (6, {"run": "runs/b"}))
    path.write_bytes(whole[:-5])
    assert rests_on(path) == {"runs/a"}
    path.write_bytes(whole + bytes(4096))
    assert rests_on(path) == {"runs/a", "runs/b"}
    path.write_bytes(whole[:17] + b"x" + whole[18:])
    with pytest.raises(StorageError, match="damaged at byte 16"):
        rests_on(path)


def test_rows_of_an_export_are_read_from_the_run_folder(tmp_path: Path) -> None:
    folder = make_run(tmp_path, 1, [result(0), result(1, status="failed")])
    found = list(exporting.rows(RunFolder(folder), "000001", "failed"))
    assert [row["source"] for row in found] == ["/in/1.txt"]
    assert list(found[0]) == list(exporting.COLUMNS)
