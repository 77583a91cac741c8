"""One night of a schedule, from its lock to its alerts: `Night(schedule, world).run()` returns the exit code.

Goes on with what the night before left, tries failed documents again that are due, and runs the job over what is new;
then says in one line what it came to. Starts runs through children, decides nothing about documents (the core and
documents do).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import datetime
from typing import Final, Self

from runner import layout
from runner.alerts import sinks
from runner.errors import (
    EXIT_BUSY,
    EXIT_DOCUMENTS_FAILED,
    EXIT_OK,
    StorageError,
)
from runner.nights import accounts, children, documents, gates, history, overlap, view
from runner.nights.cron import Cron
from runner.nights.notices import Kind, Notices, Seen
from runner.nights.runs import Runs, Work, World, sources
from runner.nights.schedule import Schedule
from runner.store.files import read_json
from runner.store.locks import FileLock

EARLY_S: Final = 60.0
"""A timer may call a little before its time."""

LATE_S: Final = 900.0
"""A night that begins later than this caught up on a missed time."""


class _Stop:
    """SIGTERM and SIGINT as a state; put back at the end."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        self._old = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _note(self, *_: object) -> None:
        self.asked = True


class Night:
    """One call of `runner schedule run NAME`."""

    def __init__(self, schedule: Schedule, world: World) -> None:
        self.schedule, self.world = schedule, world
        self.state = layout.schedule_state_dir(schedule.name)
        self.history = history.History(self.state / "history.jsonl")
        self.lock = FileLock(self.state / "lock")
        self.environment = dict(world.environment)
        self.notices = Notices(self.state / "alerts.json", schedule.name, schedule.notify, self.environment)
        self.runs = Runs(schedule, world, self.state, self.history, self.lock, self.environment)
        self.number = 0

    def run(self, *, missed_only: bool = False, now: bool = False) -> int:
        """`missed_only`: only when a time was missed. `now`: whatever hours, power and heat say."""
        with _Stop() as stop:
            if not overlap.take(self.schedule, self.lock, lambda: stop.asked, _say):
                return self._overlapped()
            try:
                return self._locked(stop, missed_only, now)
            except StorageError as error:
                self._cry(error)
                raise
            finally:
                self.lock.release()

    def _cry(self, error: StorageError) -> None:
        """Our own state cannot be written (a full disk): told without a mark that it was, so by each such night."""
        at = datetime.fromtimestamp(self.world.clock(), self.world.zone).isoformat("T", "seconds")
        name = self.schedule.name
        title = f"{name}: night {self.number} cannot be kept"
        alert = sinks.Alert(f"{name}-{self.number}-storage", name, "failed", "firing", title, error.problem, None, at)
        for sink in map(sinks.read_sink, self.schedule.notify):
            if sink.kind != "ping" and (problem := self.world.send(sink, alert, self.environment)):
                _say(f"{name}: not told: {problem}")

    def _overlapped(self) -> int:
        holder = self.lock.holder()
        moment = self.world.clock()
        self.history.append("night.skipped", moment, reason="overlap", holder=holder, due=moment + EARLY_S)
        print(f"{self.schedule.name}: skipped, in use by {holder} (overlap: {self.schedule.overlap})")
        return EXIT_OK if self.schedule.overlap == "skip" else EXIT_BUSY

    def _locked(self, stop: _Stop, missed_only: bool, now: bool) -> int:
        schedule, world = self.schedule, self.world
        begun, events = world.clock(), self.history.events()
        cron = Cron.read(schedule.cron, world.zone)
        times = cron.between(history.handled_until(events, schedule.created_at), begun + EARLY_S)
        if missed_only and not times:
            print(f"{schedule.name}: no time was missed")
            return EXIT_OK
        self.number = history.next_night(events)
        due = times[-1] if times else None
        missed = times[:-1]
        self._tell_what_died(events, begun)
        verdict = gates.may_begin(schedule, begun, world.zone, world.mains(), world.cool())
        reason = "" if now else verdict.reason
        if not reason and due is not None and begun - due > LATE_S and not schedule.catch_up and not now:
            reason = "the time had passed, and catch_up is false"
        if reason:
            return self._skipped(begun, due, times, reason)
        self.history.append(
            "night.begun", begun, night=self.number, due=due, missed=missed, boot_id=world.boot_id, pid=os.getpid()
        )
        if missed:
            self._tell({"missed": self._missed(missed)}, None, begun)
        with world.awake(f"night {self.number} of {schedule.name}") if schedule.keep_awake else nullcontext("") as note:
            work = Work(notes=[text for text in (*verdict.notes, note) if text])
            return self._worked(work, stop, begun, missed, now)

    def _tell_what_died(self, events: Sequence[history.Event], begun: float) -> None:
        dead = history.open_night(events)
        if dead is None:
            return
        restarted = dead["boot_id"] != self.world.boot_id
        why = "the machine was restarted in" if restarted else "something ended"
        self.history.append("night.died", begun, night=dead["night"], restarted=restarted)
        text = "its run is gone on with now; nothing that was committed is lost"
        self._tell({"failed": Seen(True, f"{why} night {dead['night']} before its end", text)}, None, begun)

    def _missed(self, times: Sequence[float], why: str = "the machine was off or asleep") -> Seen:
        shown = ", ".join(self._time(moment) for moment in times[-3:])
        count = f"{len(times)} time{'s' * (len(times) != 1)}"
        return Seen(bool(times), f"missed {count}", f"not run: {shown}; {why}")

    def _time(self, moment: float) -> str:
        return datetime.fromtimestamp(moment, self.world.zone).isoformat(" ", "minutes")

    def _skipped(self, begun: float, due: float | None, times: Sequence[float], reason: str) -> int:
        self.history.append("night.skipped", begun, reason=reason, due=due)
        if times:
            self._tell({"missed": self._missed(times, reason)}, None, begun)
        print(f"{self.schedule.name}: not run: {reason} (`runner schedule run {self.schedule.name} --now` runs it)")
        return EXIT_OK

    # ---- the runs ----

    def _worked(self, work: Work, stop: _Stop, begun: float, missed: Sequence[float], now: bool) -> int:
        schedule, world = self.schedule, self.world
        # As the night before left them: a file that went since is what this night has to notice.
        events = self.history.events()
        absent: list[str] = next((event["absent"] for event in reversed(history.ended_nights(events))), [])
        before = view.without(view.fold(sources(events), schedule.deleted), absent, schedule.deleted)
        stop_at, why = (None, "") if now else gates.stop_at(schedule, begun, world.zone)
        fail_at = None if schedule.timeout_s is None else begun + schedule.timeout_s
        limits = children.Limits(stop_at, fail_at, world.clock, lambda: stop.asked)
        known = documents.read(self.state / "documents.json")
        self.runs.number = self.number
        self.runs.resume(work, limits, why)
        if work.outcome in ("ok", "nothing_to_do"):
            self.runs.try_again(work, known)
            self.runs.main(work, limits, why)
        return self._ended(work, begun, before, known, missed)

    # ---- the end ----

    def _ended(
        self, work: Work, begun: float, before: view.View, known: Mapping[str, documents.Failed],
        missed: Sequence[float],
    ) -> int:  # fmt: skip
        schedule, world = self.schedule, self.world
        whole = view.fold(sources(self.history.events()), schedule.deleted)
        absent = view.missing(whole)
        now = view.without(whole, absent, schedule.deleted)
        tried = {source for source in work.due if source in now.rows and now.rows[source].night == self.number}
        left = documents.after(known, now, self.number, tried, schedule.retry)
        if left != known:
            documents.write(self.state / "documents.json", left)
        found = accounts.counts(before, now, known, left, tried)
        most = view.max_failed_of(now.sources[-1].run) if now.sources else 0
        if work.outcome in ("ok", "nothing_to_do") and found.open_failures > most:
            work.outcome, work.exit_code = "documents_failed", EXIT_DOCUMENTS_FAILED
            work.detail = f"{found.open_failures} documents, job.max_failed is {most}"
        ended = world.clock()
        told: list[str] = next(
            (event.get("notes", []) for event in reversed(self.history.events()) if event["event"] == "night.ended"), []
        )
        fresh = [note for note in work.notes if note not in told]  # what a machine lacks is said once
        summary = accounts.line(schedule.name, self.number, work.outcome, work.detail, found, ended - begun, fresh)
        earlier = [event["pace"] for event in history.ended_nights(self.history.events()) if event.get("pace")]
        speed = accounts.pace([read_json(run.summary) for run in work.ran if run.summary.is_file()])
        self.history.append(
            "night.ended", ended, night=self.number, outcome=work.outcome, exit_code=work.exit_code, line=summary,
            notes=work.notes, counts=asdict(found), absent=absent, pace=speed, runs=[str(run.root) for run in work.ran],
        )  # fmt: skip
        last = str(work.ran[-1].root) if work.ran else None
        seen = accounts.seen(
            outcome=work.outcome, detail=work.detail, summary=summary, found=found, max_failed=most,
            missed=self._missed(missed), free=world.free(schedule.outputs), low=schedule.disk_low_bytes,
            tuning=world.tuning_left(), speed=accounts.slower(schedule, speed, earlier),
        )  # fmt: skip
        self._tell(seen, last, ended)
        good = work.exit_code in (EXIT_OK, EXIT_DOCUMENTS_FAILED)
        for sink in map(sinks.read_sink, schedule.notify):
            if sink.kind == "ping" and (problem := world.ping(sink, good, summary, self.environment)):
                _say(f"{schedule.name}: not told: {problem}")
        print(summary if last is None else f"{summary}\n{last}")
        return work.exit_code

    def _tell(self, seen: Mapping[Kind, Seen], last: str | None, moment: float) -> None:
        at = datetime.fromtimestamp(moment, self.world.zone).isoformat("T", "seconds")
        found, problems = self.notices.tell(seen, self.number, last, at, self.world.send)
        for change in found:
            self.history.append("alert", moment, night=self.number, kind=change.kind, state=change.state)
        for problem in problems:
            self.history.append("alert.undelivered", moment, night=self.number, problem=problem)
            _say(f"{self.schedule.name}: not told: {problem}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
