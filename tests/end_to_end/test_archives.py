"""Archives that are walked like folders, through the whole command: members beside files; unchanged, changed, killed"""

import io
import json
import os
import signal
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tests.end_to_end.conftest import Shell, scripted
from tests.end_to_end.pdf_writer import pdf

WORDS = ("input=papers", "ingest.archives=true")
SLOW = json.dumps({"output": "echo", "steps": 3, "delay_ms_per_step": 40})


def zipped(members: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def tarred(members: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def papers(shell: Shell, **files: bytes) -> Path:
    folder = shell.folder / "papers"
    folder.mkdir()
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    return folder


def outputs(shell: Shell) -> dict[str, str]:
    """Output by the part of the source that names file and member."""
    return {line["source"].split("/papers/")[1]: line["output"] for line in shell.results()}


def test_members_are_documents_beside_files_and_a_pdf_among_them_goes_to_a_worker(shell: Shell) -> None:
    papers(
        shell,
        a_zip=zipped({"in/page.html": b"<p>Zip words.", "in/paper.pdf": pdf(["Pdf words."])}),
        b_tgz=tarred({"lines.jsonl": b'{"text": "First."}\n{"text": "Second."}\n'}),
        c_txt=b"Plain words.",
    )
    done = shell.run(*scripted(*WORDS))
    assert done.returncode == 0, done.stderr
    said = outputs(shell)
    wanted = {
        "a.zip!/in/page.html": "Zip words", "a.zip!/in/paper.pdf": "Pdf words", "b.tgz!/lines.jsonl#1": "First",
        "b.tgz!/lines.jsonl#2": "Second", "c.txt": "Plain words",
    }  # fmt: skip
    assert list(said) == list(wanted), "in the order of the archives and of the folder"
    assert all(word in said[name] for name, word in wanted.items())


def test_an_unchanged_archive_is_not_opened_again_and_a_changed_one_redoes_what_is_new(shell: Shell) -> None:
    folder = papers(shell, a_zip=zipped({"one.txt": b"One.", "two.txt": b"Two."}))
    assert shell.run(*scripted(*WORDS)).returncode == 0
    again = shell.run(*scripted(*WORDS))
    assert "nothing to do" in again.stderr
    assert len(shell.runs()) == 1
    (folder / "b.txt").write_text("Other.")
    beside = shell.run(*scripted(*WORDS))
    assert beside.returncode == 0, beside.stderr
    assert "1 to do" in beside.stderr, "the archive is known by its stamp"
    (folder / "a.zip").write_bytes(zipped({"one.txt": b"One.", "two.txt": b"Two, changed.", "three.txt": b"Three."}))
    assert shell.run(*scripted(*WORDS)).returncode == 0
    assert {Path(line["source"]).name for line in shell.results() if line["reused_from"] is None} == {
        "two.txt", "three.txt",
    }  # fmt: skip
    assert len(shell.results()) == 4


def test_the_globs_count_for_an_unchanged_archive(shell: Shell) -> None:
    papers(shell, a_zip=zipped({"one.txt": b"One.", "two.md": b"Two."}))
    assert shell.run(*scripted(*WORDS, "ingest.include=['*.md']")).returncode == 0
    assert list(outputs(shell)) == ["a.zip!/two.md"]
    assert shell.run(*scripted(*WORDS)).returncode == 0
    assert sorted(outputs(shell)) == ["a.zip!/one.txt", "a.zip!/two.md"]


def test_off_an_archive_is_one_row_that_says_how_to_open_it(shell: Shell) -> None:
    papers(shell, a_zip=zipped({"one.txt": b"One."}), b_txt=b"Text.")
    assert shell.run(*scripted("input=papers")).returncode == 0
    rows = {Path(line["source"]).name: (line["status"], line["reason"]) for line in shell.results()}
    assert rows["a.zip"] == ("skipped", "unsupported type: zip (ingest.archives=true opens it)")
    assert shell.run(*scripted(*WORDS)).returncode == 0
    assert "a.zip!/one.txt" in outputs(shell), "the switch is no unchanged file's affair"


def test_a_run_that_is_killed_inside_an_archive_goes_on_with_the_members_that_are_left(shell: Shell) -> None:
    members = {f"doc-{number:03}.txt": f"doc-{number:03} says something.".encode() for number in range(80)}
    papers(shell, a_zip=zipped(members), b_tgz=tarred(members))
    process = shell.start(*scripted(*WORDS, script=SLOW), own_group=True)
    results = shell.folder / "outputs" / "latest" / "results.jsonl"
    while not (results.exists() and results.stat().st_size > 0):
        assert process.poll() is None, process.communicate()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    resumed = shell.run("resume", "latest")
    assert resumed.returncode == 0, resumed.stderr
    said = outputs(shell)
    assert sorted(said) == sorted(f"{archive}!/{name}" for archive in ("a.zip", "b.tgz") for name in members)
    assert all(Path(name).stem in output for name, output in said.items())
