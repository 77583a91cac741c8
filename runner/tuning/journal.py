"""The write-ahead journal of system-wide settings, `tuning.jsonl`: the old value is on disk before the new one is set.

One JSON object a line, each with a CRC of its own: `intent` (synced before the write), `applied`, `verified`,
`reverted`, `conflict`. A torn last line is passed over and never glued to the next. It does not touch a setting
(system.py does) and takes no lock (its caller holds it). Format: docs/architecture.md.
"""

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runner.store.files import full_sync, storage, sync_folder

VERSION = 1
Op = Literal["intent", "applied", "verified", "reverted", "conflict"]


@dataclass(frozen=True, slots=True)
class OpenIntent:
    """A step (its script's path below tuning/) whose old value is not back yet.

    `old` is what the FIRST intent found; `ours` is all we ever set.
    """

    step: str
    old: str
    ours: tuple[str, ...]
    touched: dict[str, str]
    boot_id: str
    run: str


class TuningJournal:
    """The file, opened anew for each record: there are a handful in a run, and a crash leaves nothing half open."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, op: Op, step: str, **fields: Any) -> None:
        """Writes one line and syncs it (StorageError); returns only when it is on disk."""
        body = json.dumps({"v": VERSION, "op": op, "step": step, **fields}, sort_keys=True)
        line = f'{body[:-1]}, "crc": "{zlib.crc32(body.encode()):08x}"}}\n'.encode()
        with storage(f"cannot write the tuning journal {self.path}"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = not self.path.exists()
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(fd).st_size
                if size and os.pread(fd, 1, size - 1) != b"\n":
                    line = b"\n" + line  # after a torn line: glued to it, this one would be lost too
                view = memoryview(line)
                while view:
                    view = view[os.write(fd, view) :]
                full_sync(fd)
            finally:
                os.close(fd)
            if fresh:
                sync_folder(self.path.parent)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Whole records in order; a line whose CRC does not fit is a torn one and is passed over."""
        with storage(f"cannot read the tuning journal {self.path}"):
            raw = self.path.read_bytes() if self.path.exists() else b""
        for line in raw.split(b"\n"):
            body, comma, crc = line.rpartition(b', "crc": "')
            body += b"}"
            if comma and crc == f'{zlib.crc32(body):08x}"}}'.encode():
                yield json.loads(body)

    def open_intents(self) -> list[OpenIntent]:
        """In the order of their first intent. A tuned value is never learnt as the original."""
        found: dict[str, OpenIntent] = {}
        for entry in self.entries():
            step = entry["step"]
            if entry["op"] in ("reverted", "conflict"):
                found.pop(step, None)
            elif entry["op"] == "intent":
                first = found.get(step)
                found[step] = OpenIntent(
                    step=step,
                    old=first.old if first else entry["old"],
                    ours=(*(first.ours if first else ()), entry["new"]),
                    touched=first.touched if first else entry["touched"],
                    boot_id=first.boot_id if first else entry["boot_id"],
                    run=entry["run"],
                )
            elif entry["op"] == "applied" and step in found:
                known = found[step]
                found[step] = OpenIntent(
                    known.step,
                    known.old,
                    (*known.ours, entry["value"]),
                    known.touched,
                    known.boot_id,
                    known.run,
                )
        return list(found.values())

    def close_file(self) -> None:
        """When nothing is open the file becomes `.last`, so that it never grows and the last story stays readable."""
        if self.path.exists() and not self.open_intents():
            with storage(f"cannot rename the tuning journal {self.path}"):
                self.path.rename(self.path.with_suffix(".last.jsonl"))
                sync_folder(self.path.parent)
