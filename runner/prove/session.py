"""One sitting: pairs in random order, each arm a fresh runner process, everything written down before the next starts.

The order of arms in a pair and of steps in a round is random but follows from the plan's seed, so that a second sitting
goes on exactly where the first one stopped. Trial, clock and counters of the machine come as arguments. It does not
judge (verdict does) and shows nothing but progress. Called by commands/tune.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from runner.compare import statistics
from runner.config.overrides import quote
from runner.errors import EXIT_BUSY, EXIT_SIGINT, EXIT_SIGTERM, BusyError, RunFailed
from runner.layout import RunFolder
from runner.prove import disturbance
from runner.prove.steps import BASELINE, Step
from runner.prove.verdict import Figures, Verdict, judge
from runner.store import evidence
from runner.store.evidence import EvidenceFile
from runner.store.locks import FileLock
from runner.trial import Trial

Measure = Literal["wall", "cpu"]
Start = Callable[[Sequence[str], Path, Path], Trial]

LEAST_AA: Final = 6
"""Pairs of the baseline against itself below which their spread says nothing."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is proved and how. `live`: facts whose change ends the evidence; `words`: the run that is measured."""

    live: Mapping[str, Any]
    words: tuple[str, ...]
    steps: tuple[Step, ...]
    measure: Measure
    min_effect: float
    aa_pairs: int
    seed: int
    keep_disturbed: bool = False

    @property
    def id(self) -> str:
        """Equal in two sittings of one plan."""
        return evidence.plan_id(self._parts())

    def header(self) -> dict[str, Any]:
        """The first line of the evidence file."""
        return {"v": evidence.VERSION, "plan": self.id, **self._parts(), "watched": disturbance.watched()}

    def _parts(self) -> dict[str, Any]:
        steps = [{"name": s.name, "about": s.about, "a": list(s.a), "b": list(s.b)} for s in self.steps]
        more = {"keep_disturbed": True} if self.keep_disturbed else {}  # other plans keep the name they had without it
        return {
            **more,
            "live": dict(self.live),
            "words": list(self.words),
            "steps": steps,
            "measure": self.measure,
            "min_effect": self.min_effect,
            "aa_pairs": self.aa_pairs,
            "seed": self.seed,
        }


@dataclass(slots=True)
class Known:
    """What the evidence file holds: pairs that count by step and number, steps that do not run, the slice of input."""

    pairs: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    slice: str = ""
    sittings: int = 0
    redone: int = 0

    def figures(self, step: str, measure: Measure) -> Figures:
        """Log ratios b / a, pair by pair."""
        pairs = [pair for _, pair in sorted(self.pairs.get(step, {}).items())]
        return Figures([log_ratio(pair, measure) for pair in pairs], [log_ratio(pair, "cpu") for pair in pairs])


def log_ratio(pair: Mapping[str, Any], measure: Measure) -> float:
    """Cost of a document in arm b over that in arm a, as a logarithm."""
    key = "seconds" if measure == "wall" else "cpu_s"
    cost = [pair[arm][key] / pair[arm]["documents"] for arm in ("a", "b")]
    return math.log(cost[1] / cost[0])


def known(records: Iterable[Mapping[str, Any]]) -> Known:
    """From the records of an evidence file."""
    found = Known()
    for record in records:
        if record["op"] == "sitting":
            found.sittings = record["number"]
        elif record["op"] == "failed":
            found.failed[record["step"]] = (
                f"arm {record['arm']} ends with exit code {record['exit_code']}: {record['said']}"
            )
        elif record["op"] == "pair":
            found.slice = found.slice or record["slice"]
            found.redone += record["again"]
            if not record["again"]:
                found.pairs.setdefault(record["step"], {})[record["number"]] = dict(record)
    return found


def smallest_effect(plan: Plan, seen: Known) -> float:
    """What the spread of the baseline against itself lets this machine show with the most pairs; infinite before."""
    d = seen.figures(BASELINE, plan.measure).deciding
    if len(d) < LEAST_AA:
        return math.inf
    at = statistics.looks(len(plan.steps))
    return statistics.smallest_effect(statistics.spread(d), at[-1], statistics.boundary(at, len(plan.steps)))


