"""Standard input and lists of paths, through the whole command: what is read, kept for a resume, refused."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Shell, scripted

SLOW = json.dumps({"output": "echo", "steps": 3, "delay_ms_per_step": 40})


def piped(shell: Shell, given: bytes, *words: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-P", "-m", "runner", *words],
        cwd=shell.folder, env=shell.environment, input=given, capture_output=True, timeout=120,
    )  # fmt: skip
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(words, done.returncode, out, err)


def texts(shell: Shell, count: int) -> list[str]:
    folder = shell.folder / "texts"
    folder.mkdir()
    names = [f"texts/doc-{number:03}.txt" for number in range(count)]
    for name in names:
        (shell.folder / name).write_text(f"{Path(name).stem} says something.\n")
    return names


def sources(shell: Shell) -> list[str]:
    return [line["source"] for line in shell.results()]


def test_a_document_on_standard_input_is_read_as_what_it_is(shell: Shell) -> None:
    done = piped(shell, b"<!DOCTYPE html><p>Words on a <b>page</b>.", *scripted("input=-"))
    assert done.returncode == 0, done.stderr
    (line,) = shell.results()
    assert line["source"] == "-"
    assert "Words on a **page**" in line["output"]
    assert "<b>" not in line["output"]


def test_its_type_can_be_named_and_files_may_stand_beside_it(shell: Shell) -> None:
    (shell.folder / "a.txt").write_text("File words.")
    rows = b'{"text": "First."}\n{"text": "Second."}\n'
    done = piped(shell, rows, *scripted("input=[-,a.txt]", "ingest.stdin_name=rows.jsonl"))
    assert done.returncode == 0, done.stderr
    assert [Path(source).name for source in sources(shell)] == ["-#1", "-#2", "a.txt"]


def test_equal_bytes_on_standard_input_are_not_computed_again(shell: Shell) -> None:
    assert piped(shell, b"The same words.", *scripted("input=-")).returncode == 0
    assert piped(shell, b"The same words.", *scripted("input=-")).returncode == 0
    assert [line["reused_from"] is None for line in shell.results()] == [False]


def test_a_killed_run_goes_on_with_what_came_on_standard_input(shell: Shell) -> None:
    rows = b"".join(json.dumps({"text": f"Number {number}."}).encode() + b"\n" for number in range(120))
    words = scripted("input=-", "ingest.stdin_name=rows.jsonl", script=SLOW)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "runner", *words],
        cwd=shell.folder, env=shell.environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0,
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(rows)
    process.stdin.close()
    results = shell.folder / "outputs" / "latest" / "results.jsonl"
    while not (results.exists() and results.stat().st_size > 0):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    resumed = shell.run("resume", "latest")
    assert resumed.returncode == 0, resumed.stderr
    assert len(shell.results()) == 120


def test_find_print0_gives_the_list(shell: Shell) -> None:
    names = texts(shell, 5)
    (shell.folder / "texts" / "note.md").write_text("Not wanted.")
    found = subprocess.run(
        ["find", "texts", "-name", "*.txt", "-print0"], cwd=shell.folder, capture_output=True, check=True
    )  # fmt: skip
    done = piped(shell, found.stdout, *scripted("ingest.files0_from=-"))
    assert done.returncode == 0, done.stderr
    assert sorted(Path(source).name for source in sources(shell)) == [Path(name).name for name in names]


def test_a_path_on_the_list_that_is_not_there_is_a_row_and_so_are_all(shell: Shell) -> None:
    texts(shell, 1)
    (shell.folder / "list").write_text("texts/doc-000.txt\ngone.txt\n")
    done = shell.run(*scripted("ingest.files_from=list"))
    assert done.returncode == 3, done.stderr
    rows = {Path(line["source"]).name: (line["status"], line["reason"]) for line in shell.results()}
    assert rows == {"doc-000.txt": ("ok", ""), "gone.txt": ("failed", "unreadable: no such file or folder")}
    (shell.folder / "list").write_text("gone.txt\nlost.txt\n")
    done = shell.run(*scripted("ingest.files_from=list"))
    assert done.returncode == 3, done.stderr
    assert len(shell.results()) == 2


def test_the_same_list_again_is_nothing_to_do_and_leaves_no_folder(shell: Shell) -> None:
    (shell.folder / "list").write_text("\n".join(texts(shell, 3)))
    assert shell.run(*scripted("ingest.files_from=list")).returncode == 0
    again = shell.run(*scripted("ingest.files_from=list"))
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in again.stderr
    assert len(shell.runs()) == 1


def test_a_killed_run_goes_on_with_the_list_it_began_with(shell: Shell) -> None:
    names = texts(shell, 120)
    (shell.folder / "list").write_text("\n".join(names))
    process = shell.start(*scripted("ingest.files_from=list", script=SLOW), own_group=True)
    results = shell.folder / "outputs" / "latest" / "results.jsonl"
    while not (results.exists() and results.stat().st_size > 0):
        assert process.poll() is None, process.communicate()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    (shell.folder / "list").unlink()
    resumed = shell.run("resume", "latest")
    assert resumed.returncode == 0, resumed.stderr
    assert [Path(source).name for source in sources(shell)] == [Path(name).name for name in names]


def test_a_resume_without_the_kept_input_says_so(shell: Shell) -> None:
    assert piped(shell, b"Words.", *scripted("input=-")).returncode == 0
    run = shell.folder / "outputs" / "latest"
    identity = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**identity, "status": "failed"}))
    (run / "stdin" / "stdin").unlink()
    done = shell.run("resume")
    assert done.returncode == 74
    assert "stdin/stdin is not there" in done.stderr


@pytest.mark.parametrize("words", [("input=-",), ("ingest.files_from=-",)])
def test_what_was_refused_leaves_no_folder(words: tuple[str, ...], shell: Shell) -> None:
    done = piped(
        shell, b"a\0b\n" if len(words[0]) > 8 else b"x" * 2000, *scripted(*words, "ingest.max_file_bytes=1000")
    )
    assert done.returncode == 2, done.stderr
    assert shell.runs() == []
