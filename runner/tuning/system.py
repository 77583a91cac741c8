"""System scope: settings of the whole machine, set under the journal, verified, and put back in reverse order.

Order for one step: read the old value, write and sync the intent, set, read back, note it. Whatever is killed in
between, the guard, or `recover` of the next command, finds the intent and puts the old value back, unless somebody else
has changed the setting meanwhile: then hands off, and exit 5. Runs that want the same steps share them; the last one
to go puts them back. Called by scopes.py, by the guard and by the `tuning` command.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runner import layout
from runner.errors import BusyError, TuningError, UsageError
from runner.store.locks import FileLock
from runner.tuning import script as scripts
from runner.tuning.holders import Holder, Holders
from runner.tuning.journal import OpenIntent, TuningJournal
from runner.tuning.outcome import Outcome, State
from runner.tuning.values import explained

Call = Callable[..., scripts.Report]

LOCK_WAIT_S = 10.0
"""How long a change waits for another's: the lock is held while steps are set or put back, and by a killed runner's
script until it ends."""
LOCK_STEP_S = 0.002


def default_journal() -> Path:
    """In the user's state folder: the next command must find it whatever folder the killed run had."""
    return layout.user_state_dir() / "tuning.jsonl"


class SystemScope:
    """One run's hold on the machine's settings. `mirror` is the run's own tuning.jsonl, a copy for the reader.

    `before_first` is called once, when the first intent is about to be written or shared: it starts the guard.
    """

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
        before_first: Callable[[], None] | None = None,
    ) -> None:
        self._run, self._boot_id, self._system = run, boot_id, system
        self._journal = TuningJournal(journal or default_journal())
        self._mirror = TuningJournal(mirror) if mirror else None
        self._lock = FileLock(lock or layout.tuning_lock_file())
        self._holders = Holders(self._lock.path.with_suffix(".d"), run)
        self._call = call
        self._folder = scripts_folder
        self._before_first = before_first

    # ---- what callers do ----

    def recover(self) -> list[Outcome]:
        """Puts back what nobody alive holds and nobody keeps; what lives is left alone. BusyError on a held lock."""
        with self._changing():
            return [] if self._holders.living() else self._revert()

    def apply(self, steps: Mapping[str, str], keep: bool = False) -> list[Outcome]:
        """`steps`: name or `name:item` -> wanted value, or alternatives `a|b`: the first taken is used.

        First puts back what a killed run left. BusyError when a living run holds other steps, or when a kept setting
        is wanted otherwise. `keep`: they stay set when this process ends, until `runner tuning revert`.
        """
        steps = self._checked(steps)
        with self._changing():
            living = self._holders.living()
            self._refuse_others(living, steps)
            outcomes = [] if living else self._revert()
            self._refuse_kept(steps)
            self._holders.hold(steps)
            known = scripts.known_scripts(self._folder)
            for step, wanted in steps.items():
                system = known[step.partition(":")[0]][1]
                if system == self._system:
                    outcomes.append(self._apply_one(step, wanted.split("|")))
                else:
                    outcomes.append(Outcome(step, "system", "unsupported", "", f"it is for {system}"))
            if living:  # its first holder may die and leave the settings to us
                self._once_before()
            if keep:
                for intent in self._journal.open_intents():
                    self._note("kept", intent.step, run=self._run)
                self._holders.leave()
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

    def close(self) -> list[Outcome]:
        """Gives our hold up; the last holder puts everything back. TuningError (after that) when something stays."""
        with self._changing():
            self._holders.leave()
            outcomes = [] if self._holders.living() else self._revert()
        left = [outcome for outcome in outcomes if outcome.state != "reverted"]
        if left:
            listed = "; ".join(f"{o.step}: {o.detail}" for o in left)
            raise TuningError(f"tuning could not be put back: {listed}", "runner tuning status shows what is set now")
        return outcomes

    def revert_everything(self) -> list[Outcome]:
        """What is kept, too. BusyError while a run lives with the settings."""
        with self._changing():
            if living := self._holders.living():
                raise BusyError(f"system tuning is in use by {_named(living)}", "wait for it; it puts them back itself")
            return self._revert(kept=True)

    def holders(self) -> list[Holder]:
        """Runs that live with what is set now."""
        with self._changing():
            return self._holders.living()

    def release(self) -> None:
        """What the kernel does for a killed process: our hold is free, the settings are as they are."""
        self._holders.drop()

    # ---- the rules ----

    @contextmanager
    def _changing(self) -> Iterator[None]:
        deadline = time.monotonic() + LOCK_WAIT_S
        while not self._lock.acquire(f"system tuning of run {self._run}"):
            if time.monotonic() > deadline:
                raise BusyError(
                    f"system tuning is being changed by {self._lock.holder()} for more than {LOCK_WAIT_S:.0f} s",
                    "wait for it, or run without system scope: 'tuning.scopes=[process]'",
                )
            time.sleep(LOCK_STEP_S)
        try:
            yield
        finally:
            self._lock.release()

    def _checked(self, steps: Mapping[str, str]) -> dict[str, str]:
        known = scripts.known_scripts(self._folder)
        for step in steps:
            if step.partition(":")[0] not in known:
                problem = f"tuning.steps names '{step}', which no script in tuning/ is"
                raise UsageError(problem, f"known: {', '.join(sorted(known))}")
        return dict(steps)

    def _refuse_others(self, living: list[Holder], steps: dict[str, str]) -> None:
        if others := [holder for holder in living if holder.steps != steps]:
            raise BusyError(
                f"system tuning is in use by {_named(others)}, which set other values",
                "wait for it, use the same tuning group, or run without system scope: 'tuning.scopes=[process]'",
            )

    def _refuse_kept(self, steps: dict[str, str]) -> None:
        for intent in self._journal.open_intents():
            wanted = steps.get(intent.step)
            if intent.kept and wanted is not None and not set(wanted.split("|")) & set(intent.ours):
                raise BusyError(
                    f"{intent.step} was set to {intent.ours[0]} by `runner tuning apply`, this run wants {wanted}",
                    "runner tuning revert, or leave the step out of tuning.steps",
                )

    def _apply_one(self, step: str, wanted: list[str]) -> Outcome:
        before = self._script(step, "status")
        if before.state != "ok":
            return Outcome(step, "system", _state(before.state), before.value, before.detail)
        step = before.step  # `cgroup:own` is a path from here on: another process has another own
        outcome = Outcome(step, "system", "failed", before.value, "no value wanted")
        for value in wanted:
            if self._script(step, "verify", value).state == "ok":
                return Outcome(step, "system", "already", before.value, f"{value} was set before")
            self._once_before()
            self._note(
                "intent", step, old=before.value, new=value, boot_id=self._boot_id, run=self._run, pid=os.getpid(),
                time=time.time(), touched=_touched(before.touches), sides=before.sides, lasting=before.lasting,
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

    def _once_before(self) -> None:
        if self._before_first is not None:
            self._before_first()
            self._before_first = None

    def _intent(self, step: str) -> OpenIntent:
        return next(intent for intent in self._journal.open_intents() if intent.step == step)

    def _revert(self, kept: bool = False) -> list[Outcome]:
        """Closes open intents in reverse order: put back, already so, gone with a restart, or conflict. One that fails
        stays open for the next start and does not keep the others from going back.

        Synced once, behind the last: a start that finds an intent whose value is back already has only to look.
        """
        outcomes = []
        for intent in reversed(self._journal.open_intents()):
            if intent.kept and not kept and intent.boot_id == self._boot_id:
                continue
            try:
                outcomes.append(self._revert_one(intent))
            except TuningError as error:
                outcomes.append(Outcome(intent.step, "system", "failed", "", error.problem))
        if outcomes:
            self._journal.sync()
        self._journal.close_file()
        return outcomes

    def _revert_one(self, intent: OpenIntent) -> Outcome:
        if intent.boot_id != self._boot_id and not intent.lasting:  # it lived in the kernel and went with it
            self._note("reverted", intent.step, how="reboot")
            return Outcome(intent.step, "system", "reverted", "", "the machine was restarted since")
        current = self._script(intent.step, "status")
        if current.value == intent.old:
            return self._reverted(intent, "already", current.value)
        loose = () if intent.applied else intent.sides
        if not explained(current.value, (intent.old, *intent.ours), loose):
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

    def _script(self, step: str, verb: scripts.Verb, value: str = "") -> scripts.Report:
        keep = (self._lock.fileno(),) if self._lock.held else ()
        return self._call(step, verb, value, folder=self._folder, keep=keep)

    def _note(self, op: Any, step: str, **fields: Any) -> None:
        self._journal.append(op, step, sync=op not in ("reverted", "conflict"), **fields)
        if self._mirror:
            self._mirror.append(op, step, sync=False, **fields)


def _named(holders: list[Holder]) -> str:
    return ", ".join(str(holder) for holder in holders)


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
