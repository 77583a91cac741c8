"""Memory and CPU of one process, read with one call: /proc on Linux, libproc on macOS.

Cheap by construction: the /proc file of a process is opened once and read with pread (18 us a sample against 495 with
psutil, notes on observability). Decides nothing. Called by monitor.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from typing import Final, Protocol


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
