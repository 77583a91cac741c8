"""Another process's run, seen through the files of its folder: samples as they come, alerts, the last failure.

Reads only, and only what is new: of a run of days the last samples, not all. Called by `runner show --live`, and for
the last failure by run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from runner.layout import RunFolder
from runner.metrics import Sample
from runner.progress import Progress

TAIL_BYTES: Final = 256 * 1024
"""Of a file that is long already: some minutes of samples."""

LOOK_EVERY_S: Final = 0.25


class Tail:
    """Whole lines of a growing file, the last ones first seen from `TAIL_BYTES` before its end."""

    def __init__(self, path: Path, tail_bytes: int = TAIL_BYTES) -> None:
        self._path = path
        self._tail_bytes = tail_bytes
        self._at: int | None = None
        self._rest = b""

    def lines(self) -> list[str]:
        """What came since the last call. A file that is not there has none; one that was made anew begins again."""
        try:
            with self._path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if self._at is not None and size < self._at:
                    self._at, self._rest = None, b""
                torn = self._at is None and size > self._tail_bytes
                start = max(0, size - self._tail_bytes) if self._at is None else self._at
                file.seek(start)
                data = file.read(size - start)
        except FileNotFoundError:
            return []
        self._at = start + len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self._tail_bytes:
            self._rest = b""  # a line of megabytes: it will be skipped as torn
        return [line.decode("utf-8", "replace") for line in (whole[1:] if torn else whole)]


def samples(lines: list[str]) -> list[Sample]:
    """Those that can be read: a torn line of a crashed life is no sample."""
    found = []
    for line in lines:
        try:
            sample = Sample.from_line(line)
        except (ValueError, TypeError):
            continue
        if sample is not None:
            found.append(sample)
    return found


class Alarms:
    """The alerts that fire, from the lines of alerts.jsonl."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self._firing: dict[str, tuple[str, str, str]] = {}

    def firing(self) -> list[tuple[str, str, str]]:
        """(severity, name, text)."""
        for line in self._tail.lines():
            try:
                alert = json.loads(line)
                name = str(alert["alert"])
                if alert["state"] == "firing":
                    self._firing[name] = (str(alert["severity"]), name, str(alert["text"]))
                else:
                    self._firing.pop(name, None)
            except (ValueError, KeyError, TypeError):
                continue
        return list(self._firing.values())


class Failures:
    """The last line of failures.jsonl, read anew only when one more has failed."""

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self._count = -1
        self._last: tuple[str, str] | None = None

    def last(self, sample: Sample) -> tuple[str, str] | None:
        """(source, reason), None while nothing has failed."""
        count = sample.failed + sample.quarantined
        if count != self._count:
            self._count = count
            for line in self._tail.lines()[-1:]:
                try:
                    failure = json.loads(line)
                    self._last = (str(failure["source"]), str(failure["reason"]))
                except (ValueError, KeyError, TypeError):
                    continue
        return self._last


def follow(run: RunFolder, progress: Progress, is_over: Callable[[], bool], wait: Callable[[float], None]) -> None:
    """Shows a run until it is over or `q` is pressed. `wait`: seconds; time.sleep but in tests."""
    tail, alarms, failures = Tail(run.metrics), Alarms(run.alerts), Failures(run.failures)
    board = progress.board
    while True:
        over = is_over()  # before the files are read: what it wrote last is seen
        found = samples(tail.lines())
        for sample in found[:-1]:
            board.feed(sample)
        board.alerts = alarms.firing()
        for last in found[-1:]:
            board.failure = failures.last(last)
            progress.update(last)
        if over or "q" in progress.pressed().lower():
            return
        wait(LOOK_EVERY_S)
