"""The runs of one night, in order: what was left is resumed, what failed is outstanding again, then the job over all.

Starts and stops them through children, keeps each in the history, and says what they came to together; tells nobody and
holds no lock. Called by night.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Final

from runner import layout
from runner.alerts import sinks
from runner.errors import EXIT_DOCUMENTS_FAILED, EXIT_OK, EXIT_RUN_FAILED, EXIT_SIGTERM, EXIT_USAGE
from runner.layout import RunFolder
from runner.nights import children, documents, gates, history, overlap, view
from runner.nights.accounts import Outcome
from runner.nights.cron import here
from runner.nights.schedule import Schedule
from runner.store import folder
from runner.store.files import storage
from runner.store.forget import forget
from runner.store.locks import FileLock

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


@dataclass(slots=True)
class Work:
    """What the runs of a night came to, so far."""

    outcome: Outcome = "nothing_to_do"
    detail: str = ""
    exit_code: int = EXIT_OK
    ran: list[RunFolder] = field(default_factory=list)
    due: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Runs:
    """Of night `number`, under its lock."""

    schedule: Schedule
    world: World
    state: Path
    history: history.History
    lock: FileLock
    environment: Mapping[str, str]
    number: int = 0

    def resume(self, work: Work, limits: children.Limits, why: str) -> None:
        """The newest run that no night saw the end of, unless the schedule was changed since. Older ones are given up:
        what they committed is reused anyway."""
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
                    # The job or its files are others now: a new run reuses what fits.
                    self.history.append("run.abandoned", self.world.clock(), folder=run.folder)
                    work.outcome, work.detail, work.exit_code = "nothing_to_do", "", EXIT_OK

    def try_again(self, work: Work, known: Mapping[str, documents.Failed]) -> None:
        """Failed documents that are due are outstanding again for the run that follows."""
        now = self.results()
        rows = {source: now.rows.get(source) for source in documents.due(known, self.number)}
        again = {source for source, row in rows.items() if row is not None and row.night != self.number}
        if again:
            forget(layout.index_file(self.schedule.outputs), now.lines(sorted(again)))
        work.due |= set(rows)

    def main(self, work: Work, limits: children.Limits, why: str) -> None:
        """The job over everything there is."""
        place = RunFolder(
            layout.new_run_dir(
                self.schedule.outputs, self.schedule.name, f"night-{self.number}", self.world.clock(), layout.new_id()
            )
        )
        given = self.schedule.overrides
        # A run by hand that holds the device is no reason to lose a night: its limits bound the wait.
        waits = () if any(word.lstrip("+").startswith("on_busy=") for word in given) else ("on_busy=wait",)
        words = ("--json", *given, *waits, f"output.run_dir={place.root}")
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
        self, work: Work, kind: str, words: tuple[str, ...], place: RunFolder, limits: children.Limits, why: str
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
        if cause == "budget" and status in ("interrupted", "none"):
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

    def results(self) -> view.View:
        """The results as they are now."""
        found = view.fold(sources(self.history.events()), self.schedule.deleted)
        return view.without(found, view.missing(found), self.schedule.deleted)


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
