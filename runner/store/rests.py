"""Which other runs a run's results rest on: the `reused` records of its journal, read frame by frame (docs/journal.md).

Reads the journal itself and no index, since whoever asks is about to delete. Looks at the headers of frames alone,
and at the bodies of `reused`. Called by gc.
"""

from __future__ import annotations

import json
import mmap
import struct
from pathlib import Path
from typing import Final

from runner.errors import StorageError
from runner.store.files import storage

_HEADER: Final = 16
_FRAME: Final = struct.Struct("<4sIIBBHQ")
_MARK: Final = b"\xf5\x4a\x52\xfa"
_REUSED: Final = 6


def rests_on(journal: Path) -> set[str]:
    """Folders of other runs, as the journal names them (relative to outputs). StorageError for a journal that is
    damaged
    before its torn tail: what it refers to is not known then."""
    found: set[str] = set()
    with storage(f"cannot read {journal}"), journal.open("rb") as file:
        size = file.seek(0, 2)
        if size <= _HEADER:
            return found
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = _HEADER
            while at + _FRAME.size <= size:
                mark, length, _, kind, _, _, _ = _FRAME.unpack_from(data, at)
                end = at + _FRAME.size + length
                if mark != _MARK or end > size:
                    if data.find(_MARK, at + 1) >= 0:
                        raise StorageError(f"{journal}: damaged at byte {at}", "restore it, or remove the run by hand")
                    break  # a torn tail
                if kind == _REUSED:
                    try:
                        found.add(str(json.loads(data[at + _FRAME.size : end])["run"]))
                    except (ValueError, KeyError, TypeError) as error:
                        problem = f"{journal}: damaged at byte {at}"
                        raise StorageError(problem, "restore it, or remove the run by hand") from error
                at = end
    return found
