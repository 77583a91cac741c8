"""Whole runs through the command line with the scripted engine: incremental, resumable, busy, interrupted, sweeping."""

import json
import resource
import signal
import subprocess
import time
from pathlib import Path

from tests.end_to_end.conftest import Shell, scripted

SLOW = json.dumps({"output": "echo", "steps": 3, "delay_ms_per_step": 40})


def corpus(folder: Path, documents: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(documents):
        (folder / f"doc-{number:05}.txt").write_text(f"doc-{number:05} says something.\n")
    return folder


def test_a_run_gives_one_line_for_each_document_and_its_folder_on_stdout(shell: Shell) -> None:
    corpus(shell.folder / "texts", 12)
    done = shell.run(*scripted("input=texts"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("12 ok, 0 failed, 0 skipped, 0 quarantined of 12 documents")
    results = shell.results()
    assert [Path(line["source"]).name for line in results] == [f"doc-{number:05}.txt" for number in range(12)]
    assert all(Path(line["source"]).stem in line["output"] for line in results)


def test_a_second_run_does_nothing_and_a_changed_document_or_prompt_redoes_just_that(shell: Shell) -> None:
    texts = corpus(shell.folder / "texts", 6)
    assert shell.run(*scripted("input=texts")).returncode == 0
    again = shell.run(*scripted("input=texts"))
    assert again.returncode == 0
    assert "nothing to do" in again.stderr
    assert len(shell.runs()) == 1
    (texts / "doc-00003.txt").write_text("doc-00003 says something else.\n")
    changed = shell.run(*scripted("input=texts"))
    assert changed.returncode == 0, changed.stderr
    assert "1 to do" in changed.stderr
    lines = shell.results()
    assert len(lines) == 6
    assert sum(line["reused_from"] is None for line in lines) == 1
    prompt = shell.run(*scripted("input=texts", "job.template='Say it again: {{ document }}'"))
    assert prompt.returncode == 0, prompt.stderr
    assert all(line["reused_from"] is None for line in shell.results())


def test_ten_thousand_unchanged_documents_are_seen_to_be_unchanged_in_two_seconds(shell: Shell) -> None:
    """Seconds of CPU, which other processes of the machine cannot stretch; on an idle one it is the wall time too."""
    corpus(shell.folder / "texts", 10_000)
    words = scripted("input=texts", "output.durability=process", script=json.dumps({"output": "x", "steps": 1}))
    first = shell.run(*words, seconds=280)
    assert first.returncode == 0, first.stderr
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    again = shell.run(*words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"10,000 unchanged documents: {seconds:.2f} s of CPU, {time.monotonic() - begun:.2f} s")
    assert "nothing to do" in again.stderr
    assert seconds < 2.0


def test_sigterm_is_143_and_resume_latest_goes_on_to_the_end(shell: Shell) -> None:
    corpus(shell.folder / "texts", 120)
    process = shell.start(*scripted("input=texts", script=SLOW))
    results = shell.folder / "outputs" / "latest" / "results.jsonl"
    for _ in range(3000):
        if results.exists() and results.stat().st_size > 0:
            break
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(process.communicate())
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    assert process.returncode == 143, err
    shown = json.loads(shell.run("show", "--json").stdout)
    assert shown["state"] == "interrupted"
    resumed = shell.run("resume", "latest")
    assert resumed.returncode == 0, resumed.stderr
    assert len(shell.results()) == 120
    assert json.loads(shell.run("ls", "--json").stdout)[0]["incarnation"] == 2
    summary = json.loads(shell.run("show", "--json").stdout)["summary"]
    made_now = summary["docs_per_hour"] * summary["working_seconds"] / 3600
    assert round(made_now) == 120 - shown["summary"]["ok"], "the rate is that of the last life"
    assert "nothing to resume" in shell.run("resume").stdout
    # Both lives say when and where each part was made, and the timeline draws all of them.
    for line in shell.results():
        assert line["read"]["ended_unix_ms"] > 0
        assert all(part["made"]["worker"] >= 0 and part["made"]["prefill_ms"] >= 0 for part in line["parts"])
    trace = json.loads((results.parent / "trace.json").read_text())
    assert trace["otherData"]["documents_drawn"] == 120
    rows = [event for event in trace["traceEvents"] if event["ph"] == "X" and event["name"].endswith(".txt")]
    assert len(rows) == 240  # each read, and each answered


def test_more_failed_documents_than_allowed_is_exit_3(shell: Shell) -> None:
    texts = corpus(shell.folder / "texts", 3)
    (texts / "bad.jsonl").write_text('{"text": "fine"}\n{broken\n')
    done = shell.run(*scripted("input=texts", "job.max_failed=0"))
    assert done.returncode == 3, done.stderr
    assert "1 failed" in done.stdout


def test_paths_with_spaces_commas_and_brackets_are_inputs_like_others(shell: Shell) -> None:
    for name in ("my texts", "a,b", "x[1]", "k=v", "grün"):
        corpus(shell.folder / name, 1)
        done = shell.run(*scripted(f"input={name}"))
        assert done.returncode == 0, f"{name}: {done.stderr}"
        assert len(shell.results()) == 1, name


def test_json_makes_stdout_one_object(shell: Shell) -> None:
    corpus(shell.folder / "texts", 2)
    done = shell.run(*scripted("input=texts"), "--json")
    assert json.loads(done.stdout)["ok"] == 2


def test_a_folder_of_links_alone_is_told_from_an_empty_one(shell: Shell) -> None:
    texts = corpus(shell.folder / "texts", 2)
    links = shell.folder / "links"
    links.mkdir()
    for text in texts.iterdir():
        (links / text.name).symlink_to(text)
    done = shell.run(*scripted("input=links"))
    assert done.returncode == 2
    assert "2 paths there are links" in done.stderr
    assert "ingest.follow_links" in done.stderr
    assert shell.run(*scripted("input=links", "ingest.follow_links=true")).returncode == 0


def test_an_unreadable_and_a_binary_file_are_counted_and_the_rest_is_done(shell: Shell) -> None:
    texts = corpus(shell.folder / "texts", 2)
    (texts / "binary.txt").write_bytes(bytes(range(256)) * 64)
    (texts / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
    done = shell.run(*scripted("input=texts"))
    assert done.returncode in (0, 3), done.stderr
    by_name = {Path(line["source"]).name: line for line in shell.results()}
    assert len(by_name) == 4
    assert by_name["picture.png"]["status"] == "skipped"
    assert "unsupported type" in by_name["picture.png"]["reason"]
    assert by_name["binary.txt"]["status"] in ("skipped", "failed")
