"""The system's own timers: launchd, systemd for a user, crontab. One entry a schedule, replaced and never added to.

Each can say what it would write, write it, take it away, and whether what is there is what should be. What is not
ours in a crontab stays byte for byte. Knows nothing of nights; called by the schedule command.
"""

from __future__ import annotations

import getpass
import os
import plistlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

from runner.errors import RunFailed, UsageError
from runner.nights.entry import Entry
from runner.nights.schedule import Backend
from runner.store.files import storage, write_bytes

State = Literal["current", "differs", "absent"]

WAIT_S: Final = 30.0
"""One call of launchctl, systemctl or crontab, at most."""

STOP_S: Final = 90
"""Seconds that a stopped night gets to drain before it is killed: its own promise is 10."""


class Timer(Protocol):
    """One scheduler of the system."""

    name: Backend

    def missing(self) -> str:
        """Why it cannot be used here; empty when it can."""

    def shown(self, entry: Entry) -> dict[str, str]:
        """What would stand where: place -> text."""

    def install(self, entry: Entry) -> list[str]:
        """Puts it there, in place of an older one. Notes for the person. RunFailed when the scheduler refuses."""

    def remove(self, name: str) -> bool:
        """Takes it away; False when there was none."""

    def state(self, entry: Entry) -> State:
        """What is there now, compared with `shown`."""