def verdicts(plan: Plan, seen: Known) -> dict[str, Verdict]:
    """All steps of the plan by what is known now."""
    figures = {step.name: seen.figures(step.name, plan.measure) for step in plan.steps}
    return judge(figures, plan.min_effect, smallest_effect(plan, seen), seen.failed)


class _DoesNotRun(Exception):  # noqa: N818 - an outcome of an arm, not a fault of ours
    def __init__(self, arm: str, done: Trial, console: Path) -> None:
        lines = console.read_text(encoding="utf-8", errors="replace").split("\n") if console.exists() else []
        self.arm, self.exit_code = arm, done.exit_code
        # What the command says of an error begins so; a run that was killed says nothing.
        said = [line for line in lines if line.startswith("error: ")] or [line for line in lines if line.strip()]
        self.said = said[-1][:300] if said else "it said nothing"
        super().__init__(self.said)


class Session:
    """One sitting over one evidence file."""

    def __init__(
        self,
        plan: Plan,
        file: EvidenceFile,
        start: Start,
        *,
        now: Callable[[], float],
        sample: Callable[[], disturbance.Sample | None] = disturbance.sample,
    ) -> None:
        self._plan, self._file, self._start, self._now, self._sample = plan, file, start, now, sample
        self._scratch = file.path.with_suffix(".runs")
        self._warm: set[tuple[str, ...]] = set()
        records = file.records()
        if not records:
            file.append("plan", **plan.header())
        self.known = known(records)

    def sit(self, started_at: str, boot_id: str, load: float, until: float = math.inf) -> dict[str, Verdict]:
        """Measures until every step is decided or the clock has passed `until`; returns the verdicts, which are also
        written. RunFailed when the baseline itself does not run or the input changed, BusyError when another process
        measures this plan."""
        lock = FileLock(self._file.path.with_suffix(".lock"))
        if not lock.acquire(f"a sitting of plan {self._plan.id}"):
            raise BusyError(f"this plan is being measured by {lock.holder()}", "wait for it: it does the same pairs")
        try:
            return self._sitting(started_at, boot_id, load, until)
        finally:
            lock.release()

    def _sitting(self, started_at: str, boot_id: str, load: float, until: float) -> dict[str, Verdict]:
        seen = self.known = known(self._file.records())
        seen.sittings += 1
        self._file.append("sitting", number=seen.sittings, started_at=started_at, boot_id=boot_id, load=load)
        try:
            self._rounds(until)
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)
        found = verdicts(self._plan, seen)
        for verdict in found.values():
            self._file.append("verdict", **_record(verdict), at=started_at)
        return found

    def _rounds(self, until: float) -> None:
        baseline = Step(BASELINE, "", (), ())
        for number in range(1, self._plan.aa_pairs + 1):
            if self._now() >= until:
                return
            if number not in self.known.pairs.get(BASELINE, {}):
                self._pair(baseline, number)
        while waiting := [step for step in self._plan.steps if not verdicts(self._plan, self.known)[step.name].decided]:
            fewest = min(len(self.known.pairs.get(step.name, {})) for step in waiting)
            order = random.Random(f"{self._plan.seed}:{fewest}")
            for step in order.sample(waiting, len(waiting)):
                if self._now() >= until:
                    return
                # Only those behind: after an interrupted round all come level before anyone goes on.
                if len(self.known.pairs.get(step.name, {})) == fewest:
                    self._pair(step, fewest + 1)

    def _pair(self, step: Step, number: int) -> None:
        try:
            self._warm_up(step)
            again = self._measured(step, number, may_repeat=not self._plan.keep_disturbed)
            if again:
                self._measured(step, number, may_repeat=False)
        except _DoesNotRun as failure:
            if failure.exit_code in (EXIT_SIGINT, EXIT_SIGTERM):
                raise KeyboardInterrupt from None
            if failure.exit_code == EXIT_BUSY:
                raise BusyError(failure.said.removeprefix("error: "), "wait for the other run to end") from None
            if step.name == BASELINE:
                raise RunFailed(
                    f"the run that is to be measured ends with exit code {failure.exit_code}: {failure.said}",
                    "the same words as `runner ...` show more",
                ) from None
            where = {"step": step.name, "arm": failure.arm, "exit_code": failure.exit_code, "said": failure.said}
            self._file.append("failed", **where)
            self.known.failed[step.name] = f"arm {failure.arm} ends with exit code {failure.exit_code}: {failure.said}"
            _say(f"{step.name}: does not run here: {failure.said}")

    def _warm_up(self, step: Step) -> None:
        """Once an arm and sitting: pages, caches and a converted model are there when the first pair starts."""
        for arm, words in (("a", step.a), ("b", step.b)):
            if words not in self._warm:
                self._run(arm, words)
                self._warm.add(words)

    def _measured(self, step: Step, number: int, *, may_repeat: bool) -> bool:
        """One pair, written down; True when it was disturbed and is to be measured again."""
        order = random.Random(f"{self._plan.seed}:{step.name}:{number}:{may_repeat}")
        arms = order.sample([("a", step.a), ("b", step.b)], 2)
        before = self._sample()
        figures, slices = {}, set()
        for arm, words in arms:
            figures[arm], part = self._run(arm, words)
            slices.add(part)
        disturbed = disturbance.reasons(before, self._sample(), sum(each["cpu_s"] for each in figures.values()))
        slices |= {self.known.slice} - {""}
        if len(slices) > 1:
            raise RunFailed(
                "two runs of this plan did not read the same documents: the input was changed, or not every "
                "document succeeds each time",
                "measure on a folder that nobody writes to; a changed input needs a new --seed or other words",
            )
        pair: dict[str, Any] = {
            "step": step.name,
            "number": number,
            "first": arms[0][0],
            **figures,
            "slice": slices.pop(),
            "disturbed": disturbed,
            "again": bool(disturbed) and may_repeat,
            "sitting": self.known.sittings,
        }
        self._file.append("pair", **pair)
        self.known.slice = pair["slice"]
        ratio = math.exp(log_ratio(pair, self._plan.measure))
        why = f" (disturbed: {', '.join(disturbed)}{'; measured again' if pair['again'] else ''})" if disturbed else ""
        _say(f"{step.name}: pair {number}, {self._plan.measure} time b / a = {ratio:.3f}{why}")
        if pair["again"]:
            self.known.redone += 1
            return True
        self.known.pairs.setdefault(step.name, {})[number] = pair
        return False

    def _run(self, arm: str, words: Sequence[str]) -> tuple[dict[str, Any], str]:
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        folder, console = self._scratch / "run", self._scratch / "console.log"
        fixed = [f"output.dir={quote(str(self._scratch))}", "on_busy=wait", "tuning.keep=always"]
        done = self._start([*self._plan.words, *words, *fixed], folder, console)
        summary = done.summary
        if done.exit_code != 0 or summary is None or not summary["ok"] or not summary["working_seconds"]:
            raise _DoesNotRun(arm, done, console)
        counted = {key: summary[key] for key in ("prompt_tokens", "generated_tokens")}
        figures = {"seconds": summary["working_seconds"], "cpu_s": done.cpu_s, "documents": summary["ok"], **counted}
        return figures, _slice(folder)


def _slice(folder: Path) -> str:
    """A hash over what was read and answered: two runs with equal ones did the same documents."""
    ids = []
    for line in RunFolder(folder).results.read_text(encoding="utf-8").splitlines():
        result = json.loads(line)
        if result["status"] == "ok":
            ids.append(result["input_id"])
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:16]


def _record(verdict: Verdict) -> dict[str, Any]:
    effect, cpu = verdict.effect, verdict.cpu
    return {
        "step": verdict.step,
        "verdict": verdict.word,
        "pairs": verdict.pairs,
        "ratio": effect and round(effect.ratio, 5),
        "low": effect and round(effect.low, 5),
        "high": effect and round(effect.high, 5),
        "cpu": cpu and [round(cpu.ratio, 5), round(cpu.low, 5), round(cpu.high, 5)],
        "z": round(verdict.z, 4),
        "boundary": verdict.boundary,
        "note": verdict.note,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
