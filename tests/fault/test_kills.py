"""kill -9 of runner, worker and both: nothing lost, nothing twice, nothing shown done and gone, no innocent."""

import os
import random
import signal
import statistics
import subprocess
from collections.abc import Callable

import pytest

from tests.fault import oracle
from tests.fault.conftest import LANES
from tests.fault.rig import Rig

SLOW = {"output": "echo", "steps": 2, "delay_ms_per_step": 10}
MakeRig = Callable[..., Rig]


def test_an_undisturbed_run_is_whole(make_rig: MakeRig) -> None:
    rig = make_rig(20)
    assert rig.finish() == 0, rig.tail()
    verdict = rig.judge()
    assert not verdict.bad, verdict


@pytest.mark.parametrize("whom", ["runner", "both"])
def test_a_killed_run_is_resumed_without_loss(make_rig: MakeRig, whom: str) -> None:
    rig = make_rig(60, script=SLOW)
    process = rig.start()
    assert rig.until_committed(process, 5), rig.tail()
    rig.kill(process, whom)
    assert rig.finish() == 0, rig.tail()
    verdict = rig.judge()
    assert not verdict.bad, verdict


def test_a_killed_worker_is_replaced_and_the_run_ends_whole(make_rig: MakeRig) -> None:
    rig = make_rig(60, script=SLOW)
    process = rig.start()
    for commits in (3, 20):
        assert rig.until_committed(process, commits), rig.tail()
        rig.kill(process, "worker")
    assert process.wait(60) == 0, rig.tail()
    verdict = rig.judge()
    assert not verdict.bad, verdict


@LANES
def test_random_kills_lose_and_repeat_nothing(make_rig: MakeRig, seeded: random.Random, long: bool) -> None:
    """Long lane: 200 kills, at least 20 commits a life in the median, or the campaign proves little."""
    kills, commits = (200, 20) if long else (4, 20)
    rig = make_rig(3000 if long else 400, script={"output": "echo", "steps": 2, "delay_ms_per_step": 4})
    landed, per_life, bad = 0, [], []
    while landed < kills:
        before = oracle.committed(rig.run)
        if rig.random_kill(seeded, commits, 0.6):
            landed += 1
            per_life.append(oracle.committed(rig.run) - before)
        else:
            verdict = rig.judge(check_crc=False)
            bad += [str(verdict)] if verdict.bad else []
            rig.again()
    assert rig.finish(300) == 0, rig.tail()
    verdict = rig.judge(check_crc=False)
    bad += [str(verdict)] if verdict.bad else []
    median = statistics.median(per_life)
    print(f"kills {landed}, committed a life: median {median}, least {min(per_life)}; bad corpora {len(bad)}")
    assert bad == []
    assert median >= 20


def test_a_document_in_flight_at_many_deaths_of_the_runner_is_not_quarantined(make_rig: MakeRig) -> None:
    rig = make_rig(2, script={"output": "echo", "steps": 40, "delay_ms_per_step": 20})
    for _ in range(5):
        kill_with_work_in_flight(rig)
    assert rig.finish() == 0, rig.tail()
    verdict = rig.judge()
    assert not verdict.bad, verdict


def kill_with_work_in_flight(rig: Rig) -> None:
    """Waits for a new start mark in the journal, then kills both."""
    from tests.fault import journal_reader

    def starts() -> int:
        journal = rig.run / "journal"
        if not journal.is_file():
            return 0
        return sum(record.kind == "start" for record in journal_reader.read(journal, check=False)[0])

    before = starts()
    process = rig.start()
    for _ in range(3000):
        if starts() > before:
            break
        try:
            process.wait(0.01)
        except subprocess.TimeoutExpired:
            continue
        break
    rig.kill(process, "both")


def test_sigterm_stops_in_time_and_is_resumable(make_rig: MakeRig) -> None:
    rig = make_rig(200, script=SLOW)
    process = rig.start()
    assert rig.until_committed(process, 5), rig.tail()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143, rig.tail()
    rig.note_acknowledged()
    assert rig.finish() == 0, rig.tail()
    verdict = rig.judge()
    assert not verdict.bad, verdict


# planted bugs: each turns a row above red


def test_planted_results_acknowledged_before_they_were_written_are_seen(make_rig: MakeRig) -> None:
    rig = make_rig(60, script=SLOW)
    process = rig.start()
    assert rig.until_committed(process, 10)
    rig.kill(process, "both")
    rig.plant_lost_tail()
    rig.finish()
    assert rig.judge().acked_lost


def test_planted_attempts_charged_for_the_runners_deaths_are_seen(make_rig: MakeRig) -> None:
    rig = make_rig(1, script={"output": "echo", "steps": 40, "delay_ms_per_step": 20})
    for _ in range(3):
        kill_with_work_in_flight(rig)
    rig.plant_charged_kill()
    rig.finish()
    assert rig.judge().innocent


def test_planted_repeated_lines_are_seen(make_rig: MakeRig) -> None:
    rig = make_rig(5)
    rig.finish()
    text = (rig.run / "results.jsonl").read_bytes()
    (rig.run / "results.jsonl").write_bytes(text + text.splitlines(keepends=True)[0])
    assert rig.judge().duplicated


def test_planted_missing_lines_are_seen(make_rig: MakeRig) -> None:
    rig = make_rig(5)
    rig.finish()
    lines = (rig.run / "results.jsonl").read_bytes().splitlines(keepends=True)
    (rig.run / "results.jsonl").write_bytes(b"".join(lines[1:]))
    assert rig.judge().lost


def test_no_process_of_a_killed_run_stays_behind(make_rig: MakeRig) -> None:
    """A worker whose runner is gone sees the end of its channel (and on Linux dies with its parent)."""
    rig = make_rig(60, script=SLOW)
    process = rig.start()
    assert rig.until_committed(process, 3), rig.tail()
    workers = rig.children(process.pid)
    rig.kill(process, "runner")
    assert workers
    for pid in workers:
        fd = None
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        import select

        poller = select.poll()
        poller.register(fd, select.POLLIN)
        assert poller.poll(10_000), f"worker {pid} outlived its runner by 10 s"
        os.close(fd)
