"""The worker's end of the shared-memory channel: token ids in as NumPy views, completions out. Publication is in Rust.

Maps the inherited descriptors, reads token ids where the runner put them (read-only memory) and writes outputs into the
slot that came with the lease. It does not touch ring words, start or judge processes. Called by runner.worker.

A lease's `token_ids` are valid until its completion is published: the runner reuses the memory then.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from runner import _native

# Mirror of native/src/channel/layout.rs; tests/channel holds the two against each other.
SUBMIT = np.dtype(
    [
        ("handle", "<u8"),
        ("generation", "<u4"),
        ("segment", "<u4"),
        ("token_offset", "<u8"),
        ("token_count", "<u4"),
        ("slot", "<u4"),
        ("output_offset", "<u8"),
        ("output_capacity", "<u4"),
        ("max_tokens", "<u4"),
        ("checksum", "<u4"),
        ("_zero", "<u4"),
        ("source_first", "<u4"),
        ("source_count", "<u4"),
    ]
)
COMPLETE = np.dtype(
    [
        ("handle", "<u8"),
        ("generation", "<u4"),
        ("slot", "<u4"),
        ("status", "u1"),
        ("finish_reason", "u1"),
        ("repairs", "<u2"),
        ("output_bytes", "<u4"),
        ("reason_bytes", "<u4"),
        ("checksum", "<u4"),
        ("tokens_in", "<u4"),
        ("tokens_out", "<u4"),
        ("admitted_ns", "<u8"),
        ("first_token_ns", "<u8"),
        ("finished_ns", "<u8"),
    ]
)
_STATUS = {"ok": 0, "failed": 1, "released": 2}
_FINISH = {"": 0, "stop": 1, "length": 2}
_MOST_REPAIRS = 0xFFFF


class ChannelClosed(Exception):  # noqa: N818 - a state of the channel, not a fault
    """The runner is gone: nobody waits for an answer."""


@dataclass(frozen=True, slots=True)
class Lease:
    """One request held by this worker. `source_ids` are those of `token_ids` that are the document; none unless the job
    asks for evidence."""

    handle: int
    token_ids: np.ndarray[Any, np.dtype[np.uint32]]
    max_tokens: int
    source_ids: np.ndarray[Any, np.dtype[np.uint32]] = field(repr=False)
    generation: int = field(repr=False)
    slot: int = field(repr=False)
    output_offset: int = field(repr=False)
    output_capacity: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class Completion:
    """What became of one lease. Times are of time.monotonic_ns."""

    status: Literal["ok", "failed", "released"]
    output: str = ""
    reason: str = ""
    finish_reason: Literal["stop", "length", ""] = ""
    tokens_in: int = 0
    tokens_out: int = 0
    repairs: int = 0
    admitted_ns: int = 0
    first_token_ns: int = 0
    finished_ns: int = 0


class Channel:
    """One per worker process. `receive`, `complete` and `publish` belong to one thread; `progress` to any."""

    def __init__(self, port: _native.WorkerPort, region: mmap.mmap, documents: list[mmap.mmap]) -> None:
        self._port = port
        self._region = region
        # One array over each whole segment: a lease's view is then one slice.
        self._documents = [np.frombuffer(segment, np.uint32) for segment in documents]

    @classmethod
    def inherit(cls, channel_fd: int, control_fd: int, document_fds: Sequence[int], spin_us: int) -> Channel:
        """Takes over the descriptors and closes these numbers. Raises _native.ChannelBroken if they do not match."""
        port = _native.WorkerPort(channel_fd, control_fd, list(document_fds), spin_us)
        region = mmap.mmap(channel_fd, os.fstat(channel_fd).st_size)
        documents = [mmap.mmap(fd, os.fstat(fd).st_size, prot=mmap.PROT_READ) for fd in document_fds]
        for fd in (channel_fd, control_fd, *document_fds):
            os.close(fd)
        return cls(port, region, documents)

    def receive(self, max_leases: int, timeout_ms: int) -> list[Lease]:
        """New leases, at most `max_leases`; [] on time-out, on a signal, and once when a drain begins.

        0 only looks, -1 waits for ever. Raises ChannelClosed when the runner is gone.
        """
        try:
            data = self._port.receive(max_leases, timeout_ms)
        except _native.ChannelClosed as error:
            raise ChannelClosed(str(error)) from error
        return [self._lease(line) for line in np.frombuffer(data, SUBMIT).tolist()]

    def _lease(self, line: tuple[Any, ...]) -> Lease:
        handle, generation, segment, token_offset, token_count, slot, output_offset, capacity, max_tokens, *rest = line
        first = token_offset // 4
        token_ids = self._documents[segment][first : first + token_count]
        _checksum, _zero, source, count = rest
        source_ids = token_ids[source : source + count]
        return Lease(handle, token_ids, max_tokens, source_ids, generation, slot, output_offset, capacity)

    def complete(self, lease: Lease, completion: Completion) -> None:
        """Writes the texts into the lease's slot and stages the completion; `publish` makes it count.

        An output over the slot becomes `failed: output: ...` without its text: nothing is cut silently.
        """
        output, reason = completion.output.encode(), completion.reason.encode()
        status = completion.status
        if len(output) + len(reason) > lease.output_capacity:
            status = "failed"
            reason = (
                f"output: {len(output) + len(reason)} bytes do not fit the output slot of {lease.output_capacity}; "
                "raise channel.output_slot_bytes"
            ).encode()[: lease.output_capacity]
            output = b""
        end = lease.output_offset + len(output)
        self._region[lease.output_offset : end] = output
        self._region[end : end + len(reason)] = reason
        line = np.array(
            (
                lease.handle,
                lease.generation,
                lease.slot,
                _STATUS[status],
                _FINISH[completion.finish_reason],
                min(completion.repairs, _MOST_REPAIRS),
                len(output),
                len(reason),
                0,  # the checksum is made in Rust
                completion.tokens_in,
                completion.tokens_out,
                completion.admitted_ns,
                completion.first_token_ns,
                completion.finished_ns,
            ),
            COMPLETE,
        )
        self._port.complete(line.tobytes())

    def publish(self) -> None:
        """The staged completions are done from here on, whatever happens to this process."""
        self._port.publish()

    def progress(self, prompt_tokens: int, generated_tokens: int, active_rows: int, memory_bytes: int) -> None:
        """Overwrites the counters that the runner shows, and the heartbeat with the time of now."""
        self._port.progress(time.monotonic_ns(), prompt_tokens, generated_tokens, active_rows, memory_bytes)

    @property
    def draining(self) -> bool:
        """The runner asked for a drain: finish or release what is held."""
        return self._port.draining
