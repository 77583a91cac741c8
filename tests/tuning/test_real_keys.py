"""kill -9 on the machine's own settings: huge pages, swappiness, dirty ratio, cpuidle. Never part of `make test`.

`make torture REAL_KEYS=1` as root. Everything is put back whatever fails, by writing the files themselves.
"""

import os
import random
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tuning import fake_root
from tests.tuning.rig import Rig

pytestmark = [
    pytest.mark.torture,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(sys.platform != "linux", reason="platform: the keys are Linux's"),
    pytest.mark.skipif(
        os.environ.get("REAL_KEYS") != "1" or os.geteuid() != 0,
        reason="platform: changes this machine; only root, and only with REAL_KEYS=1",
    ),
]
KILLS = 60


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    before = fake_root.real_settings()
    made = Rig(tmp_path, real=True)
    yield made
    made.close()
    made.recover()
    wrong = made.left()
    for name in wrong:  # the rule of the tests, not of the product: whatever is planted, this machine goes on as it was
        word = before[name]
        (Path("/") / name).write_text(word[word.index("[") + 1 : word.index("]")] if "[" in word else word)
    assert not wrong, f"put back by the test itself: {wrong}"


def test_each_real_step_is_set_and_goes_back_at_the_end(rig: Rig) -> None:
    for step in rig.steps:
        started = rig.start(steps=step)
        assert rig.until_tuned(started)
        assert rig.left(), f"{step} changed nothing: it is not tested here"
        rig.let_go(started)
        assert rig.left() == {}, step


def test_after_a_random_kill_and_a_recover_no_real_key_is_changed(rig: Rig, seeded: random.Random) -> None:
    tuned = 0
    for number in range(KILLS):
        tuned += rig.random_kill(seeded, 1.0)
        assert rig.recover() == {}, f"kill {number}"
    print(f"{KILLS} kills on real keys, {tuned} while something was set, 0 left changed")
    assert tuned > 0


def test_the_guard_alone_puts_real_keys_back(rig: Rig) -> None:
    took = []
    for _ in range(15):
        started = rig.start(steps=",".join(rig.steps))
        assert rig.until_tuned(started)
        guard = rig.kill(started, "runner")
        assert guard is not None
        took.append(rig.until_back(10.0))
        rig.until_gone(guard)
    print(
        f"real keys: median {statistics.median(took) * 1e3:.0f} ms, worst {max(took) * 1e3:.0f} ms, {len(took)} kills"
    )
    assert max(took) < 10.0
