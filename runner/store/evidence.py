"""The evidence file of a tuning plan: every pair that was ever measured, kept, and whether it still holds here.

Format: docs/tuning-evidence.md. Appends and reads records; measures nothing and judges nothing (prove does). Called by
prove and, for `tuning.keep=proven`, by run.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runner.errors import UsageError
from runner.store.files import full_sync, storage, sync_folder

VERSION: Final = 1
FOLDER: Final = "evidence"


def plan_id(parts: Mapping[str, Any]) -> str:
    """16 hex digits over what two sittings must have in common."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """One plan's file, opened anew for each record: a crash leaves at most a torn last line."""

    path: Path

    def append(self, op: str, **fields: Any) -> None:
        """One line, on disk when this returns. StorageError."""
        body = json.dumps({"op": op, **fields}, ensure_ascii=False)
        line = f'{body[:-1]}, "crc": "{zlib.crc32(body.encode()):08x}"}}\n'.encode()
        with storage(f"cannot write {self.path}"):
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

    def records(self) -> list[dict[str, Any]]:
        """Whole records in order, none when there is no file. UsageError for a file of a newer version."""
        with storage(f"cannot read {self.path}"):
            raw = self.path.read_bytes() if self.path.exists() else b""
        found = list(_whole(raw))
        version = found[0].get("v") if found else VERSION
        if not isinstance(version, int) or version > VERSION:
            raise UsageError(
                f"{self.path} has version {version}, this runner reads up to {VERSION}",
                "use the runner that wrote it, or move the file away to measure anew",
            )
        return found


def _whole(raw: bytes) -> Iterator[dict[str, Any]]:
    for line in raw.split(b"\n"):
        body, comma, crc = line.rpartition(b', "crc": "')
        body += b"}"
        if comma and crc == f'{zlib.crc32(body):08x}"}}'.encode():
            yield json.loads(body)


# ---- what still holds ----


@dataclass(frozen=True, slots=True)
class Proven:
    """Overrides (KEY, VALUE) of arms that were judged `helps` on live evidence, with the file that says so."""

    settings: dict[tuple[str, str], Path]
    expired: dict[tuple[str, str], str]
    """Judged `helps` once, and why that no longer counts."""


def setting_of(override: str) -> tuple[str, str]:
    """`+tuning.environment.X='a=b'` is ("tuning.environment.X", "a=b")."""
    key, _, value = override.lstrip("+").partition("=")
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return key, value


def differences(recorded: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Facts that are not what they were; empty while evidence is live."""
    keys = [*recorded, *(key for key in here if key not in recorded)]
    return [
        f"{key} is {here.get(key)}, it was {recorded.get(key)}" for key in keys if recorded.get(key) != here.get(key)
    ]


def proven(folder: Path, here: Mapping[str, Any]) -> Proven:
    """What every evidence file of `folder` says about a machine and a model with the facts `here`. The last verdict of
    a step counts; live evidence counts before expired."""
    settings: dict[tuple[str, str], Path] = {}
    expired: dict[tuple[str, str], str] = {}
    for path in sorted(folder.glob("*.jsonl")):
        records = EvidenceFile(path).records()
        if not records or records[0].get("op") != "plan":
            continue
        changed = differences(records[0]["live"], here)
        last = {record["step"]: record["verdict"] for record in records if record["op"] == "verdict"}
        for step in records[0]["steps"]:
            if last.get(step["name"]) != "helps":
                continue
            for setting in map(setting_of, step["b"]):
                if changed:
                    expired[setting] = "; ".join(changed)
                else:
                    settings[setting] = path
    return Proven(settings, {setting: why for setting, why in expired.items() if setting not in settings})
