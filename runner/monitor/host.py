"""The machine around a run: memory, pressure, busy cores by kind, heat, power, free disk. Null where it does not say.

Files of /proc and /sys are opened once and read with pread; what cannot be opened is never tried again. macOS gives
memory, thermal pressure and the power source through its C library. Reads alone, decides nothing. Called by monitor.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PRESSURES: Final = ("cpu", "memory", "io")
MOST_SENSORS: Final = 64
"""A server shows hundreds; the first ones are packages and cores."""


@dataclass(frozen=True, slots=True)
class HostSample:
    """One reading, as named in the table of runner.metrics."""

    available_bytes: int
    disk_free_bytes: int
    performance_busy: float | None = None
    efficiency_busy: float | None = None
    psi_cpu: float | None = None
    psi_memory: float | None = None
    psi_io: float | None = None
    temperature_c: float | None = None
    thermal_level: int | None = None
    power_w: float | None = None
    on_battery: int | None = None


class _KeptFile:
    """A small file of the kernel, opened once."""

    def __init__(self, path: Path, size: int = 4096) -> None:
        self._size = size
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> str:
        """Its text now; OSError where a driver refuses."""
        return os.pread(self._fd, self._size, 0).decode("ascii", "replace")

    def close(self) -> None:
        """Gives the descriptor back."""
        os.close(self._fd)


def _keep(path: Path, size: int = 4096) -> _KeptFile | None:
    """None for what this machine or these rights do not show: it is looked at once."""
    try:
        file = _KeptFile(path, size)
        file.read()
    except OSError:
        return None
    return file


class LinuxHost:
    """`cpus`: the logical CPUs of performance (or only) cores and of efficiency cores. `root` is for tests."""

    def __init__(self, folder: Path, cpus: tuple[Sequence[int], Sequence[int]], root: Path = Path("/")) -> None:
        self._folder = folder
        self._cpus = cpus
        self._meminfo = _KeptFile(root / "proc/meminfo")
        self._stat = _keep(root / "proc/stat", 65536)
        self._pressure = {name: _keep(root / "proc/pressure" / name) for name in PRESSURES}
        zones = sorted((root / "sys/class/thermal").glob("thermal_zone*/temp"))[:MOST_SENSORS]
        self._zones = [file for zone in zones if (file := _keep(zone)) is not None]
        supplies = root / "sys/class/power_supply"
        self._mains = [file for path in sorted(supplies.glob("*/online")) if (file := _keep(path)) is not None]
        self._drain = next((file for path in sorted(supplies.glob("*/power_now")) if (file := _keep(path))), None)
        self._energy = _keep(root / "sys/class/powercap/intel-rapl:0/energy_uj")
        self._ticks: tuple[tuple[int, int], ...] = ()
        self._joules: tuple[float, float] | None = None

    def read(self, now: float) -> HostSample:
        """Everything once."""
        busy = self._busy()
        psi = {name: some_avg10(file.read()) if file else None for name, file in self._pressure.items()}
        return HostSample(
            available_bytes=mem_available(self._meminfo.read()),
            disk_free_bytes=disk_free(self._folder),
            performance_busy=busy[0],
            efficiency_busy=busy[1],
            psi_cpu=psi["cpu"],
            psi_memory=psi["memory"],
            psi_io=psi["io"],
            temperature_c=hottest(texts_of(self._zones)),
            power_w=self._power(now),
            on_battery=plugged_out(texts_of(self._mains)),
        )

    def _busy(self) -> tuple[float | None, float | None]:
        if self._stat is None:
            return None, None
        cores = cpu_ticks(self._stat.read())
        now = tuple(
            (sum(cores[cpu][0] for cpu in cpus if cpu in cores), sum(cores[cpu][1] for cpu in cpus if cpu in cores))
            for cpus in self._cpus
        )
        before, self._ticks = self._ticks, now
        if not before:
            return None, None
        shares = [
            round((busy - then[0]) / (total - then[1]), 3) if total > then[1] else None
            for (busy, total), then in zip(now, before, strict=True)
        ]
        return shares[0], shares[1]

    def _power(self, now: float) -> float | None:
        if self._energy is None:
            draining = texts_of([self._drain] if self._drain else [])
            return int(draining[0]) / 1e6 if draining and draining[0].strip().isdigit() else None
        text = texts_of([self._energy])
        if not text:
            return None
        joules = int(text[0]) / 1e6
        before, self._joules = self._joules, (now, joules)
        # The counter starts again at 0 after some minutes to hours: that sample says nothing.
        if before is None or joules < before[1] or now <= before[0]:
            return None
        return round((joules - before[1]) / (now - before[0]), 2)

    def close(self) -> None:
        """Gives all descriptors back."""
        files = [self._meminfo, self._stat, *self._pressure.values(), *self._zones, *self._mains]
        for file in [*files, self._drain, self._energy]:
            if file is not None:
                file.close()


class MacHost:
    """macOS. Level of thermal pressure: OSThermalNotification.h, key `com.apple.system.thermalpressurelevel`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._token = ctypes.c_int(0)
        register = getattr(self._libc, "notify_register_check", None)
        key = b"com.apple.system.thermalpressurelevel"
        self._heat = register is not None and register(key, ctypes.byref(self._token)) == 0

    def _sysctl(self, name: str) -> int:
        value = ctypes.c_uint64(0)
        size = ctypes.c_size_t(8)
        if self._libc.sysctlbyname(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0) != 0:
            raise OSError(ctypes.get_errno(), f"sysctl {name}")
        return value.value

    def read(self, now: float) -> HostSample:
        """The free share is the one that memorystatus works with."""
        del now
        level = ctypes.c_uint64(0)
        known = self._heat and self._libc.notify_get_state(self._token, ctypes.byref(level)) == 0
        return HostSample(
            available_bytes=self._sysctl("hw.memsize") * self._sysctl("kern.memorystatus_level") // 100,
            disk_free_bytes=disk_free(self._folder),
            thermal_level=int(level.value) if known else None,
        )

    def close(self) -> None:
        """Ends the registration."""
        if self._heat:
            self._libc.notify_cancel(self._token)


