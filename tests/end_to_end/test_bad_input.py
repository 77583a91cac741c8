"""Every row of the table 'Bad input' in docs/errors.md, provoked through the command line.

Mistakes that are found before a run starts are made in this process; what needs a run, another right or another disk is
a process of its own. A row that is added to the table without a test fails here, and so does a test without a row.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner import cli, machine
from runner.nights import schedule
from runner.store.locks import FileLock
from tests.end_to_end.bad_input import DOC, missing, rows, untested
from tests.end_to_end.conftest import Shell, scripted
from tests.end_to_end.mistakes import MISTAKES, RUNS, UNPROVED

TABLE = rows(DOC.read_text())
TESTED = [*MISTAKES, *RUNS]


def provokes(*names: str) -> Callable[[Any], Any]:  # marks the test of these rows
    TESTED.extend(names)
    return lambda test: test


def make_place(folder: Path) -> Path:
    """What the mistakes are made with."""
    (folder / "texts").mkdir()
    (folder / "texts" / "a.txt").write_text("Some text.\n")
    (folder / "empty").mkdir()
    (folder / "dangling").symlink_to("gone")
    (folder / "afile").write_text("")
    (folder / "bad.json").write_text('{"type": ')
    open_, never, misspelt, name = {}, {"minLength": 5, "maxLength": 3}, {"maxlength": 9}, {"maxLength": 200}
    for file, rules in (("open", open_), ("never", never), ("misspelt", misspelt), ("name", name)):
        schema = {"type": "object", "additionalProperties": False, "properties": {"name": {"type": "string", **rules}}}
        (folder / f"{file}.json").write_text(json.dumps(schema))
    own = folder / ".runner" / "profiles"
    for name, text in {
        "profile/torn": "defaults: [\n  broken",
        "profile/text": "just text\n",
        "profile/vals": "# @package _global_\nmemory:\n  rust: 1GiB\n",
        "memory/torn": "rust: [1\n",
        "memory/part": "rust: 1GiB\n",
    }.items():
        file = own / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def assert_row(name: str, done: "subprocess.CompletedProcess[str]", seen: str | None = None) -> None:
    """`seen`: where the message stands, when it is not stderr."""
    wrong = missing(TABLE[name], done.returncode, done.stderr if seen is None else seen, done.stderr)
    assert not wrong, f"{wrong}\n{done.stderr}"


# ---- the table and its tests ----


def test_every_row_of_the_table_has_a_test_and_every_test_a_row() -> None:
    assert untested(TABLE, TESTED) == set()


def test_a_row_without_a_test_and_a_test_without_a_row_are_seen() -> None:
    more = rows(DOC.read_text() + "| new mistake | `oh` | 2 |\n")
    assert untested(more, TESTED) == {"new mistake"}
    assert untested(TABLE, [*TESTED, "old mistake"]) == {"old mistake"}


@pytest.mark.parametrize(
    ("code", "stderr"),
    [
        (2, "error: unknown command 'plan'\n  hint: x"),
        (1, "error: unknown command 'plann'\n  hint: x"),
        (2, "Traceback\nerror: unknown command 'plann'\n  hint: x"),
        (2, "error: unknown command 'plann'\n"),
    ],
    ids=["message", "code", "trace", "cure"],
)
def test_an_answer_that_is_not_the_rows_is_seen(code: int, stderr: str) -> None:
    assert len(missing(TABLE["unknown command"], code, stderr, stderr)) == 1


# ---- mistakes that nothing is started for ----


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_cure_and_starts_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(make_place(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    words, also = MISTAKES[name]
    without = ("ls", "resume", "show", "bench", "results", "report", "profiles")
    wants_input = TABLE[name].shown[0].startswith("unknown command") or words[0] in without
    given = any("input=" in word for word in words) or wants_input
    code = cli.main(words if given else [*words, "input=texts"])
    err = capsys.readouterr().err
    assert_row(name, subprocess.CompletedProcess(words, code, "", err))
    assert also in err
    assert not (tmp_path / "outputs" / "runs").exists()


@provokes("apprise without its package")
def test_apprise_without_its_package(shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(make_place(shell.folder))
    monkeypatch.setattr("runner.config.monitor.importlib.util.find_spec", lambda name: None)
    code = cli.main(["input=texts", "monitor.alerts.apprise=[mailto://a@b.c]"])
    assert_row("apprise without its package", subprocess.CompletedProcess([], code, "", capsys.readouterr().err))


@pytest.mark.parametrize("name", RUNS)
def test_a_mistake_that_the_core_finds_starts_no_run(name: str, shell: Shell) -> None:
    make_place(shell.folder)
    done = shell.run(*scripted("input=texts", *RUNS[name]))
    assert_row(name, done)
    assert shell.runs() == []


# ---- models and their cache ----


def elsewhere(shell: Shell, **environment: str) -> Shell:
    """As `shell`, where no model is at hand and nothing can be fetched."""
    (shell.folder / "no models").mkdir()
    nowhere = str(shell.folder / "no models")
    away = {"RUNNER_CACHE": nowhere, "HF_HUB_CACHE": nowhere, "HF_HUB_OFFLINE": "1", "PIP_NO_INDEX": "1"}
    return replace(shell, environment={**shell.environment, **away, **environment})


@provokes("model not in the cache and no network", "embedded model that cannot be fetched")
@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("model not in the cache and no network", "qwen3-0.6b"),
        ("embedded model that cannot be fetched", "smollm2-135m"),
    ],
)
def test_a_model_that_cannot_be_had_is_named_with_three_cures(name: str, model: str, shell: Shell) -> None:
    make_place(shell.folder)
    done = elsewhere(shell).run("input=texts", f"model={model}")
    assert_row(name, done)
    assert all(f"{number}. " in done.stderr for number in (1, 2, 3))
    assert "model=path model.path=FOLDER" in done.stderr


@provokes("cache not writable")
def test_a_cache_that_cannot_be_written_is_a_storage_error(shell: Shell) -> None:
    place = make_place(shell.folder)
    assert_row("cache not writable", elsewhere(shell, RUNNER_CACHE=str(place / "afile")).run(*scripted("input=texts")))


@provokes("Ctrl-C while the model is made", "SIGTERM while the model is made")
@pytest.mark.parametrize(
    ("name", "number"),
    [("Ctrl-C while the model is made", signal.SIGINT), ("SIGTERM while the model is made", signal.SIGTERM)],
)
def test_a_signal_during_the_set_up_ends_it_and_leaves_nothing_behind(
    name: str, number: signal.Signals, shell: Shell
) -> None:
    make_place(shell.folder)
    process = elsewhere(shell).start(*scripted("input=texts"), own_group=True)
    assert process.stderr is not None
    said = ""
    while "converting" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    os.killpg(process.pid, number)  # as a terminal does: to the runner and to what it started
    _, rest = process.communicate(timeout=20)
    assert_row(name, subprocess.CompletedProcess([], process.returncode, "", said + rest))
    assert list((shell.folder / "no models").glob("models/*")) == []
    assert shell.runs() == []


# ---- rights ----

# Root reads everything: without these two capabilities it is a user like another.
UNPRIVILEGED = """
import ctypes, os, sys
if os.geteuid() == 0:
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        if libc.prctl(24, capability, 0, 0, 0) != 0:  # PR_CAPBSET_DROP
            sys.exit(f"prctl(PR_CAPBSET_DROP): {os.strerror(ctypes.get_errno())}")
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def unprivileged(shell: Shell) -> Shell:
    """`shell` whose commands are bound by the modes of files, also when root runs the tests."""
    prefix = (sys.executable, "-c", UNPRIVILEGED)
    probe = subprocess.run([*prefix, str(shutil.which("true"))], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"root's right to read everything cannot be dropped here: {probe.stderr.strip()}")
    make_place(shell.folder)
    return replace(shell, prefix=prefix)


