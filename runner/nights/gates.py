"""May a night begin, and until when may it take on work: power, heat, hours, budget. Pure over what it is given, but
for
the readers of power and heat at the end, which say `None` and why where a machine does not tell.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Final

from runner.nights.schedule import Schedule, hours
from runner.tuning.script import call

DRAIN_S: Final = 10.0
"""What a run promises to need from SIGTERM to its end; a night asks that long before it must be over."""

HOT_MILLIDEGREES: Final = 5000
"""A zone that is closer than this to its own `hot` or `critical` point counts as pressed."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the machine says: None = it does not say, and `detail` why."""

    value: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is empty when a night may begin; `notes` name gates that cannot be kept here."""

    reason: str
    notes: tuple[str, ...]


def may_begin(schedule: Schedule, now: float, zone: tzinfo, mains: Reading, cool: Reading) -> Verdict:
    """Gates in order: hours, power, heat."""
    notes = []
    if (quiet := quiet_until(schedule.quiet, now, zone)) is not None:
        return Verdict(f"quiet hours until {datetime.fromtimestamp(quiet, zone):%H:%M}", ())
    for wanted, reading, name in (
        (schedule.require_ac, mains, "require_ac"),
        (schedule.require_cool, cool, "require_cool"),
    ):
        if wanted and reading.value is None:
            notes.append(f"{name} unsupported here: {reading.detail}")
        elif wanted and not reading.value:
            return Verdict(reading.detail, tuple(notes))
    return Verdict("", tuple(notes))


def quiet_until(quiet: Sequence[str], now: float, zone: tzinfo) -> float | None:
    """When the quiet hours that hold now are over; None outside of all."""
    ends = [end for start, end in _spans(quiet, now, zone) if start <= now < end]
    return max(ends, default=None)


def stop_at(schedule: Schedule, begun: float, zone: tzinfo) -> tuple[float | None, str]:
    """When a night stops taking on work, and why: the budget, or quiet hours that begin."""
    limits = [(start, "quiet hours") for start, _ in _spans(schedule.quiet, begun, zone) if start > begun]
    if schedule.budget_s is not None:
        limits.append((begun + schedule.budget_s, f"the budget of {schedule.budget}"))
    if not limits:
        return None, ""
    moment, why = min(limits)
    return moment - DRAIN_S, why


def _spans(quiet: Sequence[str], now: float, zone: tzinfo) -> list[tuple[float, float]]:
    """Quiet hours around now, by the wall clock of each day."""
    today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    found = []
    for text in quiet:
        start, end = hours(text)
        for day in (-1, 0, 1, 2):
            base = today + timedelta(days=day)
            later = base + timedelta(days=1) if end <= start else base
            begins = base.replace(hour=start // 60, minute=start % 60)
            ends = later.replace(hour=end // 60, minute=end % 60)
            found.append((begins.timestamp(), ends.timestamp()))
    return sorted(found)


# ---- what the machine says ----


def on_mains(system: str = sys.platform, power: Path = Path("/sys/class/power_supply")) -> Reading:
    """Whether the machine has mains power."""
    if system == "darwin":
        return _mac_mains()
    supplies = sorted(power.glob("*/type")) if power.is_dir() else []
    mains = [path.parent / "online" for path in supplies if path.read_text().strip() in ("Mains", "USB")]
    states = [path.read_text().strip() for path in mains if path.is_file()]
    if "1" in states:
        return Reading(True, "on mains power")
    if any(path.read_text().strip() == "Battery" for path in supplies):
        return Reading(False, "on battery power")
    return Reading(None, "this machine has no battery, or does not show it")


def _mac_mains() -> Reading:
    try:
        text = subprocess.run(["pmset", "-g", "ps"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return Reading(None, f"pmset: {error}")
    if "AC Power" in text:
        return Reading(True, "on mains power")
    return Reading(False, "on battery power") if "Battery Power" in text else Reading(None, "pmset does not say")


def is_cool(system: str = sys.platform, zones: Path = Path("/sys/class/thermal")) -> Reading:
    """Whether the machine is free of thermal pressure: macOS says so itself; on Linux no zone is near its own limit."""
    if system == "darwin":
        report = call("thermal", "verify", "level=0")
        return Reading(
            {"ok": True, "differs": False}.get(report.state), f"thermal pressure {report.value} {report.detail}"
        )
    seen = False
    for zone in sorted(zones.glob("thermal_zone*")):
        try:
            now = int((zone / "temp").read_text())
            limits = [
                int(path.with_name(path.name.replace("_type", "_temp")).read_text())
                for path in zone.glob("trip_point_*_type")
                if path.read_text().strip() in ("hot", "critical")
            ]
        except (OSError, ValueError):
            continue
        seen = seen or bool(limits)
        if limits and now > min(limits) - HOT_MILLIDEGREES:
            return Reading(False, f"{zone.name} is at {now / 1000:.0f} degrees, its limit is {min(limits) / 1000:.0f}")
    return Reading(True, "no thermal pressure") if seen else Reading(None, "no thermal zone with a limit")
