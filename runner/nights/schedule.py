"""One schedule: what a person wrote with `runner schedule add`, as a YAML file of its own in the user's config folder.

Reads, checks and writes these files; installs nothing and runs nothing. Format: docs/schedule.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from runner import layout
from runner.alerts.sinks import read_sink
from runner.config.overrides import unquote
from runner.config.sizes import parse_size
from runner.errors import Problem, RunnerError, StorageError, UsageError
from runner.nights.cron import Cron
from runner.store.files import storage, write_bytes

SCHEDULE_VERSION: Final = 1

Backend = Literal["launchd", "systemd", "crontab", "none"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Schedule:
    """The file, key by key. Spans are written `90m` or `6h`, hours of the day `08:00-20:00`; null = none."""

    name: str
    cron: str
    overrides: tuple[str, ...]
    cwd: str
    created: str
    backend: Backend = "none"
    paused: bool = False
    overlap: Literal["skip", "wait", "replace"] = "skip"
    catch_up: bool = True
    budget: str | None = None
    timeout: str | None = "20h"
    quiet: tuple[str, ...] = ()
    require_ac: bool = False
    require_cool: bool = False
    keep_awake: bool = True
    retry: int = 3
    deleted: Literal["keep", "drop"] = "drop"
    slower_percent: int = 50
    disk_low: str = "2GiB"
    notify: tuple[str, ...] = ()

    @property
    def outputs(self) -> Path:
        """Where its results lie: `output.dir` of the overrides, below `cwd`."""
        given = [word.partition("=")[2] for word in self.overrides if word.lstrip("+").startswith("output.dir=")]
        named = (unquote(given[-1]) or given[-1]) if given else layout.DEFAULT_OUTPUTS
        return Path(self.cwd, named).absolute()

    @property
    def created_at(self) -> float:
        """Seconds since the epoch; no time before it was missed."""
        return datetime.fromisoformat(self.created).timestamp()

    @property
    def budget_s(self) -> float | None:
        """Seconds that a night may take before it stops taking on work."""
        return None if self.budget is None else span_s(self.budget)

    @property
    def timeout_s(self) -> float | None:
        """Seconds after which a night is a failure."""
        return None if self.timeout is None else span_s(self.timeout)

    @property
    def disk_low_bytes(self) -> int:
        """Free space below this is told."""
        size = parse_size(self.disk_low, 0)
        if size is None:
            raise ValueError("'auto' is not a size here")
        return size


_COMMENTS: Final = {
    "cron": "when: minute hour day month weekday, in the machine's own time zone",
    "overrides": "what runs: the words behind `runner`",
    "cwd": "the folder that relative paths and project profiles belong to",
    "backend": "who calls `runner schedule run`: launchd, systemd, crontab, or none (you do)",
    "overlap": "when the night before is still running: skip, wait, or replace (it is drained, and resumed first)",
    "catch_up": "run once, late, when times were missed (the machine was off or asleep)",
    "budget": "a night stops taking on work after this, and the next one goes on there",
    "timeout": "a night that is still running after this is stopped and has failed",
    "quiet": "hours of the day in which nothing runs",
    "require_ac": "run on mains power only",
    "require_cool": "do not begin while the machine reports thermal pressure",
    "keep_awake": "keep the machine from sleeping while a night runs (never the display)",
    "retry": "how often a failed document is tried on later nights, 1, 2, 4... nights apart; then it is quarantined",
    "deleted": "results of documents that are gone: drop or keep",
    "slower_percent": "tell when a night is this much slower than usual; 0 = never",
    "disk_low": "tell when less than this is free where results are written",
    "notify": "told of changes alone: command=..., webhook=URL, ping=URL, mail=ADDRESS, apprise=URL",
}


def span_s(text: str) -> float:
    """Seconds of `90m`, `6h`, `1h30m`."""
    parts = re.findall(r"(\d+)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text or not any(int(n) for n, _ in parts):
        raise ValueError(f"'{text}' is no span of time: write 90m, 6h or 1h30m")
    return float(sum(int(number) * _UNITS[unit] for number, unit in parts))


def hours(text: str) -> tuple[int, int]:
    """Minutes of the day of `08:00-20:00`; the second may be the next day's."""
    match = re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)", text)
    if match is None:
        raise ValueError(f"'{text}' are no hours: write 08:00-20:00")
    a, b, c, d = map(int, match.groups())
    if max(a, c) > 23 or max(b, d) > 59 or (a, b) == (c, d):
        raise ValueError(f"'{text}' are no hours: 00:00 to 23:59, and not the same twice")
    return 60 * a + b, 60 * c + d


def check(schedule: Schedule) -> None:
    """UsageError with everything that is wrong with the values."""
    problems: list[Problem] = []

    def tried(key: str, action: Any, cure: str) -> None:
        try:
            action()
        except ValueError as error:
            problems.append(Problem(f"{key}: {error}", cure))
        except RunnerError as error:
            problems.extend(error.problems)

    tried("created", lambda: schedule.created_at, "a time like 2026-11-23T22:00:00+01:00")
    tried("cron", lambda: Cron.read(schedule.cron), "")
    tried("budget", lambda: schedule.budget_s, "--budget 6h")
    tried("timeout", lambda: schedule.timeout_s, "--timeout 20h")
    for part in schedule.quiet:
        tried("quiet", lambda part=part: hours(part), "--quiet 08:00-20:00")
    tried("disk_low", lambda: schedule.disk_low_bytes, "--disk-low 2GiB")
    for sink in schedule.notify:
        tried("notify", lambda sink=sink: read_sink(sink), "--notify command='notify-me --now'")
    for key in ("retry", "slower_percent"):
        if not 0 <= getattr(schedule, key) <= 1000:
            problems.append(Problem(f"{key} is {getattr(schedule, key)}, it must be 0 to 1000", "a smaller number"))
    if problems:
        raise UsageError(problems=problems)