@provokes("folder or file that cannot be read, as input")
@pytest.mark.parametrize("name", ["texts", "texts/a.txt"])
def test_an_input_that_this_user_may_not_read_is_refused(name: str, unprivileged: Shell) -> None:
    closed = unprivileged.folder / name
    closed.chmod(0)
    done = unprivileged.run(*scripted(f"input={name}"))
    closed.chmod(0o700)
    assert_row("folder or file that cannot be read, as input", done)


# First cell of the row -> what is done to the files of a schedule, and the words that meet it.
SCHEDULES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "schedule that others may change": (lambda file: file.chmod(0o620), ["schedule", "show", "nightly"]),
    "schedule that cannot be read": (lambda file: file.write_text("cron: [\n"), ["schedule", "show", "nightly"]),
    "schedule with a wrong key and value": (
        lambda file: file.write_text(file.read_text().replace("retry: 3", "retry: lots\nretries: 3")),
        ["schedule", "run", "nightly"],
    ),
    "schedule whose folder is gone": (
        lambda file: file.write_text(file.read_text().replace("\ncwd: ", "\ncwd: /gone # ")),
        ["schedule", "run", "nightly"],
    ),
    "environment of a schedule that others may read": (
        lambda file: file.with_suffix(".env").chmod(0o640),
        ["schedule", "run", "nightly"],
    ),
    "night that its results do not have": (lambda file: None, ["results", "nightly", "--night", "7"]),
    "document that is not in quarantine": (lambda file: None, ["quarantine", "release", "nightly", "a.txt"]),
}


