"""System scope: settings of the whole machine, set under the journal, verified, and put back in reverse order.

Order for one step: read the old value, write and sync the intent, set, read back, note it. Whatever is killed in
between, `recover` (the start of the next run, or `runner tuning recover`) finds the intent and puts the old value
back, unless somebody else has changed the setting meanwhile: then hands off, and exit 5. Called by run and by the
`tuning` command.
"""

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from runner import layout
from runner.errors import BusyError, TuningError, UsageError
from runner.store.locks import FileLock
from runner.tuning import script as scripts
from runner.tuning.journal import OpenIntent, TuningJournal
from runner.tuning.outcome import Outcome, State

Call = Callable[..., scripts.Report]

LOCK_WAIT_S = 2.0
"""How long `recover` waits for a script of a killed runner to end; such a call takes about 10 ms."""


def default_journal() -> Path:
    """In the user's state folder: the next command must find it whatever folder the killed run had."""
    return layout.user_state_dir() / "tuning.jsonl"


def parts(value: str) -> dict[str, str]:
    """`governor=powersave,boost=1` as a mapping; a bare word has the empty key, which stands for any."""
    found = {}
    for part in filter(None, value.split(",")):
        key, sign, word = part.rpartition("=")
        found[key if sign else ""] = word
    return found


def explained(current: str, known: Mapping[str, None] | tuple[str, ...]) -> bool:
    """Whether every part of `current` is a word that one of the `known` values has for it.

    A kill in the middle of a script leaves some parts old and some ours: that is still our own doing.
    `governor.policy0` is also explained by a value for all policies, `governor`.
    """
    sources = [parts(value) for value in known]

    def fits(key: str, word: str) -> bool:
        stem = key.partition(".")[0]
        return any(word in (source.get(key), source.get(stem), source.get("")) for source in sources)

    return all(fits(key, word) for key, word in parts(current).items())


