"""A run is watched by its rules: changes go into the log and `alerts.jsonl`, and from there to the sinks.

The run's loop calls `update`, which compares some numbers; a thread delivers, one alert after the other, from a bounded
queue. Nothing here can fail a run: a sink's first failure is logged, then it is silent until it works again. Called by
run.
"""

from __future__ import annotations

import json
import os
import queue
import shlex
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from runner import log
from runner.alerts.rules import Change, Firing, Quiet, State, step
from runner.alerts.sinks import Alert, Sink, deliver
from runner.config.monitor import AlertRule, AlertsConfig
from runner.metrics import BY_NAME, Sample

__all__ = ["ALERTS_VERSION", "ActiveAlert", "Alerts", "read"]

_log = log.get("alerts")

ALERTS_VERSION: Final = 1
"""Of the lines in alerts.jsonl."""

WAITING: Final = 100
"""Alerts that wait for a slow sink; what comes then is in the log and the file alone."""

CLOSE_S: Final = 5.0
"""For deliveries at the end of a run."""


Tell = Callable[[Sink, Alert, Mapping[str, str], float], str | None]
"""As `sinks.deliver`."""


@dataclass(frozen=True, slots=True)
class ActiveAlert:
    """One that fires now."""

    name: str
    severity: str
    text: str
    since_s: float


class Alerts:
    """All rules of one life."""

    def __init__(
        self,
        config: AlertsConfig,
        path: Path,
        job: str,
        kept: Sequence[Mapping[str, Any]] = (),
        tell: Tell = deliver,
    ) -> None:
        """`kept`: lines of an earlier life of the run."""
        self._rules = dict(config.rules)
        self._states: dict[str, State] = dict.fromkeys(self._rules, Quiet())
        self._texts: dict[str, str] = {}
        self._path, self._job = path, job
        self._sinks, self._wait_s, self._deliver_to = chosen(config), config.timeout_s, tell
        self._failed: set[Sink] = set()
        self._history = [dict(line) for line in kept]
        self._told_file = False
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None

    def update(self, sample: Sample) -> None:
        """One sample."""
        now = sample.elapsed_s
        for name, rule in self._rules.items():
            value = getattr(sample, rule.metric)
            self._states[name], change = step(rule, self._states[name], value, now)
            if change is not None:
                self._tell(name, rule, change, value, sample)

    def active(self) -> list[ActiveAlert]:
        """The gravest first."""
        order = {"critical": 0, "warning": 1, "info": 2}
        firing = [
            ActiveAlert(name, self._rules[name].severity, self._texts[name], state.since)
            for name, state in self._states.items()
            if isinstance(state, Firing)
        ]
        return sorted(firing, key=lambda alert: (order[alert.severity], alert.since_s))

    def shown(self) -> list[tuple[str, str, str]]:
        """(severity, name, text) of those that fire, for the view."""
        return [(alert.severity, alert.name, alert.text) for alert in self.active()]

    def summary(self) -> dict[str, Any]:
        """For summary.json: how often each rule fired in all lives, and which still do."""
        fired: dict[str, int] = {}
        for line in self._history:
            if line["state"] == "firing":
                fired[line["alert"]] = fired.get(line["alert"], 0) + 1
        return {"fired": fired, "firing": [alert.name for alert in self.active()]}

    def _tell(self, name: str, rule: AlertRule, change: Change, value: float | None, sample: Sample) -> None:
        text = self._texts[name] = sentence(rule, value)
        line = {
            "version": ALERTS_VERSION,
            "alert": name,
            "state": change,
            "severity": rule.severity,
            "metric": rule.metric,
            "op": rule.op,
            "threshold": rule.value,
            "value": value,
            "text": text,
            "unix_ms": sample.unix_ms,
            "elapsed_s": sample.elapsed_s,
            "job": self._job,
            "folder": str(self._path.parent),
        }
        self._history.append(line)
        say = _log.warning if change == "firing" and rule.severity != "info" else _log.info
        say("alert.fired" if change == "firing" else "alert.resolved", alert=name, severity=rule.severity, text=text)
        self._keep(line)
        if self._sinks:
            self._send(line)

    def _keep(self, line: Mapping[str, Any]) -> None:
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, (json.dumps(line) + "\n").encode())
            finally:
                os.close(fd)
        except OSError as error:
            if not self._told_file:
                self._told_file = True
                _log.warning("sink.failed", sink=self._path.name, problem=str(error))

    def _send(self, line: dict[str, Any]) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._deliver_all, name="alerts", daemon=True)
            self._thread.start()
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            _log.warning("sink.failed", sink="all", problem=f"{WAITING} alerts wait; {line['alert']} is not sent")

    def _deliver_all(self) -> None:
        while (line := self._queue.get()) is not None:
            for sink in self._sinks:
                self._deliver(sink, line)

    def _deliver(self, sink: Sink, line: Mapping[str, Any]) -> None:
        try:
            problem = self._deliver_to(sink, alert_of(line), os.environ, self._wait_s)
        except Exception as error:  # noqa: BLE001 - a sink never fails a run, and its text may hold a secret
            problem = f"it raised {type(error).__name__}"
        if problem is None:
            self._failed.discard(sink)
        elif sink not in self._failed:
            self._failed.add(sink)
            problem = problem.removeprefix(f"{sink}: ").replace(sink.target, sink.shown)
            _log.warning("sink.failed", sink=sink.shown, problem=problem)

    def close(self) -> None:
        """Waits for deliveries, not for long."""
        if self._thread is None:
            return
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return  # what is stuck now stays so; the thread dies with the process
        self._thread.join(CLOSE_S)


def chosen(config: AlertsConfig) -> list[Sink]:
    """The sinks that the configuration names."""
    found = [Sink("command", shlex.join(config.command))] if config.command else []
    found += [Sink("webhook", config.webhook)] if config.webhook else []
    found += [Sink("apprise", url) for url in config.apprise]
    return [*found, Sink("desktop", "on")] if config.desktop else found


def alert_of(line: Mapping[str, Any]) -> Alert:
    """What sinks get of a line of alerts.jsonl. Its id is that of the change: the same when it is sent again."""
    name, state = line["alert"], line["state"]
    return Alert(
        id=f"{Path(line['folder']).name}-{name}-{line['unix_ms']}",
        source=line["job"],
        kind=name,
        state=state,
        title=f"runner {line['job']}: {name} {state} ({line['severity']})",
        text=line["text"],
        folder=line["folder"],
        at=datetime.fromtimestamp(line["unix_ms"] / 1000, UTC).isoformat(timespec="seconds"),
    )


def sentence(rule: AlertRule, value: float | None) -> str:
    """What a person reads: "disk_free_bytes is 1.2e+09 bytes (limit: below 2e+09)"."""
    metric = BY_NAME[rule.metric]
    seen = "not known" if value is None else f"{value:.6g} {metric.unit}"
    return f"{rule.metric} is {seen} (limit: {rule.op} {rule.value:.6g})"


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of alerts.jsonl; a torn last one and lines of another version are left out. OSError comes through."""
    if not path.is_file():
        return []
    lines = [
        json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")
    ]
    return [line for line in lines if isinstance(line, dict) and line.get("version") == ALERTS_VERSION]
