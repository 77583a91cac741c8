"""kill -9 of runner, guard or both, anywhere: nothing stays changed after the next command; the guard alone is quick.

The short lanes are part of `make test`, the long ones of `make torture`. All on a fake root with the real scripts.
"""

import random
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tuning.rig import ALL, Rig

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="platform: /proc and strace are Linux's")

LANES = pytest.mark.parametrize(
    "long",
    [
        pytest.param(False, id="short"),
        pytest.param(True, id="long", marks=(pytest.mark.torture, pytest.mark.timeout(7200))),
    ],
)
RANDOM_KILLS = 400
STEPS = "thp,sysctl:vm.dirty"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.close()


@pytest.fixture
def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace is not installed")
    probe = subprocess.run([found, "-o", "/dev/null", "true"], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"strace may not trace here: {probe.stderr.strip()[-200:]}")
    return found


def window(rig: Rig) -> float:
    """How long a life takes here and now, so that kills fall into all of it."""
    began = time.monotonic()
    started = rig.start(steps=STEPS)
    rig.let_go(started)
    assert not rig.left()
    return time.monotonic() - began


@LANES
def test_after_a_random_kill_and_a_recover_nothing_is_changed(rig: Rig, seeded: random.Random, long: bool) -> None:
    length = window(rig)
    tuned = 0
    for number in range(RANDOM_KILLS if long else 6):
        tuned += rig.random_kill(seeded, length)
        assert rig.recover() == {}, f"kill {number}"
        if long and number % 50 == 49:
            print(f"{number + 1} kills, {tuned} while something was set, 0 left changed", flush=True)
            length = window(rig)
    assert tuned > 0 or not long, "no kill fell while something was set: the lane shows nothing"


@LANES
def test_the_guard_alone_puts_everything_back(rig: Rig, long: bool) -> None:
    """Within 0.1 s is meant for a machine with a free core; here it must come back at all, and prints how fast."""
    for steps in ("cpuidle", ALL) if long else (ALL,):
        took = []
        for _ in range(25 if long else 2):
            started = rig.start(steps=steps)
            assert rig.until_tuned(started)
            guard = rig.kill(started, "runner")
            assert guard is not None
            took.append(rig.until_back(10.0))
            rig.until_gone(guard)
        print(
            f"{steps}: median {statistics.median(took) * 1e3:.0f} ms, worst {max(took) * 1e3:.0f} ms, {len(took)} kills"
        )
        assert max(took) < 10.0, "the guard did not put everything back"


def test_planted_without_a_guard_nothing_comes_back_by_itself(rig: Rig) -> None:
    started = rig.start(plant="no_guard", steps="cpuidle")
    assert rig.until_tuned(started)
    assert rig.kill(started, "runner") is None
    assert rig.until_back(0.3) == 0.3
    assert rig.recover() == {}


def test_the_guard_ends_quietly_when_the_runner_ends_cleanly(rig: Rig) -> None:
    started = rig.start(steps="cpuidle")
    assert rig.until_tuned(started)
    guard = rig.guard(started)
    assert guard is not None
    rig.let_go(started)
    assert started.returncode == 0
    assert not Path(f"/proc/{guard}").exists()
    assert rig.left() == {}


def test_a_killed_guard_does_not_hinder_the_runner(rig: Rig) -> None:
    started = rig.start(steps="cpuidle")
    assert rig.until_tuned(started)
    rig.kill(started, "guard")
    assert started.returncode == 0
    assert rig.left() == {}


def rows(rig: Rig) -> list[tuple[str, str, tuple[Path, ...]]]:
    """Every file that a life writes, and the calls that change it."""
    journal, mirror = rig.state / "state.jsonl", rig.state / "tuning.jsonl"
    files = tuple(rig.root / name for name in rig.original)
    fresh = tuple(file.with_name(file.name + ".new") for file in files)
    holder = rig.state / "lock.d" / "life.holder"
    return [
        ("journal", "write", (journal,)),
        ("journal", "fsync", (journal,)),
        ("journal", "openat", (journal,)),
        ("journal", "rename,renameat,renameat2", (journal, journal.with_suffix(".last.jsonl"))),
        ("copy", "write,openat", (mirror,)),
        ("lock", "openat,flock,ftruncate,pwrite64", (rig.state / "lock",)),
        ("holder", "openat,flock,ftruncate,pwrite64,unlink", (holder,)),
        ("setting", "openat,write", fresh),
        ("setting", "rename,renameat,renameat2", (*files, *fresh)),
    ]


@pytest.mark.strace
@LANES
@pytest.mark.parametrize("row", range(9), ids=lambda row: f"row{row}")
def test_after_a_kill_at_a_system_call_and_a_recover_nothing_is_changed(
    rig: Rig, strace: str, row: int, long: bool
) -> None:
    name, calls, files = rows(rig)[row]
    kills = 0
    for k in range(1, 200) if long else (1,):
        rig.again()
        if not rig.injected(strace, calls, files, k, STEPS if long else "cpuidle"):
            break
        kills += 1
        assert rig.recover() == {}, f"{name} {calls}, call {k}"
    print(f"{name} {calls}: {kills} kills landed, 0 left changed")
    assert kills > 0, "no kill landed: the row tests nothing; do its files still have these names?"


@pytest.mark.strace
def test_planted_an_intent_after_the_write_is_seen_at_a_system_call(rig: Rig, strace: str) -> None:
    journal = (rig.state / "state.jsonl",)
    assert rig.injected(strace, "write", journal, 1, "cpuidle", plant="late_intent")
    assert rig.recover() != {}


def test_planted_a_start_that_puts_nothing_back_is_seen_after_a_kill(rig: Rig) -> None:
    started = rig.start(steps="cpuidle", plant="no_revert")
    assert rig.until_tuned(started)
    rig.kill(started, "both")
    assert rig.left() != {}
    rig.let_go(rig.start(steps="cpuidle", plant="no_revert"))
    assert rig.left() != {}
