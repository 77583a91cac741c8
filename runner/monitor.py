"""Samples a run: counters of the core, memory and CPU of its processes, into `metrics.jsonl`.

Cheap by construction: the /proc files of each process are opened once and read with pread (18 us a sample against 495
with psutil, notes on observability), and the run's own loop calls it, so there is no thread. It does NOT decide
anything. On macOS, where /proc is missing, libproc gives the same two numbers. Called by run.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

from runner.errors import StorageError
from runner.metrics import ProcessSample, Sample, counted

RATE_WINDOW_S: Final = 15.0
"""Rates are over this much of the past: long enough to hide the steps of a batch, short enough to show a change."""


class ProcessReader(Protocol):
    """Reads one process; None when it is gone."""

    def read(self) -> tuple[int, float] | None:
        """(resident bytes, CPU seconds)."""

    def peak(self) -> int:
        """The most resident bytes so far, as the system kept it; 0 where it does not, or the process is gone."""

    def close(self) -> None:
        """Gives the descriptor back."""


class ProcReader:
    """Linux: keeps /proc/PID/stat open. rss is field 24 (pages), utime and stime are 14 and 15 (ticks), man 5 proc."""

    _PAGE: Final = os.sysconf("SC_PAGE_SIZE")
    _TICK: Final = os.sysconf("SC_CLK_TCK")

    def __init__(self, pid: int) -> None:
        self._fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        self._status = os.open(f"/proc/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> tuple[int, float] | None:
        """(resident bytes, user + system seconds)."""
        try:
            text = os.pread(self._fd, 1024, 0)
        except ProcessLookupError:
            return None
        # The name in field 2 may hold spaces and brackets; everything after the LAST bracket is numbers.
        numbers = text[text.rfind(b")") + 2 :].split()
        return int(numbers[21]) * self._PAGE, (int(numbers[11]) + int(numbers[12])) / self._TICK

    def peak(self) -> int:
        """VmHWM: a batch's worst moment is shorter than the time between two samples."""
        try:
            text = os.pread(self._status, 4096, 0)
        except ProcessLookupError:
            return 0
        found = re.search(rb"^VmHWM:\s+(\d+) kB$", text, re.MULTILINE)
        return int(found[1]) * 1024 if found else 0

    def close(self) -> None:
        """Closes the kept descriptors."""
        os.close(self._fd)
        os.close(self._status)


class MacReader:
    """macOS: proc_pid_rusage (libproc.h). `ri_phys_footprint` is the number that the system itself compares with its
    limits; times come in units of the mach time base, which is not 1 ns on Apple silicon."""

    _RUSAGE_INFO_V2: Final = 2
    _WORDS: Final = 2 + 16  # ri_uuid (16 bytes), then 16 counters of 64 bits

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._buffer = (ctypes.c_uint64 * self._WORDS)()
        base = (ctypes.c_uint32 * 2)()
        self._libc.mach_timebase_info(base)
        self._ns_per_tick = base[0] / base[1]

    def read(self) -> tuple[int, float] | None:
        """(phys_footprint in bytes, user + system seconds)."""
        if self._libc.proc_pid_rusage(self._pid, self._RUSAGE_INFO_V2, ctypes.byref(self._buffer)) != 0:
            return None
        user, system = self._buffer[2], self._buffer[3]
        return int(self._buffer[9]), (user + system) * self._ns_per_tick / 1e9

    def peak(self) -> int:
        """Not asked for here: samples alone."""
        return 0

    def close(self) -> None:
        """Nothing is held open."""


def open_reader(pid: int) -> ProcessReader | None:
    """The reader of this platform, or None when the process is already gone."""
    if sys.platform == "darwin":
        return MacReader(pid)
    try:
        return ProcReader(pid)
    except FileNotFoundError:
        return None


