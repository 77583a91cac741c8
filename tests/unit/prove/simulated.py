"""A machine in memory: runs whose cost is a function of their overrides, with noise and bursts of other people's load.

For the session and the verdicts without a process and without sleeping. Called by the tests of this folder.
"""

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.prove.session import Plan, Session
from runner.prove.steps import Step
from runner.store.evidence import EvidenceFile
from runner.trial import Trial

LIVE = {"chip": "simulated", "physical_cores": 2, "memory_gib": 8.0, "os": "linux", "kernel": "1", "mlx": "1"}
LIVE |= {"mlx-lm": "1", "weights": "abc"}


class Simulated:
    """`start` of a Session. `cost`: override -> factor; a word FAILS in an arm makes it end with exit code 2.

    `drift` a run: seconds grow. `bursts`: the share of runs that a competitor hits; `sd` of the log noise.
    """

    def __init__(self, seed: int, sd: float = 0.02, bursts: float = 0.0, drift: float = 0.0, **cost: float) -> None:
        self.random, self.sd, self.bursts, self.drift, self.cost = random.Random(seed), sd, bursts, drift, cost
        self.runs: list[tuple[str, ...]] = []
        self.documents = ["a", "b"]

    def __call__(self, overrides: Sequence[str], folder: Path, console: Path) -> Trial:
        self.runs.append(tuple(overrides))
        if any("FAILS" in word for word in overrides):
            console.write_text("error: it cannot run\n  hint: do not\n")
            return Trial(2, 0.1, 0.1, None)
        folder.mkdir(parents=True)
        lines = [json.dumps({"status": "ok", "input_id": each}) for each in self.documents]
        (folder / "results.jsonl").write_text("\n".join(lines))
        log = self.random.gauss(0, self.sd) + self.drift * len(self.runs)
        if self.random.random() < self.bursts:
            log += abs(self.random.gauss(0, 0.35))
        for word in overrides:
            log += math.log(self.cost.get(word.partition("=")[0], 1.0))
        seconds = math.exp(log)
        summary: dict[str, Any] = {"ok": 2, "working_seconds": seconds, "prompt_tokens": 20, "generated_tokens": 10}
        return Trial(0, seconds + 1, seconds, summary)


class Clock:
    """Each look at it is a second later."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def plan(*steps: Step, seed: int = 1, **changes: Any) -> Plan:
    values = {"live": LIVE, "words": ("job=prompt",), "steps": steps, "measure": "wall", "min_effect": 0.02}
    return Plan(**{**values, "aa_pairs": 8, "seed": seed, **changes})


def step(name: str, *b: str) -> Step:
    return Step(name, f"about {name}", (), b or (f"{name}=1",))


def session(at: Plan, folder: Path, start: Simulated, sample: Any = lambda: None) -> Session:
    return Session(at, EvidenceFile(folder / f"{at.id}.jsonl"), start, now=Clock(), sample=sample)


def sit(at: Plan, folder: Path, start: Simulated, until: float = math.inf, sample: Any = lambda: None) -> Session:
    sitting = session(at, folder, start, sample)
    sitting.sit("2026-01-01T00:00:00", "boot", 0.5, until)
    return sitting
