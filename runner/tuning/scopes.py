"""One run's tuning from start to end: what a killed run left is put back, the chosen scopes are set, everything is
undone.

Chooses nothing (the profile does) and sets nothing itself (process.py and system.py do). Called by run, around the
workers.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runner import layout
from runner.config.schema import TuningConfig
from runner.errors import BusyError
from runner.tuning import process, session
from runner.tuning.guarded import Guard
from runner.tuning.outcome import Outcome, require
from runner.tuning.system import SystemScope, default_journal


@dataclass(frozen=True, slots=True)
class Tuned:
    """`environment` goes on top of the workers'; `outcomes` become `setting` records and lines of the summary."""

    environment: dict[str, str]
    outcomes: tuple[Outcome, ...]


def recover(
    run: str, boot_id: str, system: str, *, journal: Path | None = None, lock: Path | None = None
) -> list[Outcome]:
    """Puts back what a killed run left. Nothing to do costs one look at a file; a living holder is left alone."""
    if not (journal or default_journal()).exists():
        return []
    try:
        return SystemScope(run, boot_id, system=system, journal=journal, lock=lock).recover()
    except BusyError:  # somebody is at it, and puts back what is his own
        return []


@contextmanager
def tuned(
    config: TuningConfig,
    inherited: Mapping[str, str],
    *,
    run: str,
    boot_id: str,
    system: str,
    mirror: Path,
    journal: Path | None = None,
    lock: Path | None = None,
) -> Iterator[Tuned]:
    """Sets what `config` asks for and puts it back at the end, whatever ends the block.

    `system` is sys.platform, `mirror` the run's tuning.jsonl. TuningError (exit 5) under `tuning.strict` when a step
    could not be set, and at the end when one could not be put back; BusyError when another run holds system tuning.
    """
    outcomes = recover(run, boot_id, system, journal=journal, lock=lock)
    with ExitStack() as held:
        if "session" in config.scopes:
            outcomes.append(held.enter_context(session.awake(system)))
        yield from _tuned(
            config, inherited, outcomes, run=run, boot_id=boot_id, system=system, mirror=mirror, journal=journal,
            lock=lock,
        )  # fmt: skip


def _tuned(
    config: TuningConfig,
    inherited: Mapping[str, str],
    outcomes: list[Outcome],
    *,
    run: str,
    boot_id: str,
    system: str,
    mirror: Path,
    journal: Path | None,
    lock: Path | None,
) -> Iterator[Tuned]:
    environment: dict[str, str] = {}
    if "process" in config.scopes:
        workers = process.environment(config.environment, inherited, system)
        environment = workers.environment
        outcomes += workers.outcomes
    else:
        outcomes += _left_out(config.environment, "process")
    if "system" not in config.scopes or not config.steps:
        outcomes += _left_out(config.steps, "system")
        require(outcomes, config.strict)
        yield Tuned(environment, tuple(outcomes))
        return
    guard = Guard(run, boot_id, system, journal or default_journal(), lock or layout.tuning_lock_file(), mirror)
    scope = SystemScope(
        run, boot_id, system=system, journal=journal, lock=lock, mirror=mirror, before_first=guard.start
    )
    try:
        outcomes += scope.apply(config.steps)
        require(outcomes, config.strict)
        yield Tuned(environment, tuple(outcomes))
    finally:
        try:
            scope.close()
        finally:
            guard.dismiss()


def _left_out(names: Mapping[str, str], scope: Literal["process", "system"]) -> list[Outcome]:
    return [Outcome(name, scope, "left_out", value, f"tuning.scopes has no {scope}") for name, value in names.items()]
