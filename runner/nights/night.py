"""One night of a schedule, from its lock to its alerts: `Night(schedule, world).run()` returns the exit code.

Goes on with what the night before left, tries failed documents again that are due, and runs the job over what is new;
then says in one line what it came to. Starts runs through children, decides nothing about documents (the core and
documents do).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final, Self

from runner import layout
from runner.alerts import sinks
from runner.errors import EXIT_BUSY, EXIT_DOCUMENTS_FAILED, EXIT_OK, EXIT_RUN_FAILED, EXIT_SIGTERM, EXIT_USAGE
from runner.layout import RunFolder
from runner.nights import accounts, children, documents, gates, history, overlap, view
from runner.nights.accounts import Outcome
from runner.nights.cron import Cron, here
from runner.nights.notices import Kind, Notices, Seen
from runner.nights.schedule import Schedule
from runner.store import folder
from runner.store.files import read_json, storage
from runner.store.forget import forget
from runner.store.locks import FileLock

EARLY_S: Final = 60.0
"""A timer may call a little before its time."""

LATE_S: Final = 900.0
"""A night that begins later than this caught up on a missed time."""

CONSOLES: Final = 30
"""Texts of nights that are kept."""


def _free(outputs: Path) -> int:
    place = next(path for path in (outputs, *outputs.parents) if path.exists())
    return shutil.disk_usage(place).free


def _nothing_left() -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class World:
    """What a night takes from outside; tests bring their own clock, boot id and processes."""

    boot_id: str
    environment: Mapping[str, str]
    zone: tzinfo = field(default_factory=here)
    clock: Callable[[], float] = time.time
    start: children.Start = children.start
    awake: Callable[[str], AbstractContextManager[str]] = children.awake
    mains: Callable[[], gates.Reading] = gates.on_mains
    cool: Callable[[], gates.Reading] = gates.is_cool
    free: Callable[[Path], int] = _free
    tuning_left: Callable[[], list[str]] = _nothing_left
    send: Callable[[sinks.Sink, sinks.Alert, Mapping[str, str]], str | None] = sinks.deliver
    ping: Callable[[sinks.Sink, bool, str, Mapping[str, str]], str | None] = sinks.ping


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


@dataclass(slots=True)
class _Work:
    """What the runs of a night came to, so far."""

    outcome: Outcome = "nothing_to_do"
    detail: str = ""
    exit_code: int = EXIT_OK
    ran: list[RunFolder] = field(default_factory=list)
    due: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


class Night:
    """One call of `runner schedule run NAME`."""

    def __init__(self, schedule: Schedule, world: World) -> None:
        self.schedule, self.world = schedule, world
        self.state = layout.schedule_state_dir(schedule.name)
        self.history = history.History(self.state / "history.jsonl")
        self.lock = FileLock(self.state / "lock")
        self.environment = dict(world.environment)
        self.notices = Notices(self.state / "alerts.json", schedule.name, schedule.notify, self.environment)
        self.number = 0

    def run(self, *, missed_only: bool = False, now: bool = False) -> int:
        """`missed_only`: only when a time was missed. `now`: whatever hours, power and heat say."""
        with _Stop() as stop:
            if not overlap.take(self.schedule, self.lock, lambda: stop.asked, _say):
                return self._overlapped()
            try:
                return self._locked(stop, missed_only, now)
            finally:
                self.lock.release()

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
            work = _Work(notes=[text for text in (*verdict.notes, note) if text])
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

    def _worked(self, work: _Work, stop: _Stop, begun: float, missed: Sequence[float], now: bool) -> int:
        schedule, world = self.schedule, self.world
        # As the night before left them: a file that went since is what this night has to notice.
        events = self.history.events()
        absent: list[str] = next((event["absent"] for event in reversed(history.ended_nights(events))), [])
        before = view.without(view.fold(sources(events), schedule.deleted), absent, schedule.deleted)
        stop_at, why = (None, "") if now else gates.stop_at(schedule, begun, world.zone)
        fail_at = None if schedule.timeout_s is None else begun + schedule.timeout_s
        limits = children.Limits(stop_at, fail_at, world.clock, lambda: stop.asked)
        known = documents.read(self.state / "documents.json")
        self._resume(work, limits, why)
        if work.outcome in ("ok", "nothing_to_do"):
            self._try_again(work, known)
            self._main(work, limits, why)
        return self._ended(work, begun, before, known, missed)

    def _resume(self, work: _Work, limits: children.Limits, why: str) -> None:
        """The newest run that no night saw the end of, unless the schedule was changed since. Older ones are given
        up: what
        they committed is reused anyway."""
        left = [run for run in history.runs(self.history.events()) if not run.ended and not run.abandoned]
        for number, run in enumerate(left):
            place = RunFolder(Path(run.folder))
            status = self._status(place)
            if status == "finished":  # it came to its end after its night had died
                self._note_end(run.folder, EXIT_OK, "", "finished")
                work.ran.append(place)
            elif (
                status == "none" or number < len(left) - 1 or run.overrides != self.schedule.overrides
                or run.failed_resumes >= history.MAX_RESUMES
            ):  # fmt: skip
                self.history.append("run.abandoned", self.world.clock(), folder=run.folder)
            else:
                words = ("resume", run.folder, "--outputs", str(self.schedule.outputs))
                if self._run(work, "resume", words, place, limits, why) == EXIT_USAGE:
                    # The job or its files are others now, so that it cannot be gone on with: a new run reuses what
                    # fits.
                    self.history.append("run.abandoned", self.world.clock(), folder=run.folder)
                    work.outcome, work.detail, work.exit_code = "nothing_to_do", "", EXIT_OK

    def _try_again(self, work: _Work, known: Mapping[str, documents.Failed]) -> None:
        """Failed documents that are due are outstanding again for the run that follows."""
        now = self.results()
        rows = {source: now.rows.get(source) for source in documents.due(known, self.number)}
        again = {source for source, row in rows.items() if row is not None and row.night != self.number}
        if again:
            forget(layout.index_file(self.schedule.outputs), (line for line in now.lines() if line["source"] in again))
        work.due |= set(rows)

    def _main(self, work: _Work, limits: children.Limits, why: str) -> None:
        place = RunFolder(
            layout.new_run_dir(
                self.schedule.outputs, self.schedule.name, f"night-{self.number}", self.world.clock(), layout.new_id()
            )
        )
        words = ("--json", *self.schedule.overrides, f"output.run_dir={place.root}")
        before = work.exit_code, len(work.ran)
        self._run(work, "main", words, place, limits, why)
        known = _unchanged(self._console())
        if (work.exit_code, len(work.ran)) != before or known is None:
            return
        # Nothing to do, and yet not what our own nights have seen: runs by hand did it, a document came back as it was,
        # or the words are those of an earlier time. Then this night publishes what is taken over.
        now = self.results()
        words_then = [run.overrides for run in history.runs(self.history.events()) if Path(run.folder).is_dir()]
        if known != now.present or words_then[-1:] != [self.schedule.overrides]:
            self._run(work, "main", (*words, "output.unchanged=publish"), place, limits, why)

    def _run(
        self, work: _Work, kind: str, words: tuple[str, ...], place: RunFolder, limits: children.Limits, why: str
    ) -> int:
        schedule = self.schedule
        self.history.append(
            "run.begun", self.world.clock(), night=self.number, kind=kind, folder=str(place.root),
            overrides=list(schedule.overrides),
        )  # fmt: skip
        console = self._console()
        process = self.world.start(
            children.Launch(words, Path(schedule.cwd), self.environment, console, self.lock.fileno())
        )
        overlap.note_run(self.lock, process.pid)
        code, cause = children.wait(process, limits)
        status = self._status(place)
        result = "failed" if status in ("running", "failed") or (status == "none" and code != EXIT_OK) else status
        self._note_end(str(place.root), code, cause, result)
        if status != "none":
            work.ran.append(place)
        if cause == "budget" and status == "interrupted":
            work.outcome, work.detail = "out_of_time", f"{why}; the next night goes on"
        elif cause == "signal":
            work.outcome, work.detail, work.exit_code = "stopped", "asked to stop", EXIT_SIGTERM
        elif cause == "timeout":
            work.outcome, work.detail, work.exit_code = "failed", f"timeout of {schedule.timeout}", EXIT_RUN_FAILED
        elif code not in (EXIT_OK, EXIT_DOCUMENTS_FAILED):
            work.outcome, work.detail = "failed", _said(console, code)
            work.exit_code = code if code > 0 else EXIT_RUN_FAILED
        elif status != "none":
            work.outcome = "ok"
        return code

    def _note_end(self, place: str, code: int, cause: str, result: str) -> None:
        settings = view.settings_of(RunFolder(Path(place)))
        self.history.append(
            "run.ended", self.world.clock(), folder=place, exit_code=code, cause=cause, result=result, settings=settings
        )

    @staticmethod
    def _status(place: RunFolder) -> str:
        """run.json's, `none` when there is no such run."""
        return folder.read_identity(place).status if place.run_json.is_file() else "none"

    def _console(self) -> Path:
        place = self.state / "console"
        with storage(f"cannot keep {place}"):
            place.mkdir(mode=0o700, exist_ok=True)
            for old in sorted(place.glob("night-*.log"))[: -CONSOLES + 1]:
                old.unlink()
        return place / f"night-{self.number:06}.log"

    # ---- the end ----

    def results(self) -> view.View:
        """The results as they are now."""
        found = view.fold(sources(self.history.events()), self.schedule.deleted)
        return view.without(found, view.missing(found), self.schedule.deleted)

    def _ended(
        self, work: _Work, begun: float, before: view.View, known: Mapping[str, documents.Failed],
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
        found = accounts.counts(before, now, left, tried)
        most = view.max_failed_of(now.sources[-1].run) if now.sources else 0
        if work.outcome in ("ok", "nothing_to_do") and found.failed > most:
            work.outcome, work.exit_code = "documents_failed", EXIT_DOCUMENTS_FAILED
            work.detail = f"{found.failed} documents, job.max_failed is {most}"
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


def sources(events: Sequence[history.Event], until: int | None = None) -> list[view.Source]:
    """The runs of nights, as the view wants them. `until`: only what had ended by the end of that night."""
    settings = {event["folder"]: event.get("settings") for event in events if event["event"] == "run.ended"}
    found = []
    for run in history.runs(events):
        source = view.source_of(RunFolder(Path(run.folder)), run.night, settings.get(run.folder))
        if source is not None and (until is None or (run.night <= until and source.finished)):
            found.append(source)
    return found


def _unchanged(console: Path) -> int | None:
    """Inputs that a run found unchanged, when it had nothing to do: it says so as its last word."""
    with storage(f"cannot read {console}"):
        lines = console.read_text(encoding="utf-8", errors="replace").splitlines()
    last = next((line for line in reversed(lines) if line.startswith('{"nothing_to_do"')), None)
    return None if last is None else int(json.loads(last)["inputs_unchanged"])


def _said(console: Path, code: int) -> str:
    """The error of a run as it told it, or how it ended."""
    with storage(f"cannot read {console}"):
        lines = console.read_text(encoding="utf-8", errors="replace").splitlines()
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if code < 0:
        return f"the run was killed by signal {-code}"
    return f"{errors[-1]} (exit {code})" if errors else f"exit {code}, see {console}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
