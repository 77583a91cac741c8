"""Telling about changes of state, each once: what is firing now, and what has not reached every sink yet.

The change is on disk before anybody is told, so that a night that dies in between neither loses it nor tells it anew;
a sink that fails is tried again by later nights. Format: docs/schedule.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from runner.alerts.sinks import Alert, Sink, deliver, read_sink
from runner.store.files import read_json, write_json

NOTICES_VERSION: Final = 1

MOST_TRIES: Final = 5
"""Nights on which a sink is tried before its copy of an alert is dropped; the history keeps what it was."""

Kind = Literal["failed", "documents", "missed", "slower", "disk_low", "tuning"]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a night saw of one kind; `firing` None = it cannot tell, so nothing changes."""

    firing: bool | None
    title: str
    text: str = ""
    ended: str = ""
    """How the end of it is told; empty = it ends without a word."""


@dataclass(frozen=True, slots=True)
class Change:
    """One step from quiet to firing or back."""

    kind: Kind
    state: Literal["firing", "resolved"]
    title: str
    text: str
    told: bool


def changes(firing: Sequence[str], seen: Mapping[Kind, Seen]) -> list[Change]:
    """Pure: what is new."""
    found = []
    for kind, now in seen.items():
        if now.firing is True and kind not in firing:
            found.append(Change(kind, "firing", now.title, now.text, True))
        elif now.firing is False and kind in firing:
            found.append(Change(kind, "resolved", now.ended, now.text, bool(now.ended)))
    return found


class Notices:
    """The file of one schedule."""

    def __init__(self, path: Path, schedule: str, sinks: Sequence[str], environment: Mapping[str, str]) -> None:
        self._path, self._schedule, self._environment = path, schedule, environment
        self._sinks = [read_sink(sink) for sink in sinks]
        data = read_json(path) if path.is_file() else {}
        known: Any = data if data.get("version") == NOTICES_VERSION else {}
        self._firing: list[str] = list(known.get("firing", []))
        self._outbox: list[dict[str, Any]] = list(known.get("outbox", []))

    @property
    def firing(self) -> tuple[str, ...]:
        """Kinds that hold now."""
        return tuple(self._firing)

    def tell(
        self, seen: Mapping[Kind, Seen], night: int, folder: str | None, at: str,
        send: Callable[[Sink, Alert, Mapping[str, str]], str | None] = deliver,
    ) -> tuple[list[Change], list[str]]:  # fmt: skip
        """The changes, and what went wrong with telling them."""
        found = changes(self._firing, seen)
        for change in found:
            if change.state == "firing":
                self._firing.append(change.kind)
            else:
                self._firing.remove(change.kind)
            if change.told:
                id_ = f"{self._schedule}-{night}-{change.kind}-{change.state}"
                alert = Alert(
                    id_, self._schedule, change.kind, change.state, f"{self._schedule}: {change.title}", change.text,
                    folder, at,
                )  # fmt: skip
                sinks = [str(sink) for sink in self._sinks if sink.kind != "ping"]
                if sinks:
                    self._outbox.append({"alert": asdict(alert), "sinks": sinks, "tries": 0})
        if found:
            self._save()
        return found, self._deliver(send)

    def _deliver(self, send: Callable[[Sink, Alert, Mapping[str, str]], str | None]) -> list[str]:
        problems = []
        for entry in list(self._outbox):
            alert = Alert(**entry["alert"])
            entry["tries"] += 1
            for text in list(entry["sinks"]):
                problem = send(read_sink(text), alert, self._environment)
                if problem is None:
                    entry["sinks"].remove(text)
                    self._save()
                else:
                    problems.append(problem)
            if not entry["sinks"] or entry["tries"] >= MOST_TRIES:
                self._outbox.remove(entry)
            self._save()
        return problems

    def _save(self) -> None:
        write_json(self._path, {"version": NOTICES_VERSION, "firing": self._firing, "outbox": self._outbox})
