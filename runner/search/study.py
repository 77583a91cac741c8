"""One study: points tried one after the other, then the leaders again in turn, every run kept before the next starts.

Speed depends on heat and neighbours, so the exploring runs only choose who is looked at; what is reported of a leader
are rounds in which all leaders run once, in a random order that follows from the seed, after a pause. Trial, clock and
pause come as arguments. Called by commands/tune_search. Format of the file: docs/tuning-search.md.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from runner.config.overrides import quote
from runner.errors import EXIT_BUSY, EXIT_SIGINT, EXIT_SIGTERM, BusyError, RunFailed, UsageError
from runner.search import front
from runner.search.front import Figures
from runner.search.space import Dimension, Point, overrides
from runner.store import evidence
from runner.store.evidence import EvidenceFile
from runner.store.locks import FileLock
from runner.trial import Trial

Start = Callable[[Sequence[str], Path, Path], Trial]
MOST_TRIES: Final = 2
"""Starts of one run without an end (the machine died with it) before it counts as failed."""


MOST_ASKED: Final = 8
"""Points asked for, of each that is to run: values that do not go together are refused and do not count."""


class Asks(Protocol):
    """Of the sampler."""

    def ask(self, number: int) -> Point | None:
        """A new point, or None when there is none."""

    def tell(self, point: Point, figures: Figures | None, over: float) -> None:
        """What a point came to."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is searched and how. `live`: facts whose change ends the evidence; `words`: the run that is varied."""

    live: Mapping[str, Any]
    words: tuple[str, ...]
    space: tuple[Dimension, ...]
    trials: int
    leaders: int
    rounds: int
    memory_bytes: int | None
    seed: int

    @property
    def id(self) -> str:
        """Equal in two sittings of one study. More trials or rounds go on with the same one."""
        return evidence.plan_id(self._parts())

    def header(self) -> dict[str, Any]:
        """The first line of the file."""
        return {"v": evidence.VERSION, "study": self.id, **self._parts()}

    def _parts(self) -> dict[str, Any]:
        return {
            "live": dict(self.live),
            "words": list(self.words),
            "space": {each.name: each.words() for each in self.space},
            "memory_bytes": self.memory_bytes,
            "seed": self.seed,
        }


@dataclass(slots=True)
class Candidate:
    """A point with all its runs. Number 0 is the configuration as it is. `said`: why it does not run; `refused`: it
    does not compose, which cost nothing."""

    number: int
    point: Point
    explored: Figures | None = None
    rounds: dict[int, Figures] = field(default_factory=dict)
    said: str = ""
    refused: bool = False
    tries: int = 0

    @property
    def figures(self) -> Figures | None:
        """Of the rounds where there are some, since those runs had the same chances; else of the exploring run."""
        return front.together(list(self.rounds.values())) if self.rounds else self.explored

    @property
    def done(self) -> bool:
        """Nothing more is to be explored."""
        return self.explored is not None or bool(self.said)


def known(records: Iterable[Mapping[str, Any]]) -> dict[int, Candidate]:
    """From the records of a study's file."""
    found: dict[int, Candidate] = {}
    for record in records:
        number: int = record.get("number", 0)
        if record["op"] == "asked":
            found.setdefault(number, Candidate(number, dict(record["point"]))).tries += 1
        elif record["op"] == "run":
            figures = Figures(record["docs_per_hour"], record["memory_bytes"], record["quality"])
            if record["round"]:
                found[number].rounds[record["round"]] = figures
            else:
                found[number].explored = figures
        elif record["op"] == "failed":
            found[number].said, found[number].refused = record["said"], record["refused"]
    return found


class _DoesNotRun(Exception):  # noqa: N818 - an outcome of a point, not a fault of ours
    def __init__(self, said: str, refused: bool = False) -> None:
        super().__init__(said)
        self.refused = refused


