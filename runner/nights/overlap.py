"""One night of a schedule at a time: the lock, and what happens when it is taken: skip, wait or replace.

The lock lives as long as the night or its run, whichever dies last. Called by night.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from runner.nights.schedule import Schedule
from runner.store.files import storage
from runner.store.locks import FileLock

STEP_S: Final = 1.0

REPLACE_S: Final = 120.0
"""What a night that is replaced gets to drain, before this one gives up."""


def take(schedule: Schedule, lock: FileLock, asked: Callable[[], bool], say: Callable[[str], None]) -> bool:
    """Whether the lock is ours now. Waiting ends with the schedule's time-out, or when somebody asks us to stop."""
    purpose = f"schedule {schedule.name}"
    if lock.acquire(purpose):
        return True
    if schedule.overlap == "skip":
        return False
    limit = schedule.timeout_s
    if schedule.overlap == "replace":
        limit = REPLACE_S
        for pid in holders(lock.path):
            say(f"{schedule.name}: asking {lock.holder()} to end, to be replaced")
            os.kill(pid, signal.SIGTERM)
    else:
        say(f"{schedule.name}: waiting for {lock.holder()}")
    until = None if limit is None else time.monotonic() + limit
    while not asked() and (until is None or time.monotonic() < until):
        time.sleep(STEP_S)
        if lock.acquire(purpose):
            return True
    return False


def note_run(lock: FileLock, pid: int) -> None:
    """Writes the run's process beside our own."""
    with storage(f"cannot write {lock.path}"):
        holder = json.loads(lock.path.read_bytes())
        text = (json.dumps({**holder, "run_pid": pid}) + "\n").encode()
        os.ftruncate(lock.fileno(), 0)
        os.pwrite(lock.fileno(), text, 0)


def holders(path: Path) -> list[int]:
    """The living processes that the lock's file names: the night, or its run where the night itself was killed. A
    number that
    another program has by now is left alone."""
    try:
        holder = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return []
    found = [pid for key in ("pid", "run_pid") if isinstance(pid := holder.get(key), int) and _is_runner(pid)]
    return found[:1]


def _is_runner(pid: int) -> bool:
    done = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True)
    return pid != os.getpid() and "runner" in done.stdout.split()
