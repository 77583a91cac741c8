"""One document of a run by its name: the index says where its line stands, the line is read from results.jsonl.

Called by show.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runner.display import visible
from runner.errors import StorageError, UsageError
from runner.index import taking
from runner.index.catch_up import Index
from runner.layout import RunFolder
from runner.store.files import storage


def find(outputs: Path, run: RunFolder, name: str) -> dict[str, Any]:
    """The line of the document whose source is `name` or ends with it, or whose input_id begins so. UsageError when
    none
    or several are meant."""
    found = _offsets(outputs, run, name)
    if not found:
        raise UsageError(
            f"no document {visible(name)!r} in {run.root}",
            "give its source as in results.jsonl, the end of it, or the start of its input_id; "
            'runner query "SELECT source FROM documents" lists them',
        )
    if len(found) > 1:
        sources = ", ".join(visible(source) for source, _, _ in found[:5])
        raise UsageError(f"{visible(name)!r} means {len(found)} documents: {sources}", "give more of its source or id")
    _, offset, size = found[0]
    with storage(f"cannot read {run.results}"), run.results.open("rb") as lines:
        lines.seek(offset)
        raw = lines.read(size)
    try:
        line = json.loads(raw)
    except ValueError as error:
        raise StorageError(f"{run.results} changed while it was read", "ask again") from error
    assert isinstance(line, dict)
    return line


def _offsets(outputs: Path, run: RunFolder, name: str) -> list[tuple[str, int, int]]:
    root = outputs.absolute()
    if not run.root.is_relative_to(root.resolve()):
        return _scanned(run, name)
    with Index(root.resolve()) as index:
        index.take_documents(run.root)
        number = taking.number_of(index.name_of(run.root))
        select = "SELECT source, offset, bytes FROM documents WHERE run = ? AND "
        exact: list[tuple[str, int, int]] = index.db.execute(select + "source = ?", (number, name)).fetchall()
        if exact:
            return exact
        return index.db.execute(
            select + "(substr(source, -length(?2)) = ?2 OR substr(input_id, 1, length(?2)) = ?2) LIMIT 100",
            (number, name),
        ).fetchall()


def _scanned(run: RunFolder, name: str) -> list[tuple[str, int, int]]:
    """A run outside of the outputs folder is in no index."""
    rows = [(row[3], row[22], row[23], row[2]) for row in taking.documents(run, 0)]
    exact = [row[:3] for row in rows if row[0] == name]
    return exact or [row[:3] for row in rows if row[0].endswith(name) or row[3].startswith(name)]
