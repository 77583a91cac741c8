"""Sinks: `command=...`, `webhook=URL`, `ping=URL`, `mail=ADDRESS`, `apprise=URL`, read from text and delivered to.

Addresses may name variables as ${NAME}: a token then stands in the environment, not in a file of settings. Every
delivery has a time limit. Called by nights.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final, Literal, get_args

Kind = Literal["command", "webhook", "ping", "mail", "apprise"]

WAIT_S: Final = 20.0
"""One delivery, at most."""

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


def deliver(sink: Sink, alert: Alert, environment: Mapping[str, str]) -> str | None:
    """Tells one sink; None when it took it, else why not, in one line. A ping is none: see `ping`."""
    tell = {"command": _command, "webhook": _webhook, "mail": _mail, "apprise": _apprise}
    return _tried(sink, environment, lambda target: tell[sink.kind](target, alert, environment))


def ping(sink: Sink, ok: bool, text: str, environment: Mapping[str, str]) -> str | None:
    """A sign of life for a watcher outside (healthchecks and its like): the address itself, or its /fail. It goes out
    at
    every end, so that the watcher notices when none comes."""

    def send(target: str) -> None:
        _post(target if ok else target.rstrip("/") + "/fail", text.encode(), "text/plain; charset=utf-8")

    return _tried(sink, environment, send)


class _RefusedError(Exception):
    """What a sink said against it."""


def _tried(sink: Sink, environment: Mapping[str, str], send: Callable[[str], None]) -> str | None:
    try:
        send(_expanded(sink.target, environment))
    except (_RefusedError, OSError, ValueError, urllib.error.URLError, subprocess.SubprocessError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        return f"{sink}: {said[:300]}"
    return None


def _expanded(target: str, environment: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise _RefusedError(f"environment variable '{match[1]}' is not set")
        return environment[match[1]]

    return _VARIABLE.sub(value, target)


def _command(target: str, alert: Alert, environment: Mapping[str, str]) -> None:
    fields = {f"RUNNER_ALERT_{key.upper()}": str(value or "") for key, value in asdict(alert).items()}
    done = subprocess.run(
        shlex.split(target), input=json.dumps(asdict(alert), ensure_ascii=False) + "\n", env={**environment, **fields},
        capture_output=True, text=True, timeout=WAIT_S,
    )  # fmt: skip
    if done.returncode != 0:
        raise _RefusedError(f"exit status {done.returncode}: {done.stderr.strip()[-200:]}")


def _webhook(target: str, alert: Alert, _environment: Mapping[str, str]) -> None:
    _post(target, json.dumps(asdict(alert), ensure_ascii=False).encode(), "application/json")


def _post(target: str, body: bytes, kind: str) -> None:
    if not target.startswith(("http://", "https://")):
        raise _RefusedError("the address does not begin with http:// or https://")
    request = urllib.request.Request(target, body, {"Content-Type": kind, "User-Agent": "runner"}, method="POST")
    with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
        answer.read(1)


def _mail(target: str, alert: Alert, environment: Mapping[str, str]) -> None:
    """Through the system's sendmail, which every mail program for servers brings."""
    program = shutil.which("sendmail", path=environment.get("PATH", "") + os.pathsep + "/usr/sbin:/usr/lib")
    if program is None:
        raise _RefusedError("there is no sendmail on this machine")
    mail = EmailMessage()
    mail["To"], mail["Subject"], mail["Date"] = target, " ".join(alert.title.split()), formatdate(localtime=True)
    mail["Message-ID"] = f"<{alert.id}@runner.invalid>"
    mail.set_content(alert.text + "\n")
    done = subprocess.run(
        [program, "-i", target], input=mail.as_bytes(), env=dict(environment), capture_output=True, timeout=WAIT_S
    )
    if done.returncode != 0:
        raise _RefusedError(
            f"sendmail: exit status {done.returncode}: {done.stderr.decode(errors='replace').strip()[-200:]}"
        )


def _apprise(target: str, alert: Alert, _environment: Mapping[str, str]) -> None:
    try:
        import apprise
    except ImportError as error:
        raise _RefusedError("apprise is not installed: pip install 'mlx-runner[notify]'") from error
    told = apprise.Apprise()
    if not told.add(target):
        raise _RefusedError("apprise knows no such address")
    if not told.notify(title=alert.title, body=alert.text):
        raise _RefusedError("apprise could not deliver it")
