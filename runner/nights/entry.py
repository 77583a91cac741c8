"""The one entry of a schedule: an absolute command line with next to no environment. Pure text.

It only says `runner schedule run NAME`: everything else stands in the schedule's own file, so that quoting, `%` and
PATH of the system's timer never matter. Does not install anything (timers does).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runner import layout
from runner.nights.cron import Cron
from runner.nights.schedule import Schedule

# What a night needs from the shell it was scheduled in, where it is set there: where things lie, and how text is
# written.
KEPT: Final = (
    "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HUGGINGFACE_HUB_CACHE", "LANG", "LC_ALL", "PATH", "RUNNER_CACHE",
    "RUNNER_PDFIUM", "RUNNER_PROFILES", "SSL_CERT_FILE", "TZ", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """What a timer gets. `environment`: only what is needed to find the schedule's file, mostly nothing."""

    name: str
    cron: Cron
    command: tuple[str, ...]
    environment: dict[str, str]
    log: Path
    catch_up: bool


def make(schedule: Schedule, environment: Mapping[str, str] = os.environ) -> Entry:
    """The entry of this schedule for this installation and this user."""
    needed = {}
    if Path(environment.get("XDG_CONFIG_HOME", "")).is_absolute():
        needed["XDG_CONFIG_HOME"] = environment["XDG_CONFIG_HOME"]
    package = layout.PACKAGE.parent
    if not any(_same(package, place) for place in _site_folders()):  # a checkout on PYTHONPATH
        needed["PYTHONPATH"] = str(package)
    command = (sys.executable, "-P", "-m", "runner", "schedule", "run", schedule.name)
    log = layout.schedule_state_dir(schedule.name) / "entry.log"
    return Entry(schedule.name, Cron.read(schedule.cron), command, needed, log, schedule.catch_up)


def kept_environment(environment: Mapping[str, str], asked: list[str]) -> dict[str, str]:
    """For the environment file: those of KEPT that are set, and `asked`: NAME (as it is now) or NAME=value."""
    found = {name: environment[name] for name in KEPT if environment.get(name)}
    for word in asked:
        name, mark, value = word.partition("=")
        found[name] = value if mark else environment.get(name, "")
    return found


def _site_folders() -> list[str]:
    """Folders that this Python looks into without being told."""
    given = {os.path.realpath(part) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part}
    return [place for place in sys.path if place and os.path.realpath(place) not in given]


def _same(folder: Path, place: str) -> bool:
    return os.path.realpath(folder) == os.path.realpath(place)
