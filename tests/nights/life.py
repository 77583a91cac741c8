"""One night, or one run, as a process of its own whose clock and boot id are given: for kills, restarts and full disks.

`python life.py night NAME CLOCK BOOT` is a night of a schedule; `python life.py run BOOT FILE_BYTES words...` is the
command line on a machine of that boot, whose disk takes no file longer than that (0 = as it is). No test itself.
"""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from pathlib import Path

from runner import cli, machine
from runner.nights import schedule
from runner.nights.children import Launch, Process
from runner.nights.night import Night
from runner.nights.runs import World

ROOT = Path(__file__).parents[2]


def starter(boot: str, file_bytes: int = 0) -> Callable[[Launch], Process]:
    """Runs that believe in this boot id."""

    def start(launch: Launch) -> Process:
        with launch.console.open("ab") as console:
            return subprocess.Popen(
                [sys.executable, __file__, "run", boot, str(file_bytes), *launch.words],
                cwd=launch.cwd, env={**launch.environment, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
                stdout=console, stderr=console, pass_fds=(launch.lock_fd,), process_group=0,
            )  # fmt: skip

    return start


def world(clock: float, boot: str, start: Callable[[Launch], Process] | None = None) -> World:
    """A machine at this time, after this start of it."""
    return World(
        boot_id=boot, environment=dict(os.environ), zone=UTC, clock=lambda: clock, start=start or starter(boot)
    )


def main() -> int:
    if sys.argv[1] == "night":
        _, _, name, clock, boot = sys.argv
        return Night(schedule.load(name), world(float(clock), boot)).run()
    _, _, boot, file_bytes, *words = sys.argv
    if int(file_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(file_bytes),) * 2)
    there = machine.detect
    machine.detect = lambda: replace(there(), boot_id=boot)
    return cli.main(words)


if __name__ == "__main__":
    sys.exit(main())
