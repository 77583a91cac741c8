"""`runner plan` counts what a run then does, says what it estimates, and makes nothing."""

import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Shell, scripted
from tests.end_to_end.pdf_writer import of_streams, pdf
from tests.end_to_end.test_extraction import docx

WORDS = scripted("input=in", "job.max_tokens=40", "model.max_model_len=200")
LONG = " ".join(f"word{number} of a long text." for number in range(300))


def mixed(shell: Shell) -> Path:
    """Files of many kinds: read, skipped, failed, twice there, nearly twice there."""
    folder = shell.folder / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("Ships lie in the harbour.")
    (folder / "again.txt").write_text("Ships lie in the harbour.")
    (folder / "long.md").write_text(f"# Long\n\n{LONG}")
    (folder / "nearly.html").write_text(f"<html><h1>Long</h1><p>{LONG} And an end.")
    (folder / "records.jsonl").write_text('{"text":"one"}\nnonsense\n{"text":"two"}\n{"text":"one"}\n{"text":" "}\n')
    (folder / "table.csv").write_text("text,n\nfirst row,1\nsecond row,2\n")
    (folder / "good.pdf").write_bytes(pdf(["Bees live in a hive.", "So do wasps."]))
    (folder / "scan.pdf").write_bytes(of_streams([b"0 0 m 100 100 l S"] * 3))
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7\nnonsense")
    (folder / "letter.docx").write_bytes(docx("A letter."))
    (folder / "empty.txt").write_bytes(b"")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n....")
    (folder / "link.txt").symlink_to("a.txt")
    os.mkfifo(folder / "pipe")
    return folder


def plan(shell: Shell, *words: str) -> dict[str, Any]:
    done = shell.run("plan", "--json", *words)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def value(corpus: dict[str, Any], name: str) -> int:
    assert corpus[name]["exact"], name
    number: int = corpus[name]["value"]
    return number


def test_what_a_plan_counts_is_what_the_run_then_reports(shell: Shell) -> None:
    mixed(shell)
    corpus = plan(shell, *WORDS)["corpus"]
    assert not (shell.folder / "outputs").exists()
    assert corpus["exact"]
    done = shell.run(*WORDS, "--json")
    assert done.returncode == 3, done.stderr
    summary = json.loads(done.stdout)
    reasons = {f"{row['status']}: {row['reason']}": row["count"]["value"] for row in corpus["reasons"]}
    assert reasons == summary["reasons"]
    assert value(corpus, "inputs") == summary["inputs"]
    assert value(corpus, "documents") == summary["ok"]
    assert value(corpus, "inputs") == value(corpus, "documents") + sum(reasons.values())
    assert value(corpus, "duplicates") == summary["core"]["duplicates"] == 2
    assert value(corpus, "covered_bytes") == summary["core"]["covered_bytes"]
    assert value(corpus, "text_bytes") == summary["core"]["text_bytes"]
    results = shell.results()
    assert value(corpus, "chunks") == sum(len(line["parts"]) for line in results)
    sent = {part["work_id"]: part["tokens_in"] for line in results for part in line["parts"]}
    assert value(corpus, "requests") == len(sent)
    assert value(corpus, "tokens_to_send") == sum(sent.values())
    assert corpus["near_duplicates"]["value"] == 1
    assert Path(corpus["near_duplicate_example"]["source"]).name == "nearly.html"


def test_after_the_run_everything_is_unchanged_and_a_new_file_is_all_there_is_to_do(shell: Shell) -> None:
    folder = mixed(shell)
    shell.run(*WORDS)
    (folder / "new.txt").write_text("Something new.")
    found = shell.run("plan", *WORDS)
    assert found.returncode == 0, found.stderr
    ends = Counter(line["status"] for line in shell.results() if line["doc_id"] is not None)
    said = f"1 to do, {ends.total()} unchanged since they were answered (12 files)"
    assert said in " ".join(found.stdout.split())
    corpus = plan(shell, *WORDS)["corpus"]
    assert corpus["unchanged"] == ends
    assert value(corpus, "requests") == 1


def test_a_plan_fits_a_narrow_terminal(shell: Shell) -> None:
    mixed(shell)
    shell.environment["COLUMNS"] = "80"
    found = shell.run("plan", *WORDS)
    # Paths are not broken, so that they can be copied.
    assert [line for line in found.stdout.splitlines() if len(line) > 80 and "/" not in line] == []
    assert "every number here is counted" in " ".join(found.stdout.split())
    assert len(found.stdout.splitlines()) < 50


def test_a_sample_says_what_it_is_and_between_what_each_number_lies(shell: Shell) -> None:
    folder = shell.folder / "in"
    folder.mkdir()
    for number in range(200):
        markup = "<!-- not text -->" * (number * 7919 % 60)
        (folder / f"{number}.html").write_text(f"<p>{markup}" + f"Page {number} of many. " * (1 + number % 50))
    exact = plan(shell, *WORDS)["corpus"]
    corpus = plan(shell, *WORDS, "--sample", "40")["corpus"]
    assert corpus["files"]["read"] == 40
    assert corpus["files"]["to_read"] == 200
    tokens, right = corpus["tokens"], exact["tokens"]["value"]
    assert not tokens["exact"]
    assert tokens["low"] < tokens["value"] < tokens["high"]
    assert 0.7 < tokens["value"] / right < 1.4
    said = " ".join(shell.run("plan", *WORDS, "--sample", "40").stdout.split())
    assert "sampled 40 of 200 files" in said
    assert "~" in said
    full = plan(shell, *WORDS, "--full")["corpus"]
    assert full["tokens"] == exact["tokens"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--sample", "none"], "'none' is no number of files"),
        (["--sample", "3", "--full"], "not allowed with"),
        (["--everything"], "there is no option '--everything'"),
    ],
)
def test_a_mistake_in_the_words_of_a_plan_is_exit_2(shell: Shell, words: list[str], says: str) -> None:
    done = shell.run("plan", *words)
    assert done.returncode == 2
    assert says in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="looks at threads by /proc")
def test_ctrl_c_ends_a_plan_with_130_and_leaves_nothing(shell: Shell) -> None:
    folder = shell.folder / "in"
    folder.mkdir()
    line = json.dumps({"text": "many words that take their time " * 10})
    (folder / "records.jsonl").write_text(f"{line}\n" * 300_000)
    process = shell.start("plan", "--full", *WORDS, own_group=True)
    started = time.monotonic()
    while not threads(process.pid) and time.monotonic() - started < 60:
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert out == ""
    assert "stopped; nothing was made" in err
    assert not (shell.folder / "outputs").exists()


def threads(pid: int) -> bool:
    """Whether the census reads by now."""
    tasks = Path(f"/proc/{pid}/task")
    try:
        return any((task / "comm").read_text().startswith("census-") for task in tasks.iterdir())
    except OSError:
        return False
