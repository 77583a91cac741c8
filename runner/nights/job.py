"""The results of a job that no schedule runs: its runs in an outputs folder take the place of nights, one each.

Called by the results command, which asks for a schedule of that name first.
"""

from __future__ import annotations

from pathlib import Path

from runner.layout import RunFolder
from runner.nights.view import Source, source_of
from runner.store import listing


def sources(outputs: Path, job: str) -> list[Source]:
    """The runs of this job, oldest first, counted from 1."""
    rows = [row for row in listing.runs(outputs) if row.identity is not None and row.identity.job == job]
    found = []
    for number, row in enumerate(reversed(rows), 1):
        source = source_of(RunFolder(Path(row.folder)), number)
        if source is not None:
            found.append(source)
    return found
