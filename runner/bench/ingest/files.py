"""What is measured: files below the paths by format, each content once, in batches of a seeded order.

Links, hidden files and formats that nobody here reads are left out and counted. Reads files only to tell equal ones.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from runner.errors import UsageError

FORMATS: Final = {
    "html": ("html", "htm", "xhtml"),
    "pdf": ("pdf",),
    "docx": ("docx",),
    "pptx": ("pptx",),
    "xlsx": ("xlsx",),
    "odt": ("odt",),
    "ods": ("ods",),
    "epub": ("epub",),
    "mail": ("eml", "mbox"),
    "csv": ("csv", "tsv"),
    "jsonl": ("jsonl", "ndjson"),
    "text": ("txt", "md", "markdown", "rst", "adoc"),
}
_FORMAT_OF: Final = {ending: name for name, endings in FORMATS.items() for ending in endings}

BATCH_BYTES: Final = 1 << 20
"""A reader has its turn for so many bytes: long enough to time a fast one, short enough for all to meet one weather."""
BATCH_FILES: Final = 64


@dataclass(frozen=True, slots=True)
class Found:
    """`number` is the file's place in its format; readers and texts are matched by it."""

    number: int
    path: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Corpus:
    """`left_out`: why -> how many."""

    formats: dict[str, tuple[Found, ...]]
    left_out: dict[str, int]


def find(paths: Sequence[str], wanted: Sequence[str]) -> Corpus:
    """`wanted`: names of formats, empty = all. UsageError when there is nothing to measure."""
    groups: dict[str, list[Path]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    seen: set[tuple[int, bytes]] = set()
    for path in _walk(paths):
        name = _FORMAT_OF.get(path.suffix[1:].lower())
        if name is None or (wanted and name not in wanted):
            left_out["other formats"] += 1
        elif path.is_symlink():
            left_out["links"] += 1
        elif path.stat().st_size == 0:
            left_out["empty"] += 1
        elif (key := _content(path)) in seen:
            left_out["same content as another"] += 1
        else:
            seen.add(key)
            groups[name].append(path)
    if not groups:
        names = ", ".join(wanted or FORMATS)
        raise UsageError(f"bench ingest: no file to measure below {', '.join(paths)}", f"formats looked for: {names}")
    return Corpus({name: _numbered(groups[name]) for name in FORMATS if name in groups}, dict(left_out))


def _numbered(paths: list[Path]) -> tuple[Found, ...]:
    return tuple(Found(number, str(path), path.stat().st_size) for number, path in enumerate(paths))


def _walk(paths: Sequence[str]) -> Iterator[Path]:
    for text in paths:
        root = Path(text).expanduser().absolute()
        if root.is_file():
            yield root
        elif root.is_dir():
            for folder, folders, names in os.walk(root):
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))
        else:
            raise UsageError(f"bench ingest: {text} is no file and no folder", "name what is to be read")


def _content(path: Path) -> tuple[int, bytes]:
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "blake2b").digest()


def batches(files: Sequence[Found], order: Random) -> list[tuple[Found, ...]]:
    """Every file once, in a random order, so that the first batches are a fair sample of all."""
    rest = list(files)
    order.shuffle(rest)
    out: list[tuple[Found, ...]] = []
    batch: list[Found] = []
    for file in rest:
        batch.append(file)
        if len(batch) == BATCH_FILES or sum(each.bytes for each in batch) >= BATCH_BYTES:
            out.append(tuple(batch))
            batch = []
    return [*out, tuple(batch)] if batch else out
