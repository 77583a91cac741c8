"""What happened night by night: one append-only file a schedule, one JSON object a line, and pure questions to it.

A torn last line (a power cut) is passed over. Format: docs/schedule.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from runner.store.files import full_sync, storage, sync_folder

HISTORY_VERSION: Final = 1

Event = Mapping[str, Any]

MAX_RESUMES: Final = 3
"""Resumes of one run that fail before it is given up for a new one."""


@dataclass(frozen=True, slots=True)
class History:
    """The file."""

    path: Path

    def append(self, event: str, at: float, **fields: Any) -> dict[str, Any]:
        """Writes one line and syncs it; returns it. StorageError."""
        entry = {"v": HISTORY_VERSION, "event": event, "at": round(at, 3), **fields}
        line = (json.dumps(entry, ensure_ascii=False) + "\n").encode()
        with storage(f"cannot write {self.path}"):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh = not self.path.exists()
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(fd).st_size
                if size and os.pread(fd, 1, size - 1) != b"\n":
                    line = b"\n" + line  # behind a torn one: glued to it, this one would be lost too
                view = memoryview(line)
                while view:
                    view = view[os.write(fd, view) :]
                full_sync(fd)
            finally:
                os.close(fd)
            if fresh:
                sync_folder(self.path.parent)
        return entry

    def events(self) -> list[dict[str, Any]]:
        """All of this version, oldest first; [] when there are none."""
        if not self.path.is_file():
            return []
        with storage(f"cannot read {self.path}"):
            lines = self.path.read_bytes().split(b"\n")
        found = []
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and entry.get("v") == HISTORY_VERSION:
                found.append(entry)
        return found


@dataclass(frozen=True, slots=True)
class RunOfNight:
    """One run that nights worked on. `night`: the last that did, as a resume or not. `ended`: some
    night saw it finish."""

    folder: str
    night: int
    overrides: tuple[str, ...]
    resumed: bool
    ended: bool
    failed_resumes: int
    abandoned: bool


def next_night(events: Iterable[Event]) -> int:
    """Nights are counted from 1."""
    return 1 + max((event["night"] for event in events if event["event"] == "night.begun"), default=0)


def handled_until(events: Iterable[Event], created: float) -> float:
    """Due times up to here are over: a night was begun for them, or they were skipped and told."""
    counts = ("night.begun", "night.skipped", "schedule.resumed", "schedule.added")
    return max((max(e["at"], e.get("due") or 0) for e in events if e["event"] in counts), default=created)


def open_night(events: Iterable[Event]) -> Event | None:
    """The last night, when it never ended: its process or its machine died."""
    last: Event | None = None
    for event in events:
        if event["event"] == "night.begun":
            last = event
        elif event["event"] in ("night.ended", "night.died") and last is not None and event["night"] == last["night"]:
            last = None
    return last


def runs(events: Iterable[Event]) -> list[RunOfNight]:
    """In the order in which they were last worked on."""
    found: dict[str, RunOfNight] = {}
    for event in events:
        place = event.get("folder", "")
        if event["event"] == "run.begun":
            old = found.pop(place, None)
            failed = old.failed_resumes if old else 0
            words, resumed = tuple(event["overrides"]), event["kind"] == "resume"
            found[place] = RunOfNight(place, event["night"], words, resumed, False, failed, False)
        elif event["event"] == "run.ended" and place in found:
            old, result = found[place], event["result"]
            failed = old.failed_resumes + (old.resumed and result == "failed")
            found[place] = replace(old, ended=result in ("finished", "none"), failed_resumes=failed)
        elif event["event"] == "run.abandoned" and place in found:
            found[place] = replace(found[place], abandoned=True)
    return list(found.values())


def pinned(events: Iterable[Event]) -> int | None:
    """The night that results were rolled back to."""
    found: int | None = None
    for event in events:
        if event["event"] == "results.pinned":
            found = event["night"]
    return found


def ended_nights(events: Iterable[Event]) -> list[Event]:
    """Oldest first."""
    return [event for event in events if event["event"] == "night.ended"]
