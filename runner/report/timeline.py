"""metrics.jsonl over time, thinned while it is read: a run of a week costs as much memory as one of an hour.

Several lives of one run follow each other on one time axis. Pure: takes lines. Called by the report.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

MOST: Final = 8192
"""Points kept; when there are more, two neighbours become one."""


def _later(_first: float, second: float) -> float:
    return second


def _mean(first: float, second: float) -> float:
    return (first + second) / 2


KEPT: Final[Mapping[str, Callable[[float, float], float]]] = {
    "ended": _later,
    "ok": _later,
    "prompt_tokens_per_s": _mean,
    "generated_tokens_per_s": _mean,
    "pending_requests": max,
    "leased": max,
    "workers_rss_bytes": max,
    "runner_rss_bytes": max,
    "rust_bytes": max,
    "ipc_bytes": max,
    "available_bytes": min,
}
"""What is kept of a sample, and what becomes of two neighbours: of a total the later, of a rate the mean, of a level
its peak."""


TOTALS: Final = ("extract_s", "prepare_s", "wasted_tokens", "generated_tokens", "repairs", "requeued")
"""Counters of one life whose end is wanted; older runs have not all of them."""

PEAKS: Final = ("engine_bytes", "kv_bytes")
"""Levels of which the peak alone is wanted."""


@dataclass(slots=True)
class Timeline:
    """`at`: seconds since the run's first life began, pauses between lives left out. `lives`: where each later one
    begins. CPU seconds are those of the last life, like the times of summary.json."""

    at: array[float] = field(default_factory=lambda: array("d"))
    values: dict[str, array[float]] = field(default_factory=lambda: {name: array("d") for name in KEPT})
    lives: list[float] = field(default_factory=list)
    peaks: dict[str, float] = field(default_factory=dict)
    totals: dict[str, float] = field(default_factory=dict)
    least_available: float | None = None
    runner_cpu_s: float = 0.0
    workers_cpu_s: float = 0.0
    unreadable: int = 0

    def __bool__(self) -> bool:
        return len(self.at) > 1

    @property
    def seconds(self) -> float:
        """From first to last sample."""
        return self.at[-1] if self.at else 0.0


def read(lines: Iterable[bytes]) -> Timeline:
    """Folds the samples. A torn or foreign line is counted, never fatal."""
    found = Timeline()
    offset = last = 0.0
    cpu: dict[tuple[str, int], float] = {}
    life: dict[str, float] = {}
    for line in lines:
        try:
            sample: dict[str, Any] = json.loads(line)
            elapsed = float(sample["elapsed_s"])
        except (ValueError, KeyError, TypeError):
            found.unreadable += 1
            continue
        if elapsed < last:
            offset += last
            _add(found.totals, life)
            cpu.clear()
            found.lives.append(offset)
        last = elapsed
        _append(found, offset + elapsed, sample)
        life = {name: float(sample[name]) for name in TOTALS if sample.get(name)}
        for process in sample.get("processes", ()):
            key = (process["name"], process["pid"])
            cpu[key] = max(cpu.get(key, 0.0), process["cpu_s"])
    _add(found.totals, life)
    found.runner_cpu_s = sum(seconds for (name, _), seconds in cpu.items() if name == "runner")
    found.workers_cpu_s = sum(cpu.values()) - found.runner_cpu_s
    return found


def _add(totals: dict[str, float], life: Mapping[str, float]) -> None:
    for name, value in life.items():
        totals[name] = totals.get(name, 0.0) + value


def _append(found: Timeline, at: float, sample: Mapping[str, Any]) -> None:
    ended = sum(int(sample.get(name, 0)) for name in ("ok", "failed", "quarantined"))
    found.at.append(at)
    for name, values in found.values.items():
        value = float(ended if name == "ended" else sample.get(name) or 0)  # null where the system does not say
        values.append(value)
        if name != "available_bytes":
            found.peaks[name] = max(found.peaks.get(name, 0.0), value)
        elif sample.get(name) is not None:
            found.least_available = value if found.least_available is None else min(found.least_available, value)
    for name in PEAKS:
        found.peaks[name] = max(found.peaks.get(name, 0.0), float(sample.get(name) or 0))
    if len(found.at) >= MOST:
        found.at = found.at[1::2]
        for name, values in found.values.items():
            merge = KEPT[name]
            pairs = zip(values[::2], values[1::2], strict=True)
            found.values[name] = array("d", (merge(first, second) for first, second in pairs))


def per_hour(found: Timeline, buckets: int) -> list[float]:
    """Documents ended, per hour, in equal spans of the whole time. Counts between two samples are spread evenly."""
    seconds, width = found.seconds, found.seconds / buckets
    counts = [0.0] * buckets
    ended = found.values["ended"]
    for place in range(1, len(found.at)):
        gained, start, stop = ended[place] - ended[place - 1], found.at[place - 1], found.at[place]
        if gained <= 0 or stop <= start:
            continue
        for number in range(int(start / width), min(buckets - 1, int(stop / width)) + 1):
            overlap = min(stop, (number + 1) * width) - max(start, number * width)
            counts[number] += gained * max(0.0, overlap) / (stop - start)
    return [count * 3600 / width for count in counts] if seconds > 0 else counts
