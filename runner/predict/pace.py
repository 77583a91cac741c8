"""How fast a run was: what workers report while they serve, summed up for summary.json, and read back for a forecast.

A worker reports cumulative numbers now and then and at its end; the difference of two reports is a window. Pure. Called
by run while it lives, and by the plan command with the summaries of earlier runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

PACE_VERSION: Final = 1
MOST_WINDOWS: Final = 400
"""Kept of a run; a longer one keeps every second, then every fourth, ..."""


@dataclass(frozen=True, slots=True)
class Window:
    """Work of one worker between two reports. `seconds` is by the clock, waiting included."""

    prefill_tokens: float
    prefill_s: float
    decode_tokens: float
    decode_s: float
    seconds: float

    @property
    def busy_s(self) -> float:
        """Computing."""
        return self.prefill_s + self.decode_s

    def __add__(self, other: Window) -> Window:
        return Window(*(a + b for a, b in zip(_numbers(self), _numbers(other), strict=True)))


def _numbers(window: Window) -> tuple[float, ...]:
    return (window.prefill_tokens, window.prefill_s, window.decode_tokens, window.decode_s, window.seconds)


NOTHING: Final = Window(0, 0, 0, 0, 0)


_COUNTED: Final = ("rows", "shared_rows", "shared_tokens", "thinking_tokens", "thinking_cut")


@dataclass(frozen=True, slots=True)
class Work:
    """The engines of a life together. `held_tokens`: prompt tokens of the rows in them now."""

    total: Window = NOTHING
    rows: int = 0
    shared_rows: int = 0
    shared_tokens: int = 0
    held_tokens: int = 0
    thinking_tokens: int = 0


class Paces:
    """Collects the reports of all workers of one life."""

    def __init__(self) -> None:
        self._last: dict[int, Window] = {}
        self._latest: dict[int, tuple[Window, int]] = {}
        self._gone = NOTHING
        self._last_counts: dict[int, dict[str, int]] = {}
        self._counts = dict.fromkeys(_COUNTED, 0)
        self._windows: list[Window] = []

    def started(self, worker: int) -> None:
        """A fresh process on this seat: it counts from nothing."""
        self._last.pop(worker, None)
        self._last_counts.pop(worker, None)
        self._gone += self._latest.pop(worker, (NOTHING, 0))[0]

    def note(self, worker: int, fields: Mapping[str, Any]) -> None:
        """One report, cumulative since the worker was ready. Those that end no window count for `work` alone."""
        now = Window(**{name: float(fields[name]) for name in Window.__dataclass_fields__})
        self._latest[worker] = (now, int(fields.get("held_tokens", 0)))
        if fields.get("window", True):
            then = self._last.get(worker, NOTHING)
            self._last[worker] = now
            gained = Window(*(a - b for a, b in zip(_numbers(now), _numbers(then), strict=True)))
            if gained.busy_s > 0:
                self._windows.append(gained)
        counts = {name: int(fields[name]) for name in _COUNTED}
        before = self._last_counts.get(worker, dict.fromkeys(_COUNTED, 0))
        self._last_counts[worker] = counts
        for name in _COUNTED:
            self._counts[name] += counts[name] - before[name]

    def work(self) -> Work:
        """What the engines have done so far, as they last said; those of workers that are gone among them."""
        total = sum((window for window, _ in self._latest.values()), self._gone)
        held = sum(held for _, held in self._latest.values())
        counts = self._counts
        shared = (counts["rows"], counts["shared_rows"], counts["shared_tokens"])
        return Work(total, *shared, held, counts["thinking_tokens"])

    def prefix(self) -> dict[str, Any]:
        """For summary.json: how many rows found the prefix that they begin with computed, and what that saved."""
        rows, hits, tokens = (self._counts[name] for name in ("rows", "shared_rows", "shared_tokens"))
        return {
            "rows": rows,
            "shared_rows": hits,
            "hit_rate": round(hits / rows, 4) if rows else 0.0,
            "tokens_saved": tokens,
        }

    def thinking(self) -> dict[str, int]:
        """For summary.json: tokens of thoughts, which count in no answer, and how many the budget closed."""
        return {"tokens": self._counts["thinking_tokens"], "cut": self._counts["thinking_cut"]}

    def summary(self) -> dict[str, Any]:
        """For summary.json: totals, and windows as lists in the order of the fields."""
        total = sum(self._windows, NOTHING)
        step = max(1, math.ceil(len(self._windows) / MOST_WINDOWS))
        shown = [[round(number, 3) for number in _numbers(window)] for window in self._windows[::step]]
        return {
            "version": PACE_VERSION,
            **{key: round(value, 3) for key, value in asdict(total).items()},
            "windows": shown,
        }


@dataclass(frozen=True, slots=True)
class Answers:
    """Tokens of the answers of one job: how many answers, their mean and standard deviation."""

    count: int
    mean: float
    deviation: float

    @staticmethod
    def of(count: int, total: float, squares: float) -> Answers:
        """From sums."""
        mean = total / count if count else 0.0
        variance = max(0.0, squares / count - mean * mean) if count else 0.0
        return Answers(count, round(mean, 3), round(math.sqrt(variance), 3))


@dataclass(frozen=True, slots=True)
class Measured:
    """One earlier run (or calibration), as far as it says something of the time of another."""

    source: str
    """Its folder's name, or when it was calibrated."""
    setting: Mapping[str, Any]
    answers_key: str
    workers: int
    total: Window
    windows: Sequence[Window]
    working_s: float
    """By the clock, from the first worker ready to the last commit."""
    start_s: float
    """Before that: loading the model."""
    answers: Answers


def read(source: str, summary: Mapping[str, Any]) -> Measured | None:
    """What a summary.json says of speed; None for a run that has not measured any, or of another version."""
    pace = summary.get("pace")
    if not isinstance(pace, Mapping) or pace.get("version") != PACE_VERSION:
        return None
    total = Window(**{name: float(pace[name]) for name in Window.__dataclass_fields__})
    if total.decode_tokens <= 0 or total.busy_s <= 0:
        return None
    return Measured(
        source=source,
        setting=pace["setting"],
        answers_key=pace["answers_key"],
        workers=pace["workers"],
        total=total,
        windows=[Window(*row) for row in pace["windows"]],
        working_s=float(summary["working_seconds"]),
        start_s=max(0.0, float(summary["seconds"]) - float(summary["working_seconds"])),
        answers=Answers(**pace["answers"]),
    )
