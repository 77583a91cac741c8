"""Poisoned documents, hung workers, torn tails, full disks, two runners: each with the bug that would turn it red."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fault import journal_reader, oracle
from tests.fault.conftest import LANES
from tests.fault.rig import Rig

MakeRig = Callable[..., Rig]


def reasons(rig: Rig) -> dict[str, str]:
    found = oracle.lines(rig.run / "results.jsonl")
    return {Path(line["source"]).name: line["reason"] for line in found if line["status"] == "quarantined"}


def test_documents_that_kill_their_worker_are_quarantined_with_the_reason_and_the_rest_is_done(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(30, {7: "segv", 20: "exit"}, max_restarts=10)
    assert rig.finish() == 0, rig.tail()
    verdict = rig.judge()
    assert not verdict.bad, verdict
    why = reasons(rig)
    assert "signal 11" in why["doc-00007.txt"], why
    assert "exit status 9" in why["doc-00020.txt"], why


def test_a_document_that_hangs_its_worker_is_quarantined_after_its_deadlines(make_rig: MakeRig) -> None:
    rig = make_rig(12, {4: "hang"}, deadline_ms=700, max_restarts=10)
    assert rig.finish() == 0, rig.tail()
    verdict = rig.judge()
    assert not verdict.bad, verdict
    assert "deadline" in reasons(rig)["doc-00004.txt"]


def test_poison_and_deaths_of_the_runner_together_punish_only_the_poison(make_rig: MakeRig) -> None:
    rig = make_rig(30, {5: "segv"}, script={"output": "echo", "steps": 3, "delay_ms_per_step": 15}, max_restarts=10)
    for commits in (2, 8, 14):
        process = rig.start()
        if rig.until_committed(process, commits):
            rig.kill(process, "both")
    assert rig.finish() == 0, rig.tail()
    verdict = rig.judge()
    assert not verdict.bad, verdict


@pytest.mark.parametrize("plant", ["never_charge"])
def test_planted_forgiveness_for_poison_is_seen(make_rig: MakeRig, plant: str) -> None:
    rig = make_rig(6, {2: "segv"}, max_restarts=6)
    assert rig.finish(30, plant=plant) != 0 or rig.judge().bad


def test_planted_deafness_to_deadlines_is_seen(make_rig: MakeRig) -> None:
    rig = make_rig(6, {2: "hang"}, deadline_ms=300)
    assert rig.finish(8, plant="ignore_deadline") == -1


# torn tails


def stopped_run(rig: Rig) -> bytes:
    """A run killed in the middle; returns its journal."""
    process = rig.start()
    assert rig.until_committed(process, 8), rig.tail()
    rig.kill(process, "both")
    return (rig.run / "journal").read_bytes()


def torn_cases(journal: Path, data: bytes, long: bool) -> list[bytes]:
    """Cuts at every byte of the last three frames (a sample in the short lane), NUL and garbage tails."""
    records, foreign = journal_reader.read(journal)
    end = len(data) - foreign
    first = records[-3].offset
    cuts = range(first, end) if long else [first, first + 1, first + 10, records[-2].offset, end - 30, end - 1]
    tails = [data[:end] + b"\0" * 4096, data[:end] + bytes(range(1, 100)), data[: end - 20] + b"\0" * 20]
    return [data[:cut] for cut in cuts] + tails


@LANES
def test_a_torn_tail_is_cut_and_nothing_before_it_is_lost(make_rig: MakeRig, long: bool) -> None:
    rig = make_rig(20, script={"output": "echo", "steps": 2, "delay_ms_per_step": 10})
    data = stopped_run(rig)
    journal = rig.run / "journal"
    saved = {path.name: path.read_bytes() for path in rig.run.iterdir() if path.is_file()}
    for case, torn in enumerate(torn_cases(journal, data, long)):
        for name, content in saved.items():
            (rig.run / name).write_bytes(content)
        journal.write_bytes(torn)
        kept, _ = journal_reader.read(journal)
        rig.acked = {}
        assert rig.finish() == 0, f"case {case}: {rig.tail()}"
        verdict = rig.judge()
        assert not verdict.bad, f"case {case} ({len(torn)} of {len(data)} bytes): {verdict}"
        now, _ = journal_reader.read(journal)
        assert [record.body for record in now[: len(kept)]] == [record.body for record in kept], f"case {case}"


def test_planted_writing_behind_a_tear_is_seen(make_rig: MakeRig) -> None:
    rig = make_rig(20, script={"output": "echo", "steps": 2, "delay_ms_per_step": 10})
    data = stopped_run(rig)
    tear = len(data)
    assert rig.finish() == 0
    journal = rig.run / "journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:tear] + b"torn" + whole[tear:])
    assert rig.judge().foreign_bytes


def test_damage_in_the_middle_stops_hard_and_loses_nothing(make_rig: MakeRig) -> None:
    rig = make_rig(20, script={"output": "echo", "steps": 2, "delay_ms_per_step": 10})
    data = stopped_run(rig)
    records, _ = journal_reader.read(rig.run / "journal")
    hit = records[len(records) // 2].offset + 30
    damaged = data[:hit] + bytes([data[hit] ^ 0xFF]) + data[hit + 1 :]
    (rig.run / "journal").write_bytes(damaged)
    assert rig.finish() == 74, rig.tail()
    assert "damaged at byte" in rig.tail()
    assert "Traceback" not in rig.tail()
    assert (rig.run / "journal").read_bytes() == damaged


# full disk

LIMIT = (
    "import resource, os, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),)*2); "
    "os.execv(sys.argv[2], sys.argv[2:])"
)


def limited(rig: Rig, size: int, **changes: object) -> int:
    """A life that may write no file beyond `size` bytes (EFBIG; Python ignores SIGXFSZ). The workers inherit it."""
    process = rig.start(sys.executable, "-c", LIMIT, str(size), **changes)
    try:
        return process.wait(60)
    except subprocess.TimeoutExpired:
        rig.kill(process, "both")
        return -1


@LANES
def test_a_file_that_may_not_grow_stops_the_run_with_74_and_room_makes_it_whole(make_rig: MakeRig, long: bool) -> None:
    rig = make_rig(40)
    sizes = range(256, 12_000, 500 if long else 2900)
    for size in sizes:
        rig.again()
        code = limited(rig, size)
        assert code in (0, 74), f"limit {size}: exit {code}\n{rig.tail()}"
        assert "Traceback" not in rig.tail(), f"limit {size}\n{rig.tail()}"
        rig.note_acknowledged()
        if not (rig.run / "run.json").exists():
            shutil.rmtree(rig.base / "outputs", ignore_errors=True)
        assert rig.finish() == 0, f"limit {size}: {rig.tail()}"
        verdict = rig.judge()
        assert not verdict.bad, f"limit {size}: {verdict}"


def test_planted_silence_about_a_full_disk_is_seen(make_rig: MakeRig) -> None:
    rig = make_rig(40)
    assert limited(rig, 4000, plant="swallow_storage") == 0
    assert rig.judge().bad


@LANES
def test_a_full_file_system_stops_with_74_and_grown_it_ends_whole(
    make_rig: MakeRig, tmp_path: Path, long: bool
) -> None:
    """tmpfs in a mount namespace of its own; the runner's life and the growing happen inside of it."""
    probe = subprocess.run(["unshare", "-Urm", "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"unshare -Urm is not allowed here: {probe.stderr.strip()}")
    rig = make_rig(40)
    rig.finish()
    rig.again()
    outputs = rig.base / "outputs"
    for kib in range(4, 204, 4) if long else (8, 32, 64):
        outputs.mkdir(exist_ok=True)
        rig.spec_file.write_text(json.dumps(rig.spec))
        life = f"{sys.executable} {Path(__file__).with_name('driver.py')} {rig.spec_file}"
        kept = tmp_path / f"kept-{kib}"
        script = (
            f"mount -t tmpfs -o size={kib}k none {outputs} && {{ {life}; echo first $?; "
            f"mount -o remount,size=64m {outputs}; [ -e {rig.run}/run.json ] || rm -rf {outputs}/runs; "
            f"{life}; echo second $?; cp -r {outputs} {kept}; }}"
        )
        done = subprocess.run(
            ["unshare", "-Urm", "sh", "-c", script],
            capture_output=True, text=True, timeout=120,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "XDG_STATE_HOME": str(rig.base / "state")},
        )  # fmt: skip
        codes = dict(line.split() for line in done.stdout.splitlines() if line.startswith(("first", "second")))
        assert codes["first"] in ("0", "74"), f"{kib} KiB: {codes}\n{done.stderr[-2000:]}"
        assert codes["second"] == "0", f"{kib} KiB: {codes}\n{done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr, done.stderr[-2000:]
        verdict = oracle.judge(rig.names, kept / "runs" / "one", {}, rig.poison)
        assert not verdict.bad, f"{kib} KiB: {verdict}"


# two runners


def codes_of_two(rig: Rig, **changes: object) -> list[int]:
    first, second = rig.start(**changes), rig.start(**changes)
    return sorted([first.wait(60), second.wait(60)])


def prepared(rig: Rig) -> Rig:
    """A run folder that exists and is half done, so that both lives are resumes of one folder."""
    process = rig.start()
    assert rig.until_committed(process, 3), rig.tail()
    rig.kill(process, "both")
    return rig


def test_of_two_runners_on_one_folder_one_is_busy_and_the_run_ends_whole(make_rig: MakeRig) -> None:
    rig = prepared(make_rig(60, script={"output": "echo", "steps": 2, "delay_ms_per_step": 20}))
    assert codes_of_two(rig) == [0, 75], rig.tail()
    verdict = rig.judge()
    assert not verdict.bad, verdict


def test_planted_missing_lock_is_seen(make_rig: MakeRig) -> None:
    rig = prepared(make_rig(60, script={"output": "echo", "steps": 2, "delay_ms_per_step": 20}))
    assert codes_of_two(rig, plant="no_lock") != [0, 75] or rig.judge().bad