def check_name(name: str) -> None:
    """UsageError: it becomes a file's name and a mark in the crontab."""
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"schedule '{name}': a name has letters, digits and . _ - and begins with a letter or digit", "nightly"
        )


def load(name: str) -> Schedule:
    """The schedule of this name. UsageError when there is none, or its file says what it may not."""
    import yaml

    check_name(name)
    path = layout.schedule_file(name)
    if not path.is_file():
        known = ", ".join(names()) or "none yet"
        raise UsageError(f"there is no schedule '{name}'", f"known: {known}; `runner schedule add` makes one")
    with storage(f"cannot read {path}"):
        text = path.read_bytes()
        if path.stat().st_mode & 0o022:  # it says what is run, and whom to tell by which command
            raise UsageError(f"{path} can be changed by others", f"look at it, then chmod 600 {path}")
    cure = "correct the file, or `runner schedule add` it again"
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {' '.join(str(error).split())}", cure) from error
    if not isinstance(data, dict):
        raise UsageError(f"{path} holds no keys", cure)
    if data.pop("version", None) != SCHEDULE_VERSION:
        raise UsageError(f"{path} is not of version {SCHEDULE_VERSION}", "use the runner that wrote it")
    found = _typed(path, {**data, "name": name})
    check(found)
    return found


def _typed(path: Path, data: Mapping[str, Any]) -> Schedule:
    hints = get_type_hints(Schedule)
    known = {field.name: field for field in fields(Schedule)}
    problems = [
        Problem(f"{path}: there is no key '{key}'", f"keys: {', '.join(known)}") for key in data if key not in known
    ]
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key not in known:
            continue
        hint, origin = hints[key], get_origin(hints[key])
        if origin is tuple:
            fits = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
            values[key] = tuple(value) if fits else value
        elif origin is Literal:
            fits = value in get_args(hint)
        else:
            fits = isinstance(value, hint) and (hint is not int or not isinstance(value, bool))
        if not fits:
            problems.append(Problem(f"{path}: {key} is {value!r}", _COMMENTS.get(key, "a text")))
        values.setdefault(key, value)
    missing = [key for key in ("cron", "overrides", "cwd", "created") if key not in values]
    problems += [Problem(f"{path}: {key} is missing", "`runner schedule add` it again") for key in missing]
    if problems:
        raise UsageError(problems=problems)
    return Schedule(**values)


def names() -> list[str]:
    """Every schedule of this user, by name."""
    return sorted(path.stem for path in layout.schedules_dir().glob("*.yaml"))


def save(schedule: Schedule) -> Path:
    """Writes the file, 0600: overrides and addresses may hold what is nobody else's business."""
    path = layout.schedule_file(schedule.name)
    with storage(f"cannot create {path.parent}"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_bytes(path, text_of(schedule).encode())
    return path


def text_of(schedule: Schedule) -> str:
    """The file's text, each key with what it does."""
    import json

    lines = [
        f"# A schedule of runner: `runner schedule show {schedule.name}`. Values may be changed here; after one of",
        f"# `cron` or `backend`, `runner schedule resume {schedule.name}` renews the entry in the system's timer.",
        f"version: {SCHEDULE_VERSION}",
    ]
    for key, value in asdict(schedule).items():
        if key == "name":
            continue
        if key in _COMMENTS:
            lines.append(f"# {_COMMENTS[key]}")
        # JSON is YAML, whatever the text holds.
        lines.append(f"{key}: {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def remove(name: str) -> None:
    """Takes file and environment away; the history of its nights stays."""
    with storage(f"cannot remove the schedule {name}"):
        layout.schedule_file(name).unlink(missing_ok=True)
        layout.schedule_environment(name).unlink(missing_ok=True)


def write_environment(name: str, variables: Mapping[str, str]) -> Path:
    """The environment file, 0600: NAME=value lines, which is all that a night gets besides the bare minimum."""
    for key, value in variables.items():
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key) is None or "\n" in value or "\0" in value:
            raise UsageError(f"--env {key}: the name or value cannot stand in an environment file", "--env NAME=VALUE")
    path = layout.schedule_environment(name)
    with storage(f"cannot create {path.parent}"):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_bytes(path, "".join(f"{key}={value}\n" for key, value in sorted(variables.items())).encode())
    return path


def read_environment(name: str) -> dict[str, str]:
    """What the environment file says; empty when there is none. StorageError when others may read it."""
    path = layout.schedule_environment(name)
    if not path.is_file():
        return {}
    with storage(f"cannot read {path}"):
        if path.stat().st_mode & 0o077:
            raise StorageError(f"{path} can be read or changed by others", f"chmod 600 {path}")
        lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line.strip() and not line.startswith("#"))
    return {key.strip(): value for key, mark, value in pairs if mark}
