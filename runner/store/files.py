"""Small files written whole or not at all, and the errors of the disk turned into exit 74.

Does not know what is in the files. Called by the rest of store and by run.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runner.errors import StorageError


@contextmanager
def storage(action: str) -> Iterator[None]:
    """Any OSError inside becomes a StorageError that says what was being done; nothing else is caught."""
    try:
        yield
    except OSError as error:
        raise StorageError.of(action, error) from error


def sync_folder(folder: Path) -> None:
    """Makes names in `folder` durable. macOS has no fsync for folders that means anything, and needs none (APFS)."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def full_sync(fd: int) -> None:
    """fsync that survives power loss: on macOS only F_FULLFSYNC empties the drive's own cache (man fsync there)."""
    if sys.platform == "darwin":
        import fcntl

        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fsync(fd)


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces `path` by `data`: after a crash the old or the new file is there, never a part. StorageError."""
    temporary = path.with_name(f".{path.name}.tmp")
    with storage(f"cannot write {path}"):
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            full_sync(fd)
        finally:
            os.close(fd)
        temporary.rename(path)
        sync_folder(path.parent)


def write_json(path: Path, value: object) -> None:
    """`value` as indented JSON in key order of the caller, written whole."""
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n").encode())


def read_json(path: Path) -> dict[str, object]:
    """The object in `path`. StorageError when it cannot be read or is not a JSON object."""
    with storage(f"cannot read {path}"):
        text = path.read_bytes()
    try:
        value = json.loads(text)
    except ValueError as error:
        raise StorageError(f"{path} is not JSON: {error}", "the file was changed from outside; restore it") from error
    if not isinstance(value, dict):
        raise StorageError(f"{path} holds a {type(value).__name__}, not an object", "restore the file")
    return value


def replace_link(link: Path, target: Path) -> None:
    """Points the symbolic link `link` at `target`, relative and atomically. A real folder of that name is refused."""
    with storage(f"cannot point {link} at {target}"):
        if link.exists() and not link.is_symlink():
            raise StorageError(
                f"{link} is a real file or folder, not our link", f"move {link} away; `latest` is managed by runner"
            )
        temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(os.path.relpath(target, link.parent))
        temporary.rename(link)
        sync_folder(link.parent)