def available_bytes() -> int:
    """What the machine could still give. Linux: MemAvailable; macOS: the free share that memorystatus works with."""
    if sys.platform == "darwin":
        return _sysctl("hw.memsize") * _sysctl("kern.memorystatus_level") // 100
    with open("/proc/meminfo", "rb") as file:
        for line in file:
            if line.startswith(b"MemAvailable:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("/proc/meminfo has no MemAvailable (Linux before 3.14)")


def _sysctl(name: str) -> int:
    value = ctypes.c_uint64(0)
    size = ctypes.c_size_t(8)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.sysctlbyname(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0) != 0:
        raise OSError(ctypes.get_errno(), f"sysctl {name}")
    return value.value


class Monitor:
    """Takes samples, keeps the latest, appends each to `path`. Not thread-safe: one loop calls it."""

    def __init__(self, path: Path, started: float) -> None:
        """`started`: time.monotonic() of the run's start. StorageError when the file cannot be opened."""
        self._path = path
        self._started = started
        self._readers: dict[int, tuple[str, ProcessReader]] = {}
        self._window: deque[tuple[float, int, int]] = deque()
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError.of(f"cannot open {path}", error) from error
        self.watch(os.getpid(), "runner")
        self.peak_rss: dict[str, int] = {}
        self.peak_ipc = 0
        self.least_available: int | None = None
        self.latest: Sample | None = None

    def watch(self, pid: int, name: str) -> None:
        """From now on `pid` is part of each sample as `name`; it drops out by itself when it ends."""
        reader = open_reader(pid)
        if reader is not None:
            self._readers[pid] = (name, reader)

    def _processes(self) -> tuple[ProcessSample, ...]:
        samples: list[ProcessSample] = []
        for pid, (name, reader) in list(self._readers.items()):
            seen = reader.read()
            if seen is None:
                reader.close()
                del self._readers[pid]
                continue
            samples.append(ProcessSample(name, pid, seen[0], seen[1]))
            self.peak_rss[name] = max(self.peak_rss.get(name, 0), seen[0], reader.peak())
        return tuple(samples)

    def _rates(self, now: float, prompt: int, generated: int) -> tuple[float, float]:
        window = self._window
        window.append((now, prompt, generated))
        while len(window) > 2 and now - window[1][0] >= RATE_WINDOW_S:
            window.popleft()
        then, prompt_then, generated_then = window[0]
        seconds = now - then
        if seconds <= 0:
            return 0.0, 0.0
        return (prompt - prompt_then) / seconds, (generated - generated_then) / seconds

    def sample(self, counters: Mapping[str, int], now: float) -> Sample:
        """Reads everything once and appends the line. StorageError when the disk refuses."""
        processes = self._processes()
        workers = [process for process in processes if process.name != "runner"]
        own = next((process for process in processes if process.name == "runner"), None)
        prompt_rate, generated_rate = self._rates(now, counters["prompt_tokens_done"], counters["generated_tokens"])
        sample = Sample(
            unix_ms=time.time_ns() // 1_000_000,
            elapsed_s=round(now - self._started, 3),
            prompt_tokens_per_s=round(prompt_rate, 2),
            generated_tokens_per_s=round(generated_rate, 2),
            workers_rss_bytes=sum(process.rss_bytes for process in workers),
            runner_rss_bytes=own.rss_bytes if own else 0,
            available_bytes=available_bytes(),
            runner_cpu_s=own.cpu_s if own else 0.0,
            workers_cpu_s=round(sum(process.cpu_s for process in workers), 3),
            processes=processes,
            **counted(counters),
        )
        try:
            os.write(self._fd, (sample.to_line() + "\n").encode())
        except OSError as error:
            raise StorageError.of(f"cannot write {self._path}", error) from error
        self.latest = sample
        self.peak_ipc = max(self.peak_ipc, sample.ipc_bytes)
        least = self.least_available
        self.least_available = sample.available_bytes if least is None else min(least, sample.available_bytes)
        return sample

    def close(self) -> None:
        """Closes the file and all readers."""
        for _name, reader in self._readers.values():
            reader.close()
        self._readers.clear()
        os.close(self._fd)
