"""Folders, files, locks and lists of runs, on a real file system in tmp_path."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from runner.errors import BusyError, StorageError, UsageError
from runner.layout import RunFolder, new_run_dir
from runner.store import files, folder, listing
from runner.store.locks import DeviceLock, FileLock, is_held

IDENTITY = folder.RunIdentity(
    schema_version=folder.RUN_SCHEMA_VERSION, run_id="abc123", status="running", exit_code=None, job="summarize",
    profile="linux_cpu", model="smollm2-135m", argv=("runner",), inputs=("/in",), started_at="2026-01-01T00:00:00+0000",
    ended_at=None, incarnation=1, pid=1, boot_id="b", runner_version="0.1.0", cwd="/", overrides=("job=summarize",),
)  # fmt: skip


def new_run(outputs: Path, run_id: str = "abc123") -> RunFolder:
    run = RunFolder(new_run_dir(outputs, "summarize", "linux_cpu", 1_700_000_000.0, run_id))
    folder.create(outputs, run)
    folder.write_identity(run, replace(IDENTITY, run_id=run_id))
    return run


def test_a_new_run_folder_is_private_and_outputs_are_ignored_by_git(tmp_path: Path) -> None:
    run = new_run(tmp_path / "outputs")
    assert run.root.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "outputs" / ".gitignore").read_text() == "*\n"


def test_an_output_folder_that_cannot_be_made_is_a_storage_error_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot create the output folder") as caught:
        folder.create(tmp_path / "file" / "outputs", RunFolder(tmp_path / "file" / "outputs" / "runs" / "x"))
    assert caught.value.exit_code == 74
    assert caught.value.cure


def test_identity_survives_a_round_trip_and_a_newer_version_is_refused(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    assert folder.read_identity(run) == IDENTITY
    data = json.loads(run.run_json.read_text())
    run.run_json.write_text(json.dumps({**data, "schema_version": 99}))
    with pytest.raises(UsageError, match="schema version 99"):
        folder.read_identity(run)


def test_a_file_is_never_seen_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    files.write_json(path, {"old": True})

    def no_space(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "full_sync", no_space)
    with pytest.raises(StorageError, match="No space left"):
        files.write_json(path, {"new": True})
    assert json.loads(path.read_text()) == {"old": True}


def test_latest_is_replaced_atomically_and_never_clobbers_a_real_folder(tmp_path: Path) -> None:
    first, second = new_run(tmp_path, "one111"), new_run(tmp_path, "two222")
    folder.point_latest(tmp_path, first)
    folder.point_latest(tmp_path, second)
    assert (tmp_path / "latest").resolve() == second.root
    (tmp_path / "latest").unlink()
    (tmp_path / "latest").mkdir()
    with pytest.raises(StorageError, match="real file or folder"):
        folder.point_latest(tmp_path, first)


@pytest.mark.parametrize("name", ["abc123", "latest", "path"])
def test_a_run_is_found_by_id_link_or_path(tmp_path: Path, name: str) -> None:
    run = new_run(tmp_path)
    folder.point_latest(tmp_path, run)
    assert folder.find(tmp_path, str(run.root) if name == "path" else name).root == run.root


def test_an_unknown_run_is_a_usage_error_that_names_ls(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        folder.find(tmp_path, "nonsense")
    assert "runner ls" in caught.value.cure


def test_a_run_that_says_running_without_a_lock_holder_has_crashed(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    assert listing.row(run).state == "crashed"
    lock = FileLock(run.lock)
    assert lock.acquire("run abc123")
    assert listing.row(run).state == "running"
    lock.release()
    assert listing.row(run).state == "crashed"


def test_one_damaged_folder_hides_no_other_run(tmp_path: Path) -> None:
    new_run(tmp_path, "one111")
    new_run(tmp_path, "two222").run_json.write_text("{")
    rows = listing.runs(tmp_path)
    assert sorted(row.state for row in rows) == ["crashed", "unreadable"]


def test_a_second_process_does_not_get_the_lock_and_learns_who_has_it(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    assert lock.acquire("run abc123")
    code = (
        "import sys; from pathlib import Path; from runner.store.locks import FileLock\n"
        "lock = FileLock(Path(sys.argv[1])); print(lock.acquire('x'), lock.holder())"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], capture_output=True, text=True)
    assert answer.stdout.startswith("False"), answer.stderr
    assert f"process {os.getpid()} (run abc123" in answer.stdout


def test_the_lock_of_a_killed_holder_is_free_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from runner.store.locks import FileLock\n"
        "lock = FileLock(Path(sys.argv[1])); lock.acquire('x'); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")])
    assert killed.returncode == -9
    assert not is_held(tmp_path / "lock")
    assert FileLock(tmp_path / "lock").acquire("y")


def device(tmp_path: Path, needed: int) -> DeviceLock:
    return DeviceLock.cpu(lambda slot: tmp_path / f"device-cpu-{slot}.lock", 4, needed)


def test_a_cpu_is_shared_until_its_cores_are_taken(tmp_path: Path) -> None:
    first, second, third = device(tmp_path, 3), device(tmp_path, 1), device(tmp_path, 2)
    assert first.try_acquire("run a")
    assert second.try_acquire("run b")
    with pytest.raises(BusyError, match="2 of 4 CPU cores cannot be had, in use by process") as caught:
        third.acquire("run c", "fail", lambda: False, lambda holders: None)
    assert caught.value.exit_code == 75
    assert third.acquire("run c", "skip", lambda: False, lambda holders: None) is False
    first.release()
    assert third.try_acquire("run c")


def test_waiting_for_the_device_can_be_interrupted(tmp_path: Path) -> None:
    holder, waiter = DeviceLock.metal(tmp_path / "metal.lock"), DeviceLock.metal(tmp_path / "metal.lock")
    assert holder.try_acquire("run a")
    told: list[str] = []
    assert waiter.acquire("run b", "wait", lambda: True, told.append) is False
    assert "run a" in told[0]


def test_a_removed_run_folder_stops_the_run(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    seen = folder.inode_of(run)
    assert seen is not None
    folder.check_still_there(run, seen)
    run.root.rename(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="removed or replaced"):
        folder.check_still_there(run, seen)
