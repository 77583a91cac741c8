"""The cache folder: where it is, how a folder or file appears in it at once, and how two runners do not make it twice.

Does not know what is stored. Used by the other modules of this room.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runner import layout
from runner.errors import StorageError


def cache_dir() -> Path:
    """$RUNNER_CACHE (absolute) or the user's cache folder."""
    value = os.environ.get("RUNNER_CACHE", "")
    return Path(value) if Path(value).is_absolute() else layout.user_cache_dir()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits for the lock file `path`. The kernel frees it when the holder dies; the file itself stays."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise StorageError(
            f"cannot write in the cache folder {path.parent}: {error.strerror}",
            "free it, or set RUNNER_CACHE to a folder that can be written",
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def appearing_folder(target: Path) -> Iterator[Path]:
    """A temporary sibling to fill; renamed to `target` when the block ends well, removed when it does not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        temporary.rename(target)
        sync_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def read_json(path: Path) -> dict[str, Any] | None:
    """None when the file is absent or is no JSON object: what is cached can be made again."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, dict) else None


def sync_folder(path: Path) -> None:
    """A rename survives a power cut only when its folder is synced."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
