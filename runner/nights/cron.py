"""When a schedule is due: five cron fields, read by cronsim in the machine's own time zone. Pure but for that zone.

Times are seconds since the epoch outside and aware datetimes inside, so that the hour that a clock skips or repeats
counts once, as Debian's cron does it. Does not know what runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import islice, product
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from runner.errors import UsageError

_EVERY: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}
_DAYS: Final = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")

MOST_TIMES: Final = 500
"""Calendar entries that launchd gets for one schedule."""


def here() -> tzinfo:
    """The machine's time zone, with its rules: TZ, else /etc/localtime, else today's offset alone."""
    name = os.environ.get("TZ", "").removeprefix(":")
    try:
        if name:
            return ZoneInfo(name)
        with Path("/etc/localtime").open("rb") as rules:
            return ZoneInfo.from_file(rules, "local")
    except (OSError, ValueError, ZoneInfoNotFoundError):
        zone = datetime.now().astimezone().tzinfo
        return zone or UTC


@dataclass(frozen=True, slots=True)
class Cron:
    """A checked expression; `text` has five fields."""

    text: str
    zone: tzinfo

    @classmethod
    def read(cls, text: str, zone: tzinfo | None = None) -> Cron:
        """UsageError for what is none, or never comes."""
        fields = _EVERY.get(text.strip(), " ".join(text.split()))
        cure = "five fields: minute hour day month weekday, for example '30 2 * * 1-5'"
        if len(fields.split()) != 5:
            raise UsageError(f"--cron '{text}' has {len(fields.split())} fields, it must have 5", cure)
        if "L" in fields.split()[2].upper() or any(mark in fields.split()[4].upper() for mark in "#L"):
            raise UsageError(f"--cron '{text}': neither cron nor systemd nor launchd knows L and #", cure)
        made = cls(fields, zone or here())
        try:
            if made.after(0, 1) == []:
                raise CronSimError("it never comes")
        except CronSimError as error:
            raise UsageError(f"--cron '{text}': {error}", cure) from error
        return made

    def after(self, moment: float, count: int) -> list[float]:
        """The next `count` times behind `moment`."""
        return list(islice(self._times(moment), count))

    def between(self, after: float, until: float, most: int = 1000) -> list[float]:
        """Times in (after, until], the last `most` of them."""
        found: list[float] = []
        for moment in CronSim(self.text, datetime.fromtimestamp(until + 1, self.zone), reverse=True):
            if moment.timestamp() <= after or len(found) == most:
                break
            if moment.timestamp() <= until:
                found.append(moment.timestamp())
        return sorted(set(found))

    def _times(self, moment: float) -> Iterator[float]:
        last = moment
        for found in CronSim(self.text, datetime.fromtimestamp(moment, self.zone)):
            if found.timestamp() > last:  # of an hour that comes twice the first counts
                last = found.timestamp()
                yield last

    def explain(self) -> str:
        """In words."""
        return CronSim(self.text, datetime.fromtimestamp(0, UTC)).explain()

    # ---- the calendars of other schedulers ----

    def launchd(self) -> list[dict[str, int]]:
        """StartCalendarInterval. A field that is not there means every value."""
        minute, hour, day, month, weekday = self._fields()
        days = [{"Day": day}, {"Weekday": weekday}] if self._either() else [{"Day": day, "Weekday": weekday}]
        found: list[dict[str, int]] = []
        for both in days:
            named = {"Minute": minute, "Hour": hour, "Month": month, **both}
            given = {key: values for key, values in named.items() if values is not None}
            for values in product(*given.values()):
                found.append(dict(zip(given, values, strict=True)))
                if len(found) > MOST_TIMES:
                    raise UsageError(
                        f"--cron '{self.text}' makes over {MOST_TIMES} calendar entries for launchd",
                        "choose fewer times; a night needs one",
                    )
        return found

    def on_calendar(self) -> list[str]:
        """OnCalendar lines of a systemd timer."""
        minute, hour, day, month, weekday = self._fields()
        date = f"*-{_listed(month)}-{{}} {_listed(hour)}:{_listed(minute)}:00"
        names = "" if weekday is None else ",".join(_DAYS[number] for number in weekday) + " "
        if self._either():
            return [date.format(_listed(day)), names + date.format("*")]
        return [names + date.format(_listed(day))]

    def _either(self) -> bool:
        """Both days are given: cron takes whichever comes."""
        _, _, day, _, weekday = self.text.split()
        return not day.startswith("*") and not weekday.startswith("*")

    def _fields(self) -> tuple[list[int] | None, ...]:
        parsed = CronSim(self.text, datetime.fromtimestamp(0, UTC))
        weekdays = {number % 7 for number in parsed.weekdays if isinstance(number, int)}
        given = (parsed.minutes, parsed.hours, parsed.days, parsed.months, weekdays)
        return tuple(
            None if part == "*" else sorted(values) for part, values in zip(self.text.split(), given, strict=True)
        )


def _listed(values: list[int] | None) -> str:
    return "*" if values is None else ",".join(f"{value:02}" for value in values)
