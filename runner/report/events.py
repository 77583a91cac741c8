"""log.jsonl in one pass: what workers reported when they were ready, tuning outcomes, restarts, warnings and errors.

Pure: takes lines. Called by the report. Event names are those of runner/log.py.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

MOST: Final = 40
"""Warnings and errors that are kept: the first ones; the log has them all."""

_COUNTED: Final = frozenset(
    {
        "worker.died",
        "worker.restarted",
        "worker.recycled",
        "worker.killed",
        "converter.died",
        "converter.killed",
        "lease.expired",
    }
)
_OWN: Final = frozenset({"room", "event", "level", "timestamp", "run_id"})


@dataclass(slots=True)
class Events:
    """Facts of the last life; counts and complaints of all. `loading_s`: until its first worker was ready."""

    workers: dict[int, dict[str, Any]] = field(default_factory=dict)
    tuning: dict[str, dict[str, Any]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    complaints: list[tuple[str, str, str, str]] = field(default_factory=list)
    """(time of day, level, event, its fields as text)."""
    more_complaints: int = 0
    loading_s: float | None = None
    lives: int = 0


def read(lines: Iterable[bytes]) -> Events:
    """Folds the lines; a torn one is passed over."""
    found = Events()
    opened: datetime | None = None
    for line in lines:
        try:
            record = json.loads(line)
            name, at = str(record["event"]), datetime.fromisoformat(record["timestamp"])
        except (ValueError, KeyError, TypeError):
            continue
        if name in ("run.opened", "run.resumed"):
            opened, found.loading_s = at, None
            found.lives += 1
        elif name == "worker.became_ready" and opened is not None and found.loading_s is None:
            found.loading_s = (at - opened).total_seconds()
        elif name in ("setting.applied", "setting.refused"):
            _setting(found, record)
        if name in _COUNTED:
            found.counts[name] += 1
        if record.get("level") in ("warning", "error", "critical"):
            _complaint(found, at, record)
    return found


def _setting(found: Events, record: Mapping[str, Any]) -> None:
    fields = {key: value for key, value in record.items() if key not in _OWN}
    if isinstance(fields.get("worker"), int):
        found.workers[fields.pop("worker")] = fields
    elif "step" in fields:
        found.tuning[str(fields["step"])] = fields


def _complaint(found: Events, at: datetime, record: Mapping[str, Any]) -> None:
    if len(found.complaints) >= MOST:
        found.more_complaints += 1
        return
    fields = ", ".join(f"{key}: {value}" for key, value in record.items() if key not in _OWN)
    found.complaints.append((f"{at:%H:%M:%S}", str(record["level"]), str(record["event"]), fields[:600]))