@provokes(*SCHEDULES)
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_that_is_not_what_was_written_is_named_and_runs_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(variable, str(tmp_path))
    made = schedule.Schedule("nightly", "30 2 * * *", (), str(tmp_path), "2026-11-01T00:00:00+00:00")
    file = schedule.save(made)
    schedule.write_environment("nightly", {})
    spoil, words = SCHEDULES[name]
    spoil(file)
    code = cli.main(words)
    assert_row(name, subprocess.CompletedProcess(words, code, "", capsys.readouterr().err))


LISTS = {
    "list that is not there": "ingest.files_from=gone",
    "list of no path": "ingest.files_from=afile",
    "list of lines with zero bytes": "ingest.files_from=zeros",
    "list that is none": "ingest.files0_from=long",
    "standard input too long": "input=-",
    "standard input closed": "ingest.files_from=-",
}


@provokes(*LISTS)
@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_is_none_and_a_standard_input_that_cannot_be_kept_start_no_run(name: str, shell: Shell) -> None:
    make_place(shell.folder)
    (shell.folder / "zeros").write_bytes(b"texts\0texts\0")
    (shell.folder / "long").write_bytes(b"x" * 70_000)
    closed = " <&-" if name == "standard input closed" else " < long"
    words = shlex.join([sys.executable, "-P", "-m", "runner", *scripted(LISTS[name], "ingest.max_file_bytes=1000")])
    done = subprocess.run(
        words + closed, shell=True, cwd=shell.folder, env=shell.environment, capture_output=True, text=True, timeout=120
    )
    assert_row(name, done)
    assert shell.runs() == []


@provokes("output folder not writable")
def test_an_output_folder_that_this_user_may_not_write_is_refused(unprivileged: Shell) -> None:
    closed = unprivileged.folder / "empty"
    closed.chmod(0o500)
    assert_row("output folder not writable", unprivileged.run(*scripted("input=texts", "output.dir=empty/out")))


# ---- documents ----


def failures(shell: Shell) -> dict[str, str]:
    path = shell.folder / "outputs" / "latest" / "failures.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {Path(line["source"]).name: f"{line['status']} {line['reason']}" for line in lines}


@provokes("unreadable file inside a folder")
def test_a_file_that_may_not_be_read_fails_alone(unprivileged: Shell) -> None:
    closed = unprivileged.folder / "texts" / "closed.txt"
    closed.write_text("secret")
    closed.chmod(0)
    done = unprivileged.run(*scripted("input=texts", "job.max_failed=0"))
    why = failures(unprivileged)
    assert list(why) == ["closed.txt"]
    assert_row("unreadable file inside a folder", done, why["closed.txt"])
    assert done.stdout.startswith("1 ok, 1 failed")


