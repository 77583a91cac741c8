"""Sinks: `command=...`, `webhook=URL`, `ping=URL`, `mail=ADDRESS`, `apprise=URL`, `desktop=on`, read from text and
delivered to.

Addresses may name variables as ${NAME}: a token then stands in the environment, not in a file of settings. Every
delivery has a time limit. Called by nights and by alerts.watching.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import PurePath
from typing import Final, Literal, get_args

Kind = Literal["command", "webhook", "ping", "mail", "apprise", "desktop"]

WAIT_S: Final = 20.0
"""One delivery, at most."""

_MAC_SCRIPT: Final = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)  # the texts are arguments, never part of the script

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Alert:
    """One change of state. `id` stays the same when a delivery is tried again; `source` is who tells (a schedule's
    name),
    `kind` what changed (failed, missed, ...), `state` into which: firing or resolved."""

    id: str
    source: str
    kind: str
    state: Literal["firing", "resolved"]
    title: str
    text: str
    folder: str | None
    at: str


@dataclass(frozen=True, slots=True)
class Sink:
    """Where an alert goes."""

    kind: Kind
    target: str

    def __str__(self) -> str:
        return f"{self.kind}={self.target}"

    @property
    def shown(self) -> str:
        """Without what may be a secret: of an address its host, of a command its program, of the rest the kind."""
        if self.kind in ("webhook", "ping"):
            parts = urllib.parse.urlsplit(self.target)
            return f"{self.kind} {parts.scheme}://{parts.hostname or '?'}"
        return f"command {PurePath(shlex.split(self.target)[0]).name}" if self.kind == "command" else self.kind


def read_sink(text: str) -> Sink:
    """ValueError for what is none, with the rule."""
    name, mark, target = text.partition("=")
    kind: Kind | None = next((known for known in get_args(Kind) if known == name), None)
    if kind is None or not mark or not target.strip():
        raise ValueError(f"'{text}' is no sink: it is written {', '.join(f'{known}=...' for known in get_args(Kind))}")
    if kind in ("webhook", "ping") and not re.match(r"https?://|\$\{", target):
        raise ValueError(f"'{text}' is no sink: {kind}= takes an address that begins with http:// or https://")
    if kind == "mail" and not re.fullmatch(r"[^@\s]+@?[^@\s]*", target):
        raise ValueError(f"'{text}' is no sink: mail= takes one address")
    if kind == "command":
        try:
            shlex.split(target)
        except ValueError as error:
            raise ValueError(f"'{text}' is no sink: {error}") from error
    return Sink(kind, target.strip())


def deliver(sink: Sink, alert: Alert, environment: Mapping[str, str], wait_s: float = WAIT_S) -> str | None:
    """Tells one sink; None when it took it, else why not, in one line. A ping is none: see `ping`."""
    tell = {"command": _command, "webhook": _webhook, "mail": _mail, "apprise": _apprise, "desktop": _desktop}
    return _tried(sink, environment, lambda target: tell[sink.kind](target, alert, environment, wait_s))


def ping(sink: Sink, ok: bool, text: str, environment: Mapping[str, str]) -> str | None:
    """A sign of life for a watcher outside (healthchecks and its like): the address itself, or its /fail. It goes out
    at
    every end, so that the watcher notices when none comes."""

    def send(target: str) -> None:
        _post(target if ok else target.rstrip("/") + "/fail", text.encode(), "text/plain; charset=utf-8", WAIT_S)

    return _tried(sink, environment, send)


class _RefusedError(Exception):
    """What a sink said against it."""


def _tried(sink: Sink, environment: Mapping[str, str], send: Callable[[str], None]) -> str | None:
    try:
        send(_expanded(sink.target, environment))
    except (_RefusedError, OSError, ValueError, urllib.error.URLError, subprocess.SubprocessError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        said = " ".join(str(error).split()) or type(error).__name__
        return f"{sink}: {said[:300]}"
    return None


def _expanded(target: str, environment: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise _RefusedError(f"environment variable '{match[1]}' is not set")
        return environment[match[1]]

    return _VARIABLE.sub(value, target)


def _run(argv: Sequence[str], given: bytes, environment: Mapping[str, str], wait_s: float, name: str = "") -> None:
    process = subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=dict(environment),
        process_group=0,  # what it starts ends with it
    )
    try:
        _, said = process.communicate(given, timeout=wait_s)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):  # it may end by itself at this moment
            os.killpg(process.pid, signal.SIGKILL)
        with process:  # closes its pipes and waits
            raise _RefusedError(f"{name}timed out after {wait_s:g} seconds") from None
    if process.returncode != 0:
        raise _RefusedError(f"{name}exit status {process.returncode}: {said.decode(errors='replace').strip()[-200:]}")


def _command(target: str, alert: Alert, environment: Mapping[str, str], wait_s: float) -> None:
    fields = {f"RUNNER_ALERT_{key.upper()}": str(value or "") for key, value in asdict(alert).items()}
    given = json.dumps(asdict(alert), ensure_ascii=False) + "\n"
    _run(shlex.split(target), given.encode(), {**environment, **fields}, wait_s)


def _webhook(target: str, alert: Alert, _environment: Mapping[str, str], wait_s: float) -> None:
    _post(target, json.dumps(asdict(alert), ensure_ascii=False).encode(), "application/json", wait_s)


def _post(target: str, body: bytes, kind: str, wait_s: float) -> None:
    if not target.startswith(("http://", "https://")):
        raise _RefusedError("the address does not begin with http:// or https://")
    request = urllib.request.Request(target, body, {"Content-Type": kind, "User-Agent": "runner"}, method="POST")
    with urllib.request.urlopen(request, timeout=wait_s) as answer:
        answer.read(1)


def _desktop(_target: str, alert: Alert, environment: Mapping[str, str], wait_s: float) -> None:
    if sys.platform == "darwin":
        argv = ["osascript", *(word for line in _MAC_SCRIPT for word in ("-e", line)), alert.title, alert.text]
    else:
        argv = ["notify-send", "--app-name", "runner", "--", alert.title, alert.text]
    program = shutil.which(argv[0], path=environment.get("PATH", os.defpath))
    if program is None:
        raise _RefusedError(f"{argv[0]} is not installed")
    _run([program, *argv[1:]], b"", environment, wait_s, f"{argv[0]}: ")


def _mail(target: str, alert: Alert, environment: Mapping[str, str], wait_s: float) -> None:
    """Through the system's sendmail, which every mail program for servers brings."""
    program = shutil.which("sendmail", path=environment.get("PATH", "") + os.pathsep + "/usr/sbin:/usr/lib")
    if program is None:
        raise _RefusedError("there is no sendmail on this machine")
    mail = EmailMessage()
    mail["To"], mail["Subject"], mail["Date"] = target, " ".join(alert.title.split()), formatdate(localtime=True)
    mail["Message-ID"] = f"<{alert.id}@runner.invalid>"
    mail.set_content(alert.text + "\n")
    _run([program, "-i", target], mail.as_bytes(), environment, wait_s, "sendmail: ")


def _apprise(target: str, alert: Alert, _environment: Mapping[str, str], _wait_s: float) -> None:
    try:
        import apprise
    except ImportError as error:
        raise _RefusedError("apprise is not installed: pip install 'mlx-runner[notify]'") from error
    told = apprise.Apprise()
    if not told.add(target):
        raise _RefusedError("apprise knows no such address")
    if not told.notify(title=alert.title, body=alert.text):
        raise _RefusedError("apprise could not deliver it")
