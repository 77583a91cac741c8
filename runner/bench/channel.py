"""`runner bench channel`: latency and throughput of the channel's ring beside other transports, interleaved in one run.

Half round trips in microseconds, p50 and p99; every leg copies the payload in, and the receiver copies it out (Python)
or reads each cache line (native). Spinning and sleeping are told apart. Does not judge the figures.
Called by commands/bench.
"""

from __future__ import annotations

import json as json_module
import mmap
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing import get_context, reduction
from typing import Any

import numpy as np

from runner import _native
from runner.bench.peers import LARGEST_BYTES, End, peers

SIZES = (64, 4096, 65536, LARGEST_BYTES)
_ENTRIES = {65536: 8, 1 << 20: 4}
"""Messages under way: as the arena does, the bench hands out the same few places again, not ever new ones."""
_SMALL_ENTRIES = 64
_SPIN_US = 1_000_000  # "spinning": never sleeps within a measurement
_WARM_UP = 16
"""Round trips before the clock starts, for every transport: first touches of memory are paid once in a run's life."""
_BATCH = 64
_DESCRIPTOR_ENTRIES = 1024
_DESCRIPTORS = 64 * 100_000
_DESCRIPTOR_RUNS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One transport at one payload size."""

    transport: str
    bytes: int
    p50_us: float
    p99_us: float
    messages_per_s: float
    gigabytes_per_s: float


def _rounds(size: int) -> int:
    return {1 << 20: 100, 65536: 1000}.get(size, 2000)


def _row(name: str, size: int, halves_ns: list[int], sent: int, seconds: float) -> Row:
    p50, p99 = np.percentile(np.array(halves_ns), [50, 99]) / 1000
    rate = sent / seconds
    return Row(name, size, round(float(p50), 2), round(float(p99), 2), round(rate), round(rate * size / 1e9, 3))


# ---- the two ends of one row: a ping-pong, then a one-way stream that ends with one answer


def _near(end: End, size: int) -> tuple[list[int], int, float]:
    payload, halves = bytes(size), []
    for _ in range(_WARM_UP):
        end.send(payload)
        end.receive()
    for _ in range(_rounds(size)):
        start = time.perf_counter_ns()
        end.send(payload)
        end.receive()
        halves.append((time.perf_counter_ns() - start) // 2)
    start = time.perf_counter_ns()
    for _ in range(_rounds(size)):
        end.send(payload)
    end.receive()
    return halves, _rounds(size), (time.perf_counter_ns() - start) / 1e9


def _far(end: End, size: int) -> None:
    payload = bytes(size)
    for _ in range(_WARM_UP + _rounds(size)):
        end.receive()
        end.send(payload)
    for _ in range(_rounds(size)):
        end.receive()
    end.send(payload)


def _far_peer(index: int, resources: Any, size: int) -> None:
    _far(peers()[index].far(resources), size)


def _probe_end(probe: _native.ChannelProbe, region: mmap.mmap, size: int) -> End:
    """The ring from Python: copy in, publish; wait, copy out."""
    places = [probe.next_out(), probe.next_in()]
    shared, buffer = memoryview(region), memoryview(bytearray(size))

    def send(data: bytes) -> None:
        shared[places[0] : places[0] + size] = data
        places[0] = probe.push(size)

    def receive() -> None:
        here = places[1]
        places[1] = probe.pop()
        buffer[:] = shared[here : here + size]

    return End(send, receive)


def _far_probe(region: Any, control: Any, size: int, spin_us: int, what: str) -> None:
    fds = region.detach(), control.detach()
    probe = _native.ChannelProbe.attach(*fds, _entries(size, what), size, spin_us)
    if what == "native":
        probe.echo(_WARM_UP + _rounds(size), size)
        probe.swallow(_rounds(size), _BATCH, size)
        probe.push(1)
    elif what == "python":
        _far(_probe_end(probe, mmap.mmap(fds[0], os.fstat(fds[0]).st_size), size), size)
    else:
        taken, lines = 0, np.zeros(8 * _BATCH, np.uint64)
        probe.push(1)
        while taken < _DESCRIPTORS:
            taken += probe.pop_lines(lines)
        probe.push(1)


def _entries(size: int, what: str) -> int:
    return _DESCRIPTOR_ENTRIES if what == "descriptors" else _ENTRIES.get(size, _SMALL_ENTRIES)


def _with_probe(size: int, spin_us: int, what: str, near: Callable[[_native.ChannelProbe, int], Any]) -> Any:
    probe = _native.ChannelProbe.create(_entries(size, what), size, spin_us)
    region, control = probe.child_ends()
    context = get_context("spawn")
    handles = reduction.DupFd(region), reduction.DupFd(control)
    child = context.Process(target=_far_probe, args=(*handles, size, spin_us, what))
    child.start()
    os.close(control)
    try:
        return near(probe, region)
    finally:
        os.close(region)
        child.join()


def _ring_row(size: int, spin_us: int, what: str) -> Row:
    def native(probe: _native.ChannelProbe, _: int) -> tuple[list[int], int, float]:
        probe.ping(_WARM_UP, size)
        halves = probe.ping(_rounds(size), size)
        start = time.perf_counter_ns()
        probe.blast(_rounds(size), _BATCH, size)
        probe.pop()
        return halves, _rounds(size), (time.perf_counter_ns() - start) / 1e9

    def python(probe: _native.ChannelProbe, fd: int) -> tuple[list[int], int, float]:
        return _near(_probe_end(probe, mmap.mmap(fd, os.fstat(fd).st_size), size), size)

    figures = _with_probe(size, spin_us, what, native if what == "native" else python)
    return _row(f"ring, {what}, {'spinning' if spin_us else 'sleeping'}", size, *figures)


def _peer_row(index: int, size: int) -> Row:
    peer, context = peers()[index], get_context("spawn")
    resources = peer.make(context)
    child = context.Process(target=_far_peer, args=(index, resources, size))
    child.start()
    try:
        figures = _near(peer.near(resources), size)
    finally:
        child.join()
    return _row(peer.name, size, *figures)


def _descriptors_per_second() -> float:
    """Lines of 64 bytes per second from Python to Python in batches of 64, out of one NumPy array into another."""

    def near(probe: _native.ChannelProbe, _: int) -> float:
        lines = np.zeros(8 * _BATCH, np.uint64)
        probe.pop()  # the other process has started
        start = time.perf_counter_ns()
        for _ in range(_DESCRIPTORS // _BATCH):
            probe.push_lines(lines)
        probe.pop()
        return _DESCRIPTORS / ((time.perf_counter_ns() - start) / 1e9)

    return float(_with_probe(64, _SPIN_US, "descriptors", near))


def _descriptor_rates() -> list[float]:
    """Several runs, slowest first."""
    return sorted(_descriptors_per_second() for _ in range(_DESCRIPTOR_RUNS))


def _line(row: Row) -> str:
    rates = f"{row.messages_per_s:>13,.0f}{row.gigabytes_per_s:>8.2f}"
    return f"{row.transport:24}{row.bytes:>9}{row.p50_us:>10.2f}{row.p99_us:>10.2f}{rates}"


def _rows() -> Iterator[Row]:
    for size in SIZES:
        for what in ("native", "python"):
            for spin_us in (_SPIN_US, 0):
                yield _ring_row(size, spin_us, what)
        for index in range(len(peers())):
            yield _peer_row(index, size)


def run_channel_bench(json: bool) -> int:
    """All rows, interleaved by size: a table that grows, or one JSON object."""
    if json:
        rows = [asdict(row) for row in _rows()]
        rates = [round(rate) for rate in _descriptor_rates()]
        print(json_module.dumps({"rows": rows, "descriptors_per_s_batch_64": rates}))
        return 0
    print(f"{'transport':24}{'bytes':>9}{'p50 us':>10}{'p99 us':>10}{'messages/s':>13}{'GB/s':>8}", flush=True)
    for row in _rows():
        print(_line(row), flush=True)
    _print_rates(_descriptor_rates())
    return 0


def _print_rates(rates: list[float]) -> None:
    median = rates[len(rates) // 2]
    spread = f"{rates[0]:,.0f} to {rates[-1]:,.0f}"
    print(f"descriptors/s from Python, batch {_BATCH}: {median:,.0f} (median of {len(rates)}; {spread})")
