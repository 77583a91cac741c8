"""The history of comparisons in an outputs folder: one JSON line each. Advisory: the machine was another one each time.

Called by commands/validate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from runner.store import folder
from runner.store.files import full_sync, storage

VERSION: Final = 1


def append(path: Path, entry: Mapping[str, Any]) -> None:
    """One line, synced."""
    folder.make_outputs(path.parent.parent)
    with storage(f"cannot write {path}"):
        path.parent.mkdir(exist_ok=True)
        with path.open("a", encoding="utf-8") as out:
            out.write(json.dumps({"v": VERSION, **entry}) + "\n")
            out.flush()
            full_sync(out.fileno())


def read(path: Path) -> list[dict[str, Any]]:
    """Entries in order; a torn line, and one of another version, is left out."""
    if not path.is_file():
        return []
    found = []
    with storage(f"cannot read {path}"):
        text = path.read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("v") == VERSION:
            found.append(entry)
    return found
