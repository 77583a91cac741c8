"""What one night came to: documents by what was new about them, the one line, and what of it is worth telling. Pure.

Called by night; knows no process and no file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, Literal

from runner.config.sizes import format_size
from runner.nights.documents import Failed
from runner.nights.notices import Kind, Seen
from runner.nights.schedule import Schedule
from runner.nights.view import View
from runner.progress import duration_text

Outcome = Literal["ok", "nothing_to_do", "documents_failed", "out_of_time", "failed", "stopped"]

LEAST_NIGHTS: Final = 3
"""Nights that "usual" is taken from, at least; at most the last ten."""

LEAST_WORK_S: Final = 30.0
"""A night that worked for less tells nothing of speed."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Documents of one night, against the night before. `redone`: unchanged, but the job's settings are others.
    `retried`: failed before and tried again, `recovered` of them ended ok. `newly_failed`: not so the night before;
    `open_failures`: all but those that an earlier night has quarantined."""

    new: int
    changed: int
    redone: int
    unchanged: int
    deleted: int
    retried: int
    recovered: int
    ok: int
    failed: int
    waiting: int
    quarantined: int
    newly_failed: int
    open_failures: int


def counts(
    before: View, now: View, known: Mapping[str, Failed], left: Mapping[str, Failed], tried: Collection[str]
) -> Counts:
    """By comparing the two views, and what was known of failures before with what is left."""
    new = changed = redone = unchanged = 0
    for source, row in now.rows.items():
        if row.deleted:
            continue
        old = before.rows.get(source)
        if old is None or old.deleted:
            new += 1
        elif old.doc_id != row.doc_id:
            changed += 1
        elif before.sources[old.of].settings != now.sources[row.of].settings:
            redone += 1
        else:
            unchanged += 1
    there = {source for source, row in now.rows.items() if not row.deleted}
    gone = sum(source not in there for source, row in before.rows.items() if not row.deleted)
    return Counts(
        new=new, changed=changed, redone=redone, unchanged=unchanged - len(tried), deleted=gone, retried=len(tried),
        recovered=sum(now.rows[source].status == "ok" for source in tried), ok=now.count("ok"),
        failed=now.count("failed", "quarantined"),
        waiting=sum(entry.state == "waiting" for entry in left.values()),
        quarantined=sum(entry.state == "quarantined" for entry in left.values()),
        newly_failed=sum(
            source not in known or known[source].since_night != entry.since_night for source, entry in left.items()
        ),
        open_failures=sum(
            entry.state == "waiting" or source not in known or known[source].state == "waiting"
            for source, entry in left.items()
        ),
    )  # fmt: skip


def line(name: str, night: int, outcome: str, detail: str, found: Counts, seconds: float, notes: Sequence[str]) -> str:
    """The night in one line."""
    words = [f"{number} {word}" for number, word in (
        (found.new, "new"), (found.changed, "changed"), (found.redone, "redone for new settings"),
        (found.deleted, "deleted"), (found.unchanged, "unchanged"),
    ) if number]  # fmt: skip
    if found.retried:
        words.append(f"{found.retried} failed before and tried again ({found.recovered} ok now)")
    state = f"{found.ok} ok, {found.failed} failed"
    if found.failed:
        state += f" ({found.waiting} to be tried again, {found.quarantined} quarantined)"
    ended = outcome.replace("_", " ") + (f" ({detail})" if detail else "")
    said = "; ".join([f"{', '.join(words) or 'no documents'}", f"now {state}", *notes])
    return f"{name} night {night}: {ended} in {duration_text(seconds)}: {said}"


def pace(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Tokens a second over the runs of a night, with the setting it holds for; None for too little work."""
    seconds = sum(float(summary["working_seconds"]) for summary in summaries)
    tokens = sum(int(summary["prompt_tokens"]) + int(summary["generated_tokens"]) for summary in summaries)
    if seconds < LEAST_WORK_S or tokens == 0:
        return None
    return {"tokens_per_s": round(tokens / seconds, 3), "setting": summaries[-1]["pace"]["setting"]}


def slower(schedule: Schedule, now: Mapping[str, Any] | None, earlier: Sequence[Mapping[str, Any]]) -> Seen:
    """Against the median of the last nights with the same setting."""
    quiet = Seen(None, "")
    if now is None or not schedule.slower_percent:
        return quiet
    rates = [each["tokens_per_s"] for each in earlier if each["setting"] == now["setting"]][-10:]
    if len(rates) < LEAST_NIGHTS:
        return quiet
    usual = median(rates)
    share = 100 * (1 - now["tokens_per_s"] / usual)
    text = f"{now['tokens_per_s']:.1f} tokens/s, usual are {usual:.1f} (median of {len(rates)} nights)"
    return Seen(share > schedule.slower_percent, f"{share:.0f} % slower than usual", text)


def seen(
    *, outcome: Outcome, detail: str, summary: str, found: Counts, max_failed: int,
    missed: Seen, free: int, low: int, tuning: Sequence[str], speed: Seen,
) -> dict[Kind, Seen]:  # fmt: skip
    """Each kind as this night saw it."""
    fresh = found.newly_failed if found.open_failures > max_failed else 0
    failed = Seen(outcome in ("failed", "stopped"), f"failed: {detail}", summary, "recovered")
    return {
        "failed": failed,
        "documents": Seen(fresh > 0, f"{fresh} document{'s' * (fresh != 1)} failed", summary),
        "missed": missed,
        "slower": speed,
        "disk_low": Seen(free < low, f"only {format_size(free)} free", f"disk_low is {format_size(low)}"),
        "tuning": Seen(bool(tuning), "tuning was not put back", "; ".join(tuning)),
    }
