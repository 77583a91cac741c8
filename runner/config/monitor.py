"""The group `monitor`: how often figures are sampled, who else gets them, the rules of alerts, what must hold of it.

Starts nothing. Called by schema, checks and door; `runner.alerts` carries the rules out.
"""

from __future__ import annotations

import difflib
import importlib.util
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from runner.errors import Problem
from runner.metrics import BY_NAME


@dataclass(frozen=True, slots=True)
class PrometheusConfig:
    """Where samples go in Prometheus' text format. null = nowhere; past the door `textfile` is absolute."""

    textfile: str | None
    port: int | None


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One rule over one metric of runner.metrics; see runner.alerts.rules."""

    metric: str
    op: Literal["above", "below"]
    value: float
    clear: float | None
    for_s: float
    severity: Literal["info", "warning", "critical"]


@dataclass(frozen=True, slots=True)
class AlertsConfig:
    """Rules by name, and who is told besides the log and the run's folder."""

    rules: dict[str, AlertRule]
    command: tuple[str, ...]
    webhook: str | None
    apprise: tuple[str, ...]
    desktop: bool
    timeout_s: float


@dataclass(frozen=True, slots=True)
class MonitorConfig:
    """How often figures are sampled, who else gets them, and when somebody is told."""

    interval_ms: int
    prometheus: PrometheusConfig
    alerts: AlertsConfig


def absolute(config: MonitorConfig) -> MonitorConfig:
    """The text file as an absolute path."""
    textfile = config.prometheus.textfile
    if not textfile:
        return config
    path = str(Path(textfile).expanduser().absolute())
    return replace(config, prometheus=replace(config.prometheus, textfile=path))


def check_monitor(config: MonitorConfig, problems: list[Problem]) -> None:
    """Rules and sinks that cannot work are refused before a run, not found out at the first alert."""
    textfile = config.prometheus.textfile
    if textfile is not None and not Path(textfile).expanduser().absolute().parent.is_dir():
        problems.append(
            Problem(
                f"monitor.prometheus.textfile is '{textfile}', and its folder does not exist",
                "make the folder, or leave the key out",
            )
        )
    alerts = config.alerts
    for name, rule in alerts.rules.items():
        _check_rule(f"monitor.alerts.rules.{name}", rule, problems)
    if alerts.command and shutil.which(alerts.command[0]) is None:
        problems.append(
            Problem(
                f"monitor.alerts.command begins with '{alerts.command[0]}', which is no program that can be started",
                "give the whole path of an executable file",
            )
        )
    if alerts.webhook is not None and (urlsplit(alerts.webhook).scheme not in ("http", "https")):
        problems.append(
            Problem("monitor.alerts.webhook is no http or https address", "monitor.alerts.webhook=https://host/path")
        )
    if alerts.apprise and importlib.util.find_spec("apprise") is None:
        problems.append(
            Problem(
                "monitor.alerts.apprise needs the package apprise, which is not installed",
                "pip install 'mlx-runner[notify]'",
            )
        )


def _check_rule(key: str, rule: AlertRule, problems: list[Problem]) -> None:
    if rule.metric not in BY_NAME:
        near = difflib.get_close_matches(rule.metric, BY_NAME, 1, 0.5)
        problems.append(
            Problem(
                f"{key}.metric is '{rule.metric}', which is not measured",
                (f"did you mean {near[0]}? " if near else "") + "docs/metrics.md lists all names",
            )
        )
    if rule.for_s < 0:
        problems.append(Problem(f"{key}.for_s is {rule.for_s:g}, it must be at least 0", f"{key}.for_s=0"))
    beyond = rule.clear is None or (rule.clear <= rule.value if rule.op == "above" else rule.clear >= rule.value)
    if not beyond:
        side = "at most" if rule.op == "above" else "at least"
        problems.append(
            Problem(
                f"{key}.clear is {rule.clear:g}, it must be {side} {key}.value ({rule.value:g}): between the two the "
                "alert stays as it is",
                f"{key}.clear=null",
            )
        )
