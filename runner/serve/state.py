"""The server's folder: uploaded files and batches, each change on disk before it is answered.

Ids are made here and checked before they become a path; a client's file name is only text. Not for several processes
(the folder is locked), but for several threads. Called by dispatch and app. Format: docs/serve.md.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from pathlib import Path
from typing import Any, Final

from runner.errors import BusyError, StorageError
from runner.store.files import read_json, storage, sync_folder, write_bytes, write_json
from runner.store.locks import FileLock

VERSION: Final = 1
ENDED: Final = ("failed", "completed", "expired", "cancelled")
_ID: Final = re.compile(r"(file-|batch_)[0-9a-f]{8,64}")

Object = dict[str, Any]


class State:
    """Opens the folder and holds its lock until the process ends. BusyError when another server has it."""

    def __init__(self, root: Path) -> None:
        self.root, self.guard = root, threading.RLock()
        with storage(f"cannot create {root}"):
            for name in ("files", "batches"):
                (root / name).mkdir(parents=True, mode=0o700, exist_ok=True)
        self._lock = FileLock(root / "lock")
        if not self._lock.acquire("runner serve"):
            raise BusyError(f"{root} is in use by {self._lock.holder()}", "stop that server, or choose another --state")
        about = root / "serve.json"
        if not about.is_file():
            write_json(about, {"version": VERSION})
        elif read_json(about).get("version") != VERSION:
            raise StorageError(f"{about} is not of version {VERSION}", "use the runner that wrote it")
        self._last = 0
        self._files = self._read("files", "file.json")
        self._batches = self._read("batches", "state.json")

    def _read(self, kind: str, name: str) -> dict[str, Object]:
        """What is whole; a folder without its description is an upload that a kill cut, and goes."""
        found = {}
        for place in sorted((self.root / kind).iterdir()):
            if (place / name).is_file():
                found[place.name] = read_json(place / name)
            elif _ID.fullmatch(place.name):
                shutil.rmtree(place)
        return found

    def _new(self) -> str:
        """Later ids are greater: lists are in their order."""
        self._last = max(self._last + 1, time.time_ns())
        return f"{self._last:016x}{os.urandom(4).hex()}"

    # ---- files ----

    def add_file(self, data: bytes, filename: str, purpose: str, file_id: str | None = None) -> Object:
        """Its object. An id that is given and known already is the same file: it stays."""
        with self.guard:
            file_id = file_id or f"file-{self._new()}"
            if file_id in self._files:
                return self._files[file_id]
            made: Object = {
                "id": file_id, "object": "file", "bytes": len(data), "created_at": int(time.time()),
                "filename": filename[:255], "purpose": purpose, "status": "processed",
            }  # fmt: skip
            place = self.root / "files" / file_id
            with storage(f"cannot create {place}"):
                place.mkdir(mode=0o700, exist_ok=True)
                sync_folder(place.parent)
            write_bytes(place / "content", data)
            write_json(place / "file.json", made)
            self._files[file_id] = made
            return made

    def file(self, file_id: str) -> Object | None:
        """None = no such file."""
        return self._files.get(file_id)

    def files(self) -> list[Object]:
        """Newest first."""
        with self.guard:
            return [self._files[each] for each in sorted(self._files, reverse=True)]

    def content(self, file_id: str) -> Path:
        """Where its bytes are; the id is a known one."""
        assert file_id in self._files, file_id
        return self.root / "files" / file_id / "content"

    def remove_file(self, file_id: str) -> None:
        """A batch that reads it has its own copy once it is begun."""
        with self.guard, storage(f"cannot remove {file_id}"):
            del self._files[file_id]
            place = self.root / "files" / file_id
            (place / "file.json").unlink()  # without it the rest goes at the next start
            shutil.rmtree(place)

    # ---- batches ----

    def add_batch(self, file_id: str, endpoint: str, window: str, metadata: Any) -> Object:
        """Validated later, by dispatch, as OpenAI does."""
        with self.guard:
            batch_id = f"batch_{self._new()}"
            made: Object = {
                "id": batch_id, "object": "batch", "endpoint": endpoint, "errors": None, "input_file_id": file_id,
                "completion_window": window, "status": "validating", "output_file_id": None, "error_file_id": None,
                "created_at": int(time.time()), "in_progress_at": None, "expires_at": None, "finalizing_at": None,
                "completed_at": None, "failed_at": None, "expired_at": None, "cancelling_at": None,
                "cancelled_at": None, "request_counts": {"total": 0, "completed": 0, "failed": 0}, "metadata": metadata,
            }  # fmt: skip
            place = self.batch_folder(batch_id)
            with storage(f"cannot create {place}"):
                place.mkdir(mode=0o700)
                sync_folder(place.parent)
            write_json(place / "state.json", made)
            self._batches[batch_id] = made
            return made

    def batch_folder(self, batch_id: str) -> Path:
        """Of a known batch."""
        assert _ID.fullmatch(batch_id), batch_id
        return self.root / "batches" / batch_id

    def batch(self, batch_id: str) -> Object | None:
        """None = no such batch."""
        return self._batches.get(batch_id)

    def batches(self) -> list[Object]:
        """Newest first."""
        with self.guard:
            return [self._batches[each] for each in sorted(self._batches, reverse=True)]

    def change(self, batch_id: str, **changes: Any) -> Object:
        """On disk, then in memory. A status comes with its time."""
        with self.guard:
            now = {f"{changes['status']}_at": int(time.time())} if "status" in changes else {}
            made = {**self._batches[batch_id], **now, **changes}
            write_json(self.batch_folder(batch_id) / "state.json", made)
            self._batches[batch_id] = made
            return made