def open_host(folder: Path, cpus: tuple[Sequence[int], Sequence[int]]) -> LinuxHost | MacHost:
    """The reader of this platform."""
    return MacHost(folder) if sys.platform == "darwin" else LinuxHost(folder, cpus)


def texts_of(files: Iterable[_KeptFile]) -> list[str]:
    """What can be read now: a sensor may refuse for a moment (a sleeping disk, a battery taken out)."""
    texts = []
    for file in files:
        try:
            texts.append(file.read())
        except OSError:
            continue
    return texts


# ---- pure ----


def mem_available(text: str) -> int:
    """Bytes of MemAvailable in /proc/meminfo."""
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("/proc/meminfo has no MemAvailable (Linux before 3.14)")


def some_avg10(text: str) -> float | None:
    """Percent of `some avg10=` in a file of /proc/pressure."""
    for word in text.partition("\n")[0].split():
        if word.startswith("avg10="):
            return float(word[6:])
    return None


def cpu_ticks(text: str) -> Mapping[int, tuple[int, int]]:
    """CPU -> (busy, total) ticks of /proc/stat; idle and iowait are not busy (man 5 proc)."""
    found: dict[int, tuple[int, int]] = {}
    for line in text.splitlines():
        name, *numbers = line.split()
        if name.startswith("cpu") and name[3:].isdigit():
            ticks = [int(number) for number in numbers[:8]]
            found[int(name[3:])] = (sum(ticks) - ticks[3] - ticks[4], sum(ticks))
    return found


def hottest(texts: Iterable[str]) -> float | None:
    """Degrees; sensors that are off show 0 or less."""
    degrees = [int(text) / 1000 for text in texts if text.strip().isdigit()]
    return max((each for each in degrees if each > 0), default=None)


def plugged_out(texts: Sequence[str]) -> int | None:
    """1 when there are mains adapters and none is plugged in; None without any."""
    return None if not texts else int(not any(text.strip() == "1" for text in texts))


def disk_free(folder: Path) -> int:
    """Bytes that a user may still write there; 0 when the folder is gone (the run stops for that itself)."""
    try:
        room = os.statvfs(folder)
    except OSError:
        return 0
    return room.f_bavail * room.f_frsize


def cpus_by_kind(cores: Iterable[Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Logical CPUs of performance cores (or of the only kind) and of efficiency cores, from the machine's facts."""
    fast: list[int] = []
    slow: list[int] = []
    for group in cores:
        (slow if group.kind == "efficiency" else fast).extend(cpu for core in group.cpus for cpu in core)
    return tuple(fast), tuple(slow)
