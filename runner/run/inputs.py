"""What a run reads besides paths: standard input as a document, and lists of paths. A copy of both is kept in the run's
folder, so that a resume reads what the run began with.

Reads standard input once and checks a list's form; does NOT look at the paths on it (the core does, and a missing one
is a row). Called by run, and by plan for a list's form.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from runner.config.given import STDIN, PathList, path_list
from runner.config.schema import RunnerConfig
from runner.errors import StorageError, UsageError
from runner.layout import RunFolder
from runner.store import folder
from runner.store.files import storage, sync_folder

STEP: Final = 1 << 20
LONGEST_PATH: Final = 1 << 16
"""Bytes of one entry of a list; the core stops at the same."""
LONGEST_LIST: Final = 1 << 30
"""Bytes of a list: ten million paths."""


@contextmanager
def kept(config: RunnerConfig, run: RunFolder, resumed: bool) -> Iterator[bool]:
    """Keeps copies in `run`, whose folder is made for it; gone again when the body fails. The value: whether the folder
    was made for that reason. On a resume the copies have to be there."""
    copies = _copies(config, run)
    if resumed or not copies:
        for copy in copies:
            if not copy.is_file():
                raise StorageError(
                    f"{copy} is not there: it is what the run was to read", "start a run anew with the same input"
                )
        yield False
        return
    folder.create(Path(config.output.dir), run)
    try:
        _keep(config, run)
        yield True
    except BaseException:
        discard(run)
        raise


def discard(run: RunFolder) -> None:
    """Takes away a folder that holds kept input and nothing else yet."""
    with storage(f"cannot remove {run.root}"):
        shutil.rmtree(run.root)


def _copies(config: RunnerConfig, run: RunFolder) -> list[Path]:
    copies = [run.files_list] if path_list(config.ingest) is not None else []
    return [*copies, run.stdin_file(config.ingest.stdin_name)] if STDIN in config.inputs else copies


def _keep(config: RunnerConfig, run: RunFolder) -> None:
    found = path_list(config.ingest)
    if found is not None:
        with _opened(found) as source:
            _copy_list(found, source, run.files_list)
    if STDIN in config.inputs:
        with storage(f"cannot create {run.stdin}"):
            run.stdin.mkdir(mode=0o700)
        _copy_document(_stdin(), run.stdin_file(config.ingest.stdin_name), config.ingest.max_file_bytes)


@contextmanager
def _opened(found: PathList) -> Iterator[BinaryIO]:
    if found.source == STDIN:
        yield _stdin()
        return
    try:
        source = open(found.source, "rb")  # noqa: SIM115 - a FIFO or <(find ...) is a list, too
    except OSError as error:
        raise UsageError(
            f"{found.key} is '{found.source}', which cannot be read: {error.strerror}",
            "give a file with one path a line, or - for standard input",
        ) from error
    with source:
        yield source


def check_list(found: PathList) -> None:
    """The form of a list that is not kept but read twice: UsageError as for one that is, and for a pipe."""
    with _opened(found) as source:
        if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
            raise UsageError(
                f"{found.key} is '{found.source}', which is no regular file: it can be read only once",
                "write the list to a file, and give that file",
            )
        _copy_list(found, source, None)


def _copy_list(found: PathList, source: BinaryIO, copy: Path | None) -> None:
    form = _Form(found)
    with _writing(copy) as out:
        while piece := _read(source, found.key):
            form.see(piece)
            out.write(piece)
    form.end()


@dataclass(slots=True)
class _Form:
    """What a list must look like: not empty, of the right separator, no entry longer than a path can be."""

    found: PathList
    size: int = 0
    entries: int = 0
    open: int = 0
    """Bytes of the entry that is not ended yet."""

    def see(self, piece: bytes) -> None:
        self.size += len(piece)
        self._bounded("the list", self.size, LONGEST_LIST)
        if self.found.separator == b"\n" and b"\0" in piece:
            raise self._wrong(
                "holds zero bytes", f"ingest.files0_from={self.found.source} reads the list of `find -print0`"
            )
        first, *others = piece.split(self.found.separator)
        self._bounded("a path", self.open + len(first), LONGEST_PATH)
        ended = [self.open + len(first), *map(len, others)]
        self._bounded("a path", max(ended), LONGEST_PATH)
        self.open = ended.pop()
        self.entries += sum(length > 0 for length in ended)

    def end(self) -> None:
        if self.entries == 0 and self.open == 0:
            raise self._wrong("names no file", "give at least one path; the command that made the list found nothing")

    def _bounded(self, what: str, size: int, most: int) -> None:
        if size > most:
            cure = "a list has one path a line" if self.found.separator == b"\n" else "paths end in a zero byte each"
            raise self._wrong(f"is no list of paths: {what} has over {most} bytes", cure)

    def _wrong(self, what: str, cure: str) -> UsageError:
        name = "standard input" if self.found.source == STDIN else f"'{self.found.source}'"
        return UsageError(f"{self.found.key}: {name} {what}", cure)


def _copy_document(source: BinaryIO, copy: Path, most: int) -> None:
    size = 0
    with _writing(copy) as out:
        while piece := _read(source, "input=-"):
            size += len(piece)
            if size > most:
                raise UsageError(
                    f"standard input holds over {most} bytes, ingest.max_file_bytes is {most}",
                    "raise ingest.max_file_bytes, or write the document to a file",
                )
            out.write(piece)


def _stdin() -> BinaryIO:
    if sys.stdin is None:  # the shell's <&-
        raise UsageError("standard input is closed", "pipe the document or the list into the command")
    return sys.stdin.buffer


def _read(source: BinaryIO, key: str) -> bytes:
    try:
        return source.read(STEP)
    except OSError as error:
        raise UsageError(f"{key}: reading it failed: {error.strerror}", "see the command that writes it") from error


@contextmanager
def _writing(copy: Path | None) -> Iterator[BinaryIO]:
    """A file that has its name only when it is whole and durable; nothing is written for None."""
    if copy is None:
        with open(os.devnull, "wb") as nothing:
            yield nothing
        return
    part = copy.with_name(copy.name + ".part")
    with storage(f"cannot write {copy}"):
        with part.open("xb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        part.rename(copy)
        sync_folder(copy.parent)
