"""Who lives with the settings that are set now: one flock'ed file a run, so that the last one to go puts them back.

A killed holder's lock goes with its process; its file is then nobody's and is removed. Knows no step and no value; its
caller (system.py) holds the lock of system tuning around every call.
"""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from runner.store.files import storage
from runner.store.locks import FileLock, is_held


@dataclass(frozen=True, slots=True)
class Holder:
    """One living run and what it wants."""

    run: str
    pid: int
    since: str
    steps: dict[str, str]

    def __str__(self) -> str:
        return f"run {self.run} (process {self.pid}, since {self.since})"


class Holders:
    """The folder of holder files. A process holds at most one of them."""

    def __init__(self, folder: Path, run: str) -> None:
        self._folder, self._run = folder, run
        self._mine: FileLock | None = None

    def hold(self, steps: Mapping[str, str]) -> None:
        """Says that our run lives with `steps` from now on, until `leave` or its death."""
        lock = FileLock(self._folder / f"{self._run}.holder")
        assert lock.acquire(f"system tuning of run {self._run}"), "two lives of one run"
        text = json.dumps({"pid": os.getpid(), "since": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "steps": dict(steps)})
        os.ftruncate(lock.fileno(), 0)
        os.pwrite(lock.fileno(), text.encode(), 0)
        self._mine = lock

    def leave(self) -> None:
        """Gives our file up; a second call does nothing."""
        if self._mine is not None:
            self._mine.path.unlink(missing_ok=True)
            self._mine.release()
            self._mine = None

    def drop(self) -> None:
        """Frees the lock as a death would: the file stays behind."""
        if self._mine is not None:
            self._mine.release()
            self._mine = None

    def living(self) -> list[Holder]:
        """All others; files of the dead are removed on the way.

        Our own run is none of them, whoever looks: when its guard does, the kernel may still be closing its files.
        """
        found = []
        with storage(f"cannot look for other runs in {self._folder}"):
            for path in sorted(self._folder.glob("*.holder")):
                if path.stem == self._run:
                    continue
                if not is_held(path):
                    path.unlink(missing_ok=True)
                    continue
                try:
                    read = json.loads(path.read_bytes())
                    found.append(Holder(path.stem, read["pid"], read["since"], read["steps"]))
                except (ValueError, KeyError):  # cut in its first moment; it lives, and wants we do not know what
                    found.append(Holder(path.stem, 0, "now", {}))
        return found