class Study:
    """One sitting over one file."""

    def __init__(
        self,
        plan: Plan,
        file: EvidenceFile,
        start: Start,
        check: Callable[[Sequence[str]], None],
        *,
        now: Callable[[], float],
        pause: Callable[[], None],
    ) -> None:
        """`check` composes the words of a point: UsageError is an outcome and costs no run."""
        self._plan, self._file, self._start, self._check = plan, file, start, check
        self._now, self._pause = now, pause
        self._scratch = file.path.with_suffix(".runs")
        self.candidates: dict[int, Candidate] = {}

    def sit(self, sampler: Asks, until: float) -> bool:
        """Goes on until everything is done (True) or the clock has passed `until`. BusyError when another process is at
        the same study, RunFailed when not even the configuration as it is runs."""
        lock = FileLock(self._file.path.with_suffix(".lock"))
        if not lock.acquire(f"study {self._plan.id}"):
            raise BusyError(f"this study is under way in {lock.holder()}", "wait for it: it does the same trials")
        try:
            records = self._file.records()
            if not records:
                self._file.append("study", **self._plan.header())
            self.candidates = known(records)
            return self._explore(sampler, until) and self._compare(until)
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)
            lock.release()

    def found(self) -> dict[int, Figures]:
        """What there is of each candidate that runs; leaders are compared among themselves once they have rounds."""
        compared = {n: each.figures for n, each in self.candidates.items() if each.rounds}
        chosen = compared or {n: each.figures for n, each in self.candidates.items()}
        return {number: figures for number, figures in chosen.items() if figures is not None}

    # ---- exploring ----

    def _explore(self, sampler: Asks, until: float) -> bool:
        ran = -1  # the configuration as it is comes on top
        for number in range(MOST_ASKED * self._plan.trials + 1):
            if ran == self._plan.trials:
                break
            candidate = self.candidates.get(number)
            if candidate is None or not candidate.done:
                if self._now() >= until:
                    return False
                point = candidate.point if candidate else ({} if number == 0 else sampler.ask(number))
                if point is None:
                    _say(f"the space is used up after {number - 1} points")
                    return True
                candidate = self.candidates.setdefault(number, Candidate(number, point))
                self._one(candidate, 0)
                if number == 0 and candidate.said:
                    cure = "the same words as `runner ...` show more"
                    raise RunFailed(f"the run that is to be varied does not end well: {candidate.said}", cure)
            ran += not candidate.refused
            if number:  # the configuration as it is may lie outside of the space
                sampler.tell(candidate.point, candidate.explored, self._over(candidate.explored))
        return True

    def _over(self, figures: Figures | None) -> float:
        limit = self._plan.memory_bytes
        return 0.0 if limit is None or figures is None else max(0.0, figures.memory_bytes / limit - 1)

    # ---- comparing ----

    def _compare(self, until: float) -> bool:
        explored = {n: each.explored for n, each in self.candidates.items() if n and each.explored is not None}
        # 0, the configuration as it is: what everything is compared with.
        chosen = [*front.leaders(explored, self._plan.memory_bytes, self._plan.leaders), 0]
        for turn in range(1, self._plan.rounds + 1):
            for number in random.Random(f"{self._plan.seed}:{turn}").sample(chosen, len(chosen)):
                candidate = self.candidates[number]
                if turn in candidate.rounds or candidate.said:
                    continue
                if self._now() >= until:
                    return False
                self._one(candidate, turn)
        return True

    # ---- one run ----

    def _one(self, candidate: Candidate, turn: int) -> None:
        """Runs a candidate once and writes down what became of it; `turn` 0 explores."""
        where = {"number": candidate.number, "round": turn}
        label = f"trial {candidate.number}" + (f", round {turn}" if turn else "")
        if not turn and candidate.tries >= MOST_TRIES:
            candidate.said = f"was started {candidate.tries} times, and each time the search died with it"
            self._file.append("failed", **where, said=candidate.said, refused=False)
            return
        words = overrides(self._plan.space, candidate.point)
        self._file.append("asked", **where, point=candidate.point) if not turn else None
        candidate.tries += not turn
        try:
            figures = self._run(words)
        except _DoesNotRun as failure:
            candidate.said, candidate.refused = str(failure), failure.refused
            self._file.append("failed", **where, said=candidate.said, refused=failure.refused)
            why = "refused" if failure.refused else "does not run"
            _say(f"{label}: {' '.join(words) or 'as it is'}: {why}: {candidate.said}")
            return
        if turn:
            candidate.rounds[turn] = figures
        else:
            candidate.explored = figures
        self._file.append(
            "run", **where, docs_per_hour=figures.docs_per_hour, memory_bytes=figures.memory_bytes,
            quality=figures.quality,
        )  # fmt: skip
        _say(f"{label}: {' '.join(words) or 'as it is'}: {figures.docs_per_hour:.0f} docs/h")

    def _run(self, words: Sequence[str]) -> Figures:
        try:
            self._check(words)
        except UsageError as error:
            raise _DoesNotRun(error.problem, refused=True) from error
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)
        folder, console = self._scratch / "run", self._scratch / "console.log"
        self._pause()
        fixed = [f"output.dir={quote(str(self._scratch))}", "on_busy=wait"]
        done = self._start([*self._plan.words, *words, *fixed], folder, console)
        if done.exit_code in (EXIT_SIGINT, EXIT_SIGTERM):
            raise KeyboardInterrupt
        if done.exit_code == EXIT_BUSY:
            raise BusyError(_last_words(console), "wait for the other run to end")
        summary = done.summary
        if summary is None or not summary["working_seconds"] or not summary["ok"]:
            raise _DoesNotRun(f"exit code {done.exit_code}: {_last_words(console)}")
        asked = summary["ok"] + summary["failed"] + summary["quarantined"]
        peak = sum(summary["peak_rss_bytes"].values())
        return Figures(
            round(3600 * summary["ok"] / summary["working_seconds"], 2), peak, round(summary["ok"] / asked, 6)
        )


def _last_words(console: Path) -> str:
    lines = console.read_text(encoding="utf-8", errors="replace").splitlines() if console.exists() else []
    said = [line for line in lines if line.startswith("error: ")] or [line for line in lines if line.strip()]
    return said[-1].removeprefix("error: ")[:300] if said else "it said nothing"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def dump(plan: Plan, study: Study, chosen: int | None) -> str:
    """As JSON: every candidate, the front, the one to take."""
    rows = []
    ahead = front.front(study.found(), plan.memory_bytes)
    for number, each in sorted(study.candidates.items()):
        figures = each.figures
        row: dict[str, Any] = {"number": number, "overrides": overrides(plan.space, each.point), "said": each.said}
        if figures is not None:
            row |= {"docs_per_hour": figures.docs_per_hour, "memory_bytes": figures.memory_bytes}
            row |= {"quality": figures.quality, "rounds": len(each.rounds), "front": number in ahead}
        rows.append(row)
    return json.dumps({"study": plan.id, "candidates": rows, "front": ahead, "take": chosen}, indent=2)