@provokes(
    "binary file named .txt", "invalid JSONL line", "template that cannot be filled",
    "a quote that the document does not contain",
)  # fmt: skip
@pytest.mark.parametrize(
    ("row", "file", "content", "words", "failed", "ok"),
    [
        ("binary file named .txt", "b.txt", bytes(range(256)), (), "b.txt", 1),
        ("invalid JSONL line", "r.jsonl", b'{"text": "a"}\n{broken\n{"text": "b"}\n', (), "r.jsonl#2", 3),
        (
            "template that cannot be filled", "a.txt", b"Text.",
            ("job.template='{{ document }} {{ metadata.nothing }}'",), "a.txt", 0,
        ),
        ("a quote that the document does not contain", "a.txt", b"Text.", UNPROVED, "a.txt", 0),
    ],
)  # fmt: skip
def test_a_document_that_cannot_be_used_fails_alone(
    row: str, file: str, content: bytes, words: tuple[str, ...], failed: str, ok: int, shell: Shell
) -> None:
    (make_place(shell.folder) / "texts" / file).write_bytes(content)
    done = shell.run(*scripted("input=texts", "job.max_failed=0", *words))
    why = failures(shell)
    assert list(why) == [failed]
    assert_row(row, done, why[failed])
    assert done.stdout.startswith(f"{ok} ok, 1 failed")


# ---- a run's folder, disks, and other runners ----


@provokes("damaged run.json", "damaged journal")
@pytest.mark.parametrize(("row", "file"), [("damaged run.json", "run.json"), ("damaged journal", "journal")])
def test_a_run_whose_files_were_changed_is_not_gone_on_with(row: str, file: str, shell: Shell) -> None:
    make_place(shell.folder)
    assert shell.run(*scripted("input=texts")).returncode == 0
    latest = shell.folder / "outputs" / "latest"
    identity = json.loads((latest / "run.json").read_text())
    (latest / "run.json").write_text(json.dumps({**identity, "status": "failed"}))
    (latest / file).write_text("nothing of ours")
    assert_row(row, shell.run("resume"))


@provokes("disk full")
def test_a_full_disk_is_named(shell: Shell) -> None:
    """That nothing acknowledged is lost on it is shown by tests/fault."""
    probe = subprocess.run(["unshare", "-Urm", "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"unshare -Urm is not allowed here: {probe.stderr.strip()}")
    texts = make_place(shell.folder) / "texts"
    for number in range(60):
        (texts / f"{number}.txt").write_text(f"{number} says something.\n")
    shell.run(*scripted("input=texts/a.txt"))  # makes the tiny model, which is no part of this
    mount = 'mkdir small && mount -t tmpfs -o size=64k none small && exec "$@"'
    small = replace(shell, prefix=("unshare", "-Urm", "sh", "-c", mount, "sh"))
    assert_row("disk full", small.run(*scripted("input=texts", "output.dir=small")))


SLOW = json.dumps({"output": "echo", "steps": 3, "delay_ms_per_step": 200})


@provokes("second runner")
def test_a_second_runner_on_one_run_is_told_who_holds_it(shell: Shell) -> None:
    texts = make_place(shell.folder) / "texts"
    for number in range(60):
        (texts / f"{number}.txt").write_text(f"{number} says something.\n")
    first = shell.start(*scripted("input=texts", script=SLOW))
    assert first.stderr is not None
    while "worker.became_ready" not in (line := first.stderr.readline()):
        assert line
    second = shell.run("resume", "latest")
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=20)
    assert_row("second runner", second)
    assert str(first.pid) in second.stderr


@provokes("device in use")
def test_a_device_that_another_runner_computes_on_is_busy(shell: Shell, tmp_path: Path) -> None:
    make_place(shell.folder)
    here = machine.detect()
    names = ["metal"] if here.metal else [f"cpu-{slot}" for slot in range(here.physical_cores)]
    locks = [FileLock(tmp_path / "state" / "runner" / "locks" / f"device-{name}.lock") for name in names]
    assert all(lock.acquire("the test's run") for lock in locks)
    done = shell.run("input=texts")
    for lock in locks:
        lock.release()
    assert_row("device in use", done)
    assert "the test's run" in done.stderr