class SystemScope:
    """Holds the machine's one tuning lock while open. `mirror` is the run's own tuning.jsonl, a copy for the reader."""

    def __init__(
        self,
        run: str,
        boot_id: str,
        *,
        system: str,
        journal: Path | None = None,
        lock: Path | None = None,
        mirror: Path | None = None,
        call: Call = scripts.call,
        scripts_folder: Path | None = None,
    ) -> None:
        self._run, self._boot_id, self._system = run, boot_id, system
        self._journal = TuningJournal(journal or default_journal())
        self._mirror = TuningJournal(mirror) if mirror else None
        self._lock = FileLock(lock or layout.tuning_lock_file())
        self._call = call
        self._folder = scripts_folder

    def open(self) -> list[Outcome]:
        """Takes the lock (BusyError names the holder) and puts back what a killed run left. Returns what that found."""
        deadline = time.monotonic() + (LOCK_WAIT_S if self._journal.open_intents() else 0.0)
        while not self._lock.acquire(f"system tuning of run {self._run}"):
            if time.monotonic() > deadline:
                raise BusyError(
                    f"system tuning is held by {self._lock.holder()}",
                    "wait for it, or run without system scope: 'tuning.scopes=[process]'",
                )
            time.sleep(0.02)
        return self.revert()

    def close(self) -> list[Outcome]:
        """Puts everything back and gives the lock back; TuningError (after the lock is free) when something stays."""
        try:
            outcomes = self.revert()
        finally:
            self._lock.release()
        left = [outcome for outcome in outcomes if outcome.state != "reverted"]
        if left:
            listed = "; ".join(f"{o.step}: {o.detail}" for o in left)
            raise TuningError(f"tuning could not be put back: {listed}", "runner tuning status shows what is set now")
        return outcomes

    def release(self) -> None:
        """Gives the lock back and leaves the settings as they are."""
        self._lock.release()

    def apply(self, steps: Mapping[str, str]) -> list[Outcome]:
        """`steps`: script (a path below tuning/) -> wanted value, or alternatives `a|b`: the first taken is used."""
        known = scripts.known_scripts(self._folder)
        outcomes = []
        for step, wanted in steps.items():
            if step not in known:
                problem = f"tuning.steps names '{step}', which no script in tuning/ is"
                raise UsageError(problem, f"known: {', '.join(sorted(known))}")
            if known[step] == self._system:
                outcomes.append(self._apply_one(step, wanted.split("|")))
            else:
                outcomes.append(Outcome(step, "system", "unsupported", "", f"it is for {known[step]}"))
        return outcomes

    def verify(self, steps: Mapping[str, str]) -> list[Outcome]:
        """Reads each step that is set by us again; a changed one is `differs`."""
        outcomes = []
        for intent in self._journal.open_intents():
            if intent.step not in steps:
                continue
            report = self._script(intent.step, "verify", intent.ours[-1])
            self._note("verified", intent.step, state=report.state, value=report.value)
            state: State = "applied" if report.state == "ok" else "differs"
            outcomes.append(Outcome(intent.step, "system", state, report.value, report.detail))
        return outcomes

    def revert(self) -> list[Outcome]:
        """Closes every open intent in reverse order: put back, already so, gone with a reboot, or conflict."""
        outcomes = [self._revert_one(intent) for intent in reversed(self._journal.open_intents())]
        self._journal.close_file()
        return outcomes

    def _apply_one(self, step: str, wanted: list[str]) -> Outcome:
        before = self._script(step, "status")
        if before.state != "ok":
            return Outcome(step, "system", _state(before.state), before.value, before.detail)
        outcome = Outcome(step, "system", "failed", before.value, "no value wanted")
        for value in wanted:
            if self._script(step, "verify", value).state == "ok":
                return Outcome(step, "system", "already", before.value, f"{value} was set before")
            self._note(
                "intent", step, old=before.value, new=value, boot_id=self._boot_id, run=self._run,
                pid=os.getpid(), time=time.time(), touched=_touched(before.touches),
            )  # fmt: skip
            report = self._script(step, "apply", value)
            if report.state == "applied":
                self._note("applied", step, value=report.value)
                return Outcome(step, "system", "applied", report.value, f"was {before.value}")
            back = self._revert_one(self._intent(step))
            detail = report.detail if back.state == "reverted" else f"{report.detail}; {back.detail}"
            outcome = Outcome(step, "system", _state(report.state), back.value, detail)
            if report.state != "failed":  # only a value that the machine does not take makes the next one worth a try
                break
        return outcome

    def _intent(self, step: str) -> OpenIntent:
        return next(intent for intent in self._journal.open_intents() if intent.step == step)

    def _revert_one(self, intent: OpenIntent) -> Outcome:
        if intent.boot_id != self._boot_id:  # these settings live in the kernel and went with it
            self._note("reverted", intent.step, how="reboot")
            return Outcome(intent.step, "system", "reverted", "", "the machine was restarted since")
        current = self._script(intent.step, "status")
        if current.value == intent.old:
            return self._reverted(intent, "already", current.value)
        if not explained(current.value, (intent.old, *intent.ours)):
            detail = f"now {current.value}, neither the old {intent.old} nor one of ours: somebody else changed it"
            self._note("conflict", intent.step, now=current.value, old=intent.old, ours=intent.ours)
            return Outcome(intent.step, "system", "conflict", current.value, detail)
        report = self._script(intent.step, "revert", intent.old)
        if report.state == "reverted" and report.value == intent.old:
            return self._reverted(intent, "restored", report.value)
        # The intent stays open: the next start tries again.
        return Outcome(
            intent.step, "system", _state(report.state), report.value, report.detail or f"wanted {intent.old}"
        )

    def _reverted(self, intent: OpenIntent, how: str, value: str) -> Outcome:
        left = {path: now for path, now in _touched(tuple(intent.touched)).items() if now != intent.touched[path]}
        self._note("reverted", intent.step, how=how, value=value, left=left)
        detail = how + (f"; also changed and not put back: {json.dumps(left)}" if left else "")
        return Outcome(intent.step, "system", "reverted", value, detail)

    def _script(self, path: str, verb: scripts.Verb, value: str = "") -> scripts.Report:
        return self._call(path, verb, value, folder=self._folder, keep=(self._lock.fileno(),))

    def _note(self, op: Any, step: str, **fields: Any) -> None:
        self._journal.append(op, step, **fields)
        if self._mirror:
            self._mirror.append(op, step, **fields)


def _state(state: str) -> State:
    known: dict[str, State] = {"unsupported": "unsupported", "needs_privilege": "needs_privilege", "differs": "differs"}
    return known.get(state, "conflict" if state == "conflict" else "failed")


def _touched(paths: tuple[str, ...]) -> dict[str, str]:
    """What the step changes along with it, as it is now; a path that cannot be read has the value ''."""
    root = os.environ.get("TUNE_ROOT", "")
    found = {}
    for path in paths:
        try:
            found[path] = Path(root + path).read_text(encoding="utf-8").strip()
        except OSError:
            found[path] = ""
    return found
