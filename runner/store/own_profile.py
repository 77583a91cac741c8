"""Writes a user's own profile: group files first, the profile that names them last, none of them over another file.

Decides nothing about their content (config/starter does). Called by the profiles and tune commands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from runner.errors import UsageError
from runner.store.files import storage, write_bytes

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")


def check_name(name: str, taken: Callable[[str], str | None]) -> None:
    """`taken`: where a profile of that name comes from, or None. UsageError for a name that cannot be used."""
    if NAME.fullmatch(name) is None:
        raise UsageError(f"'{name}' is no name for a profile", "letters, digits, '_', '-' and '.', at most 60")
    if (source := taken(name)) is not None:
        raise UsageError(
            f"there is a profile '{name}' already ({source})", "choose another name: nothing is overwritten"
        )


def write_profile(root: Path, name: str, files: Mapping[str, str], check: Callable[[], None]) -> list[Path]:
    """`files`: group -> text, each to `root`/GROUP/NAME.yaml. `check` composes what was written: when it raises, all of
    it is removed again. UsageError when a file is there already."""
    order = sorted(files, key=lambda group: group == "profile")
    paths = [root / group / f"{name}.yaml" for group in order]
    there = [str(path) for path in paths if path.exists()]
    if there:
        raise UsageError(f"{there[0]} is there already", "choose another name: nothing is overwritten")
    written: list[Path] = []
    try:
        for group, path in zip(order, paths, strict=True):
            with storage(f"cannot make the folder {path.parent}"):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, files[group].encode())
            written.append(path)
        check()
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    return written
