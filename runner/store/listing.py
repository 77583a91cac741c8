"""The runs of an outputs folder, newest first, as `ls` and `show` print them.

Reads run.json and summary.json only; never the journal, and never imports numpy or the native core. A run that says
`running` while nobody holds its lock has crashed: that is exact, since the kernel frees the lock with its holder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runner.errors import RunnerError
from runner.layout import RunFolder
from runner.store.files import read_json
from runner.store.folder import RunIdentity, read_identity
from runner.store.locks import is_held


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. `state` is run.json's status, or `crashed`, or `unreadable` with the reason in `problem`."""

    folder: str
    state: str
    identity: RunIdentity | None
    summary: dict[str, object] | None
    problem: str = ""

    def to_json(self) -> dict[str, object]:
        """What `--json` prints for this run."""
        identity = self.identity
        return {
            "folder": self.folder,
            "state": self.state,
            "problem": self.problem,
            "run_id": identity.run_id if identity else None,
            "job": identity.job if identity else None,
            "profile": identity.profile if identity else None,
            "model": identity.model if identity else None,
            "started_at": identity.started_at if identity else None,
            "ended_at": identity.ended_at if identity else None,
            "exit_code": identity.exit_code if identity else None,
            "incarnation": identity.incarnation if identity else None,
            "summary": self.summary,
        }


def state_of(folder: RunFolder, identity: RunIdentity) -> str:
    """run.json's status, with `running` checked against the lock."""
    if identity.status == "running" and not is_held(folder.lock):
        return "crashed"
    return identity.status


def row(folder: RunFolder) -> RunRow:
    """One run as a row; a damaged run.json gives an `unreadable` row, so that one bad folder hides no other."""
    try:
        identity = read_identity(folder)
        summary = read_json(folder.summary) if folder.summary.is_file() else None
    except RunnerError as error:
        return RunRow(str(folder.root), "unreadable", None, None, error.problem)
    return RunRow(str(folder.root), state_of(folder, identity), identity, summary, identity.problem)


def runs(outputs: Path, limit: int | None = None) -> list[RunRow]:
    """Newest first. Folder names begin with date and time, so their order is the order of starting."""
    found = sorted((outputs / "runs").glob("*/*/run.json"), key=lambda path: path.parts[-3:-1], reverse=True)
    return [row(RunFolder(path.parent.resolve())) for path in found[:limit]]