def _call(command: list[str], stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(command, input=stdin, capture_output=True, timeout=WAIT_S)
    except (OSError, subprocess.SubprocessError) as error:
        return subprocess.CompletedProcess(command, 127, b"", str(error).encode())


def _must(command: list[str], stdin: bytes | None = None) -> bytes:
    done = _call(command, stdin)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"
        raise RunFailed(f"{shlex.join(command)}: {said}", "`runner schedule print NAME` shows what was to be installed")
    return done.stdout


class _Files:
    """A timer that reads files of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _write(self, texts: dict[str, str]) -> None:
        for place, text in texts.items():
            path = Path(place)
            with storage(f"cannot create {path.parent}"):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, text.encode())

    def _state(self, texts: dict[str, str]) -> State:
        found = [Path(place).read_text(errors="replace") if Path(place).is_file() else None for place in texts]
        if found == list(texts.values()):
            return "current"
        return "absent" if not any(found) else "differs"

    def _remove(self, *names: str) -> bool:
        found = [self.folder / name for name in names if (self.folder / name).is_file()]
        with storage(f"cannot remove files from {self.folder}"):
            for path in found:
                path.unlink()
        return bool(found)


class Launchd(_Files):
    """A LaunchAgent of the user: runs when woken up after a missed time; not while nobody is logged in."""

    name: Backend = "launchd"

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(folder or Path.home() / "Library" / "LaunchAgents")

    @staticmethod
    def label(name: str) -> str:
        """What launchd calls it."""
        return f"org.mlx-runner.schedule.{name}"

    def missing(self) -> str:
        """Only macOS has it."""
        return "" if shutil.which("launchctl") else "there is no launchctl (not macOS)"

    def shown(self, entry: Entry) -> dict[str, str]:
        """The property list."""
        job: dict[str, object] = {
            "Label": self.label(entry.name),
            "ProgramArguments": list(entry.command),
            "StartCalendarInterval": entry.cron.launchd(),
            # Without it launchd takes the job for housekeeping, and slows its processor and disk down
            # (launchd.plist(5)).
            "ProcessType": "Interactive",
            "ExitTimeOut": STOP_S,
            "StandardOutPath": str(entry.log),
            "StandardErrorPath": str(entry.log),
        }
        if entry.environment:
            job["EnvironmentVariables"] = entry.environment
        return {str(self.folder / f"{self.label(entry.name)}.plist"): plistlib.dumps(job, sort_keys=False).decode()}

    def install(self, entry: Entry) -> list[str]:
        """Loads the property list anew."""
        texts = self.shown(entry)
        self._write(texts)
        domain = f"gui/{os.getuid()}"
        _call(["launchctl", "bootout", f"{domain}/{self.label(entry.name)}"])  # not loaded is fine
        _must(["launchctl", "bootstrap", domain, *texts])
        places = "documents in Desktop, Documents, Downloads or on other volumes"
        return [f"{places} need Full Disk Access for {entry.command[0]}: System Settings, Privacy & Security"]

    def remove(self, name: str) -> bool:
        """Unloads it and removes the file."""
        _call(["launchctl", "bootout", f"gui/{os.getuid()}/{self.label(name)}"])
        return self._remove(f"{self.label(name)}.plist")

    def state(self, entry: Entry) -> State:
        """By the file."""
        return self._state(self.shown(entry))


class Systemd(_Files):
    """A timer of the user's own systemd: catches up on what was missed while the machine was off."""

    name: Backend = "systemd"

    def __init__(self, folder: Path | None = None) -> None:
        base = Path(os.environ.get("XDG_CONFIG_HOME", ""))
        super().__init__(folder or (base if base.is_absolute() else Path.home() / ".config") / "systemd" / "user")

    def missing(self) -> str:
        """A user instance has to run: in containers and under su it does not."""
        if shutil.which("systemctl") is None:
            return "there is no systemctl"
        done = _call(["systemctl", "--user", "show-environment"])
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return "" if done.returncode == 0 else f"no systemd of this user runs here ({said[0] if said else 'no answer'})"

    def shown(self, entry: Entry) -> dict[str, str]:
        """Service and timer."""
        unit = f"runner-{entry.name}"
        variables = [f"Environment={_unit_word(f'{key}={value}')}" for key, value in entry.environment.items()]
        service = [
            "[Unit]", f"Description=runner schedule {entry.name}", "",
            "[Service]", "Type=oneshot", *variables,
            f"ExecStart={' '.join(_unit_word(word).replace('$', '$$') for word in entry.command)}",
            "# The night drains by itself; its workers must not be signalled beside it.",
            "KillMode=mixed", "TimeoutStartSec=infinity", f"TimeoutStopSec={STOP_S}",
        ]  # fmt: skip
        timer = [
            "[Unit]", f"Description=runner schedule {entry.name}: {entry.cron.text}", "",
            "[Timer]", *(f"OnCalendar={line}" for line in entry.cron.on_calendar()),
            f"Persistent={'true' if entry.catch_up else 'false'}", "AccuracySec=1s", "",
            "[Install]", "WantedBy=timers.target",
        ]  # fmt: skip
        return {
            str(self.folder / f"{unit}.service"): "\n".join(service) + "\n",
            str(self.folder / f"{unit}.timer"): "\n".join(timer) + "\n",
        }

    def install(self, entry: Entry) -> list[str]:
        """Writes both, and starts the timer."""
        self._write(self.shown(entry))
        _must(["systemctl", "--user", "daemon-reload"])
        _must(["systemctl", "--user", "enable", "--now", f"runner-{entry.name}.timer"])
        if not Path("/var/lib/systemd/linger", getpass.getuser()).exists():
            return ["it runs only while you are logged in: `loginctl enable-linger` lets it run always"]
        return []

    def remove(self, name: str) -> bool:
        """Stops the timer and removes both."""
        _call(["systemctl", "--user", "disable", "--now", f"runner-{name}.timer"])
        found = self._remove(f"runner-{name}.service", f"runner-{name}.timer")
        _call(["systemctl", "--user", "daemon-reload"])
        return found

    def state(self, entry: Entry) -> State:
        """By the files."""
        return self._state(self.shown(entry))


class Crontab:
    """Lines of the user's crontab that end in our mark; all others are nobody's business here."""

    name: Backend = "crontab"

    def missing(self) -> str:
        """The program alone; whether a daemon runs is a note at `install`."""
        return "" if shutil.which("crontab") else "there is no crontab"

    @staticmethod
    def mark(name: str) -> str:
        """How our lines end: a comment for the shell that runs them."""
        return f"# runner:{name}"

    def lines(self, entry: Entry) -> list[str]:
        """At its times; and after a start of the machine, which cron itself does not catch up on."""
        variables = [f"{key}={value}" for key, value in entry.environment.items()]
        command = (["/usr/bin/env", *variables] if variables else []) + list(entry.command)
        log = shlex.quote(str(entry.log))
        times = [(entry.cron.text, command)]
        if entry.catch_up:
            times.append(("@reboot", [*command, "--missed"]))
        # A % in a crontab ends the command: the rest would be its standard input.
        return [
            f"{when} {shlex.join(words)} >>{log} 2>&1 ".replace("%", "\\%") + self.mark(entry.name)
            for when, words in times
        ]

    def shown(self, entry: Entry) -> dict[str, str]:
        """The lines."""
        return {"crontab": "\n".join(self.lines(entry)) + "\n"}

    def install(self, entry: Entry) -> list[str]:
        """Replaces our lines by these, at the end."""
        with storage(f"cannot create {entry.log.parent}"):
            entry.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # the shell opens the log before we run
        before = self._read()
        after = with_lines(before, self.mark(entry.name), self.lines(entry))
        if after != before:
            _must(["crontab", "-"], after)
        daemon = any(Path(place).exists() for place in ("/run/crond.pid", "/var/run/crond.pid", "/run/cron.pid"))
        return (
            []
            if daemon or sys.platform == "darwin"
            else ["no cron daemon seems to run here: start it, or nothing will"]
        )

    def remove(self, name: str) -> bool:
        """Takes our lines away."""
        before = self._read()
        after = with_lines(before, self.mark(name), [])
        if after == before:
            return False
        _must(["crontab", "-"], after)
        return True

    def state(self, entry: Entry) -> State:
        """By the lines with our mark."""
        if self.missing():
            return "absent"
        mark = self.mark(entry.name).encode()
        found = [line for line in self._read().split(b"\n") if line.endswith(b" " + mark)]
        if found == [line.encode() for line in self.lines(entry)]:
            return "current"
        return "differs" if found else "absent"

    def _read(self) -> bytes:
        done = _call(["crontab", "-l"])
        if done.returncode == 0:
            return done.stdout
        if b"no crontab" in done.stderr.lower():
            return b""
        # Anything else must not read as an empty crontab: the next step writes it.
        said = done.stderr.decode(errors="replace").strip() or f"exit status {done.returncode}"
        raise RunFailed(f"crontab -l: {said}", "make `crontab -l` work, or choose --backend none")


def with_lines(crontab: bytes, mark: str, ours: list[str]) -> bytes:
    """`crontab` with our lines in place of those that end in `mark`; every other byte as it was."""
    kept = [
        line for line in crontab.splitlines(keepends=True) if not line.rstrip(b"\r\n").endswith(b" " + mark.encode())
    ]
    text = b"".join(kept)
    if ours and text and not text.endswith(b"\n"):
        text += b"\n"
    return text + "".join(line + "\n" for line in ours).encode()


def _unit_word(word: str) -> str:
    """One word of a unit file: % is a specifier there, and quotes keep spaces."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if escaped != word or any(c.isspace() or c in "';$" for c in word) else escaped


@dataclass(frozen=True, slots=True)
class Choice:
    """A timer, and why this one. None: nobody calls but the user."""

    timer: Timer | None
    reason: str


TIMERS: Final[dict[str, Callable[[], Timer]]] = {"launchd": Launchd, "systemd": Systemd, "crontab": Crontab}


def of(backend: str) -> Timer | None:
    """The timer of a schedule's file."""
    return None if backend == "none" else TIMERS[backend]()


def choose(wanted: str) -> Choice:
    """`auto`, or the one named. UsageError when it cannot be used here."""
    if wanted == "none":
        return Choice(None, "you call `runner schedule run` yourself")
    if wanted != "auto":
        timer = TIMERS[wanted]()
        if why := timer.missing():
            raise UsageError(f"--backend {wanted}: {why}", "--backend auto takes the one that works here")
        return Choice(timer, "as asked")
    passed: list[str] = []
    for make in TIMERS.values():
        timer = make()
        why = timer.missing()
        if not why:
            others = f" ({'; '.join(passed)})" if passed else ""
            return Choice(timer, f"the first that works here{others}")
        passed.append(f"not {timer.name}: {why}")
    raise UsageError(
        f"nothing here can start a schedule: {'; '.join(passed)}",
        "install cron, or --backend none and call `runner schedule run` yourself",
    )
