"""Documents that failed: how often each was tried, when it is tried again, and when it is left alone. Pure, and one
file.

A failure of circumstance (a locked file, too little memory) is tried again by every run anyway and is only listed. A
document that changed, or a job that did, begins anew. Format: docs/schedule.md.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from runner.nights.view import View
from runner.store.files import read_json, write_json

DOCUMENTS_VERSION: Final = 1

# What the core takes over from no earlier run: docs/results.md.
CIRCUMSTANCES: Final = ("unreadable:", "source:", "memory:")


@dataclass(frozen=True, slots=True)
class Failed:
    """One input without a good end. `tries`: on later nights, beside the first. `next_night`: not before."""

    doc_id: str | None
    settings: str
    reason: str
    state: Literal["waiting", "quarantined"]
    since_night: int
    tries: int
    next_night: int
    released: bool = False


def read(path: Path) -> dict[str, Failed]:
    """Source -> what is known; {} when nothing failed so far, or a newer runner wrote the file."""
    if not path.is_file():
        return {}
    data = read_json(path)
    found: Any = data.get("documents") if data.get("version") == DOCUMENTS_VERSION else {}
    return {source: Failed(**entry) for source, entry in found.items()}


def write(path: Path, documents: Mapping[str, Failed]) -> None:
    """The whole file."""
    entries = {source: asdict(entry) for source, entry in sorted(documents.items())}
    write_json(path, {"version": DOCUMENTS_VERSION, "documents": entries})


def due(documents: Mapping[str, Failed], night: int) -> list[str]:
    """Whom this night tries again."""
    return [
        source
        for source, entry in documents.items()
        if entry.state == "waiting" and entry.next_night <= night and not entry.reason.startswith(CIRCUMSTANCES)
    ]


def after(
    before: Mapping[str, Failed], view: View, night: int, tried: Collection[str], retries: int
) -> dict[str, Failed]:
    """What is known when a night has ended: `tried` are those it tried again and came to an end with."""
    found = {}
    for source, row in view.rows.items():
        if row.deleted or row.status not in ("failed", "quarantined"):
            continue
        settings = view.sources[row.of].settings
        old = before.get(source)
        if old is None or (old.doc_id, old.settings) != (row.doc_id, settings):
            entry = Failed(row.doc_id, settings, row.reason, "waiting", night, 0, night + 1)
        elif source in tried:
            tries = old.tries + 1
            entry = replace(old, reason=row.reason, tries=tries, next_night=night + 2**tries, released=False)
        else:
            entry = replace(old, reason=row.reason)
        # One that killed its workers is left alone at once: the next night would pay for it again.
        deadly = row.status == "quarantined" and not entry.released
        patience = entry.tries >= retries and not row.reason.startswith(CIRCUMSTANCES)
        if deadly or (patience and not entry.released):
            entry = replace(entry, state="quarantined")
        found[source] = entry
    return found


def release(documents: Mapping[str, Failed], sources: Iterable[str]) -> dict[str, Failed]:
    """Quarantined ones are tried again, beginning with the next night."""
    chosen = set(sources)
    return {
        source: replace(entry, state="waiting", tries=0, next_night=0, released=True) if source in chosen else entry
        for source, entry in documents.items()
    }
