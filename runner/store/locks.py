"""Locks between processes: one writer a run folder, one user of a device. Held by flock, so a killed holder frees them.

Each lock file holds who has it. Two lines of defence are deliberately missing: no time-outs that steal a lock, and no
stale-file rules, since the kernel drops a flock with its process. A forked child would share it: workers are exec'ed
with descriptors closed. Called by run and by ls/show (which only look).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from runner.errors import BusyError
from runner.store.files import storage

OnBusy = Literal["fail", "wait", "skip"]

WAIT_STEP_S = 1.0
"""How often `on_busy: wait` asks again."""


class FileLock:
    """One flock. `acquire` returns False when somebody else has it; `holder` then says who."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def acquire(self, purpose: str) -> bool:
        """Takes the lock without waiting and writes the holder into the file. StorageError on a disk error."""
        with storage(f"cannot lock {self.path}"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                return False
            except BaseException:
                os.close(fd)
                raise
            self._fd = fd
            holder = {"pid": os.getpid(), "purpose": purpose, "since": time.strftime("%Y-%m-%dT%H:%M:%S%z")}
            os.ftruncate(fd, 0)
            os.pwrite(fd, (json.dumps(holder) + "\n").encode(), 0)
        return True

    def holder(self) -> str:
        """Who holds it, in words, as far as the file tells."""
        try:
            found = json.loads(self.path.read_bytes())
            return f"process {found['pid']} ({found['purpose']}, since {found['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process (its name is not readable)"

    @property
    def held(self) -> bool:
        """Whether this object has it now."""
        return self._fd >= 0

    def fileno(self) -> int:
        """The held descriptor, for a child that must keep the lock until it has ended (tuning scripts)."""
        assert self._fd >= 0, "the lock is not held"
        return self._fd

    def release(self) -> None:
        """Gives it back. The file stays: removing it would let two processes lock two different files of one name."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock now. Never creates the file, never keeps the lock."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


class DeviceLock:
    """The device a run computes on. Metal is exclusive: two MLX processes on one GPU can panic the machine. A CPU is
    shared by core count: a run takes as many of the machine's core slots as it has worker threads."""

    def __init__(self, locks: list[FileLock], needed: int, name: str) -> None:
        self._all = locks
        self._needed = needed
        self._held: list[FileLock] = []
        self.name = name

    @classmethod
    def metal(cls, path: Path) -> DeviceLock:
        """The one GPU of a Mac."""
        return cls([FileLock(path)], 1, "the Metal GPU")

    @classmethod
    def cpu(cls, slot_file: Callable[[int], Path], slots: int, needed: int) -> DeviceLock:
        """`needed` of the `slots` physical cores; more than there are means all of them."""
        locks = [FileLock(slot_file(slot)) for slot in range(slots)]
        return cls(locks, min(needed, slots), f"{min(needed, slots)} of {slots} CPU cores")

    def try_acquire(self, purpose: str) -> bool:
        """All slots or none, without waiting."""
        for lock in self._all:
            if len(self._held) == self._needed:
                break
            if lock.acquire(purpose):
                self._held.append(lock)
        if len(self._held) == self._needed:
            return True
        self.release()
        return False

    def holders(self) -> str:
        """Everybody who holds a slot now, each once."""
        return ", ".join(sorted({lock.holder() for lock in self._all if is_held(lock.path)})) or "nobody any more"

    def acquire(self, purpose: str, on_busy: OnBusy, stop: Callable[[], bool], waiting: Callable[[str], None]) -> bool:
        """Takes the device. False: `on_busy` is skip, or `stop()` turned true while waiting. BusyError: it is fail."""
        if self.try_acquire(purpose):
            return True
        if on_busy == "skip":
            return False
        if on_busy == "fail":
            raise BusyError(
                f"{self.name} cannot be had, in use by {self.holders()}",
                "wait for that run, or set on_busy=wait (wait here) or on_busy=skip (exit 0 without running)",
            )
        waiting(self.holders())
        while not stop():
            time.sleep(WAIT_STEP_S)
            if self.try_acquire(purpose):
                return True
        return False

    def release(self) -> None:
        """Gives all held slots back."""
        for lock in self._held:
            lock.release()
        self._held.clear()
