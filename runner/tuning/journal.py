"""The write-ahead journal of system-wide settings, `tuning.jsonl`: the old value is on disk before the new one is set.

One JSON object a line, each with a CRC of its own: `intent` (synced before the write), `applied`, `verified`,
`reverted`, `conflict`, `kept`. A torn last line is passed over and never glued to the next. It does not touch a setting
(system.py does) and takes no lock (its caller holds it). Format: docs/tuning-system.md.
"""

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from runner.store.files import full_sync, storage, sync_folder

VERSION = 1
Op = Literal["intent", "applied", "verified", "kept", "reverted", "conflict"]


@dataclass(frozen=True, slots=True)
class OpenIntent:
    """A step (`thp`, `sysctl:vm.swappiness`) whose old value is not back yet.

    `old` is what the FIRST intent found; `ours` is all we ever set. `applied`: the last value was read back, so that
    what the kernel made of `sides` is known. `lasting`: it outlives a restart. `kept`: `runner tuning apply` set it,
    and only `runner tuning revert` puts it back.
    """

    step: str
    old: str
    ours: tuple[str, ...]
    touched: dict[str, str]
    boot_id: str
    run: str
    sides: tuple[str, ...] = ()
    lasting: bool = False
    applied: bool = False
    kept: bool = False


class TuningJournal:
    """The file, opened anew for each record: there are a handful in a run, and a crash leaves nothing half open."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, op: Op, step: str, *, sync: bool = True, **fields: Any) -> None:
        """Writes one line and syncs it (StorageError); returns only when it is on disk.

        `sync=False` is for a copy, and for records behind which `sync` is called.
        """
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
                if sync:
                    full_sync(fd)
            finally:
                os.close(fd)
            if fresh and sync:
                sync_folder(self.path.parent)

    def sync(self) -> None:
        """What was appended is on disk when this returns."""
        with storage(f"cannot sync the tuning journal {self.path}"):
            if self.path.exists():
                fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    full_sync(fd)
                finally:
                    os.close(fd)

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
                found[step] = _with_intent(found.get(step), entry)
            elif entry["op"] == "applied" and step in found:
                known = found[step]
                found[step] = replace(known, ours=(*known.ours, entry["value"]), applied=True)
            elif entry["op"] == "kept" and step in found:
                found[step] = replace(found[step], kept=True)
        return list(found.values())

    def close_file(self) -> None:
        """When nothing is open the file becomes `.last`, so that it never grows and the last story stays readable."""
        if self.path.exists() and not self.open_intents():
            with storage(f"cannot rename the tuning journal {self.path}"):
                self.path.rename(self.path.with_suffix(".last.jsonl"))
                sync_folder(self.path.parent)


def _with_intent(first: OpenIntent | None, entry: dict[str, Any]) -> OpenIntent:
    if first is not None:
        return replace(first, ours=(*first.ours, entry["new"]), run=entry["run"], applied=False)
    return OpenIntent(
        step=entry["step"], old=entry["old"], ours=(entry["new"],), touched=entry["touched"],
        boot_id=entry["boot_id"], run=entry["run"], sides=tuple(entry.get("sides", ())),
        lasting=entry.get("lasting", False),
    )  # fmt: skip
