"""False alarms on this machine's own noise: 40 plans of a step that changes nothing, each unit a fresh short process.

The counterpart on simulated noise is in test_session.py; this one is part of `make torture`.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from runner.prove.session import Session, verdicts
from runner.store.evidence import EvidenceFile
from runner.trial import Trial
from tests.unit.prove.simulated import plan, step

PLANS = 40
MOST_WRONG = 5
MOST_UNIT_S = 0.5
WORK = "sum(x * x for x in range(120_000))"


class Unit:
    """`start` of a Session: an interpreter that computes for some milliseconds, whatever the words are."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, overrides: Sequence[str], folder: Path, console: Path) -> Trial:
        folder.mkdir(parents=True)
        (folder / "results.jsonl").write_text(json.dumps({"status": "ok", "input_id": "a"}))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-S", "-c", WORK], check=True)
        seconds = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        self.seconds.append(seconds)
        tokens = {"prompt_tokens": 1, "generated_tokens": 1}
        return Trial(0, seconds, cpu_s, {"ok": 1, "working_seconds": seconds, **tokens})


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_a_step_that_changes_nothing_is_hardly_ever_judged_on_real_noise(tmp_path: Path) -> None:
    """At a rate of 5 % six of 40 wrong ones or more have a chance of 1.4 %."""
    words: list[str] = []
    unit = Unit()
    for number in range(PLANS):
        at = plan(step("nothing"), seed=number, keep_disturbed=True)
        file = EvidenceFile(tmp_path / f"{number}.jsonl")
        sitting = Session(at, file, unit, now=time.monotonic)
        sitting.sit("2026-01-01T00:00:00", "boot", 0.0)
        words.append(verdicts(at, sitting.known)["nothing"].word)
    wrong = sum(word in ("helps", "hurts") for word in words)
    typical = sorted(unit.seconds)[len(unit.seconds) // 2]
    counts = {word: words.count(word) for word in sorted(set(words))}
    print(f"{PLANS} A/A plans, {len(unit.seconds)} units of {typical * 1e3:.0f} ms in the median: {counts}")
    assert typical <= MOST_UNIT_S
    assert wrong <= MOST_WRONG
