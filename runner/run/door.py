"""The native core as this package sees it, and the one table from its exceptions to ours.

Holds no logic. The signatures are those of runner/_native.pyi; tests put a scripted core in its place.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from runner.errors import BusyError, RunFailed, StorageError, UsageError


class Core(Protocol):
    """One run's core. Call order: survey, open, start, (attach, ready, died, next_events)*, drain?, close."""

    def survey(self) -> dict[str, Any]:
        """What there is to do, before any folder is made."""

    def count(self, options_json: str) -> None:
        """Starts the census of a plan; instead of `open` and `start`."""

    def counted(self) -> str:
        """What the census has counted so far, as JSON."""

    def open(self, boot_id: str) -> dict[str, Any]:
        """Takes the journal of the run folder."""

    def start(self) -> None:
        """Starts the threads."""

    def attach(self, worker: int) -> dict[str, Any]:
        """A fresh channel for a worker."""

    def ready(self, worker: int) -> None:
        """The worker takes leases."""

    def died(self, worker: int, cause: str, charged: bool = True) -> dict[str, int]:
        """After waitpid."""

    def attach_converter(self, seat: int) -> dict[str, int]:
        """Descriptors for the extract worker that was asked for."""

    def converter_died(self, seat: int, cause: str) -> None:
        """After waitpid."""

    def converter_cannot_start(self, seat: int, problem: str) -> None:
        """No extract worker can be had."""

    def next_events(self, timeout_ms: int) -> list[dict[str, Any]]:
        """Events since the last call; waits for the first up to the time-out, the GIL released."""

    def counters(self) -> dict[str, int]:
        """Cheap; may be called ten times a second."""

    def setting(self, name: str, value_json: str, detail: str) -> None:
        """One journal record of a setting that was applied."""

    def pause(self, paused: bool) -> None:
        """No new leases until it is taken back; workers finish what they have."""

    def drain(self) -> None:
        """No new leases; `drained` comes when all are back."""

    def close(self) -> dict[str, Any]:
        """Last flush, results in input order, the core's part of the summary."""


def _storage_error(text: str) -> StorageError:
    """With the cure for what the core says; SQLite's word for a full disk becomes the system's."""
    text = text.replace("database or disk is full", os.strerror(errno.ENOSPC))
    if os.strerror(errno.ENOSPC) in text:
        return StorageError(text, "free some space and `runner resume`")
    if "damaged at byte" in text:
        return StorageError(text, "nothing was changed: put the file back from a copy, or start a new run")
    return StorageError(text, "see the message; what was committed before is safe: `runner resume`")


def make_core(settings_json: str) -> Core:
    """The real core. Imported here, so that `ls` and `show` never load it."""
    from runner import _native

    with core_errors():
        return _native.Core(settings_json)


@contextmanager
def core_errors() -> Iterator[None]:
    """The core's exceptions become ours, with their exit codes."""
    from runner import _native

    try:
        yield
    except _native.ConfigProblem as error:
        problem, hint = (*error.args, "", "")[:2]
        raise UsageError(str(problem), str(hint)) from error
    except _native.StorageFailed as error:
        raise _storage_error(str(error)) from error
    except _native.RunBusy as error:
        raise BusyError(str(error), "wait for that process, or use another folder") from error
    except (_native.ChannelBroken, _native.ChannelClosed) as error:
        raise RunFailed(
            str(error), "if the channel has no room: lower batching.max_num_seqs or raise memory.ipc"
        ) from error
