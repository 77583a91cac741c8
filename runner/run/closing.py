"""The last words of a run, however it ended: run.json after a failure, the timeline and the report.

Neither hides the failure that came before. Called by run.
"""

from __future__ import annotations

import sys

from runner import log, report, timeline
from runner.config.schema import RunnerConfig
from runner.errors import RunnerError, StorageError
from runner.layout import RunFolder
from runner.store import folder

_log = log.get("run")


def failed(run: RunFolder, identity: folder.RunIdentity, error: RunnerError) -> None:
    """run.json says failed. On a full disk even that may fail: then it keeps saying `running`, which without the lock's
    holder reads as crashed, and the first error is the one that is shown."""
    _log.error("storage.failed" if isinstance(error, StorageError) else "run.failed", problem=error.problem)
    try:
        folder.close_identity(run, identity, "failed", error.exit_code, error.problem)
    except StorageError as second:
        _say(f"run.json could not be written either: {second.problem}")


def draw(run: RunFolder, config: RunnerConfig) -> None:
    """trace.json and report.html. Both are for people and can be made again: a fault of theirs is said and changes
    nothing."""
    _timeline(run)
    _report(run, config)


def _timeline(run: RunFolder) -> None:
    try:
        timeline.write(run)
    except Exception as error:  # noqa: BLE001 - a bug in drawing must not turn a finished run into a failed one
        problem = f"{type(error).__name__}: {error}"
        _log.warning("timeline.failed", problem=problem)
        _say(f"trace.json could not be written: {problem}; `runner show --trace {run.root}` tries again")


def _report(run: RunFolder, config: RunnerConfig) -> None:
    """report.html, unless `output.report` is off. It is for people and can be drawn again, so that no fault of it
    changes how the run ended: it is said, and logged."""
    if not config.output.report:
        return
    said, problem = report.attempt(lambda: report.write(run), run.root)
    if problem:
        _log.warning("report.failed", problem=problem)
    _say(said)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
