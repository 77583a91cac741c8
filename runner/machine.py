"""Facts of this machine: system, chip, memory with container limits, cores by kind, boot id; and which profile fits
them.

Reads files and sysctl only; changes nothing, starts no process, imports nothing heavy. Decisions (`linux_cores`,
`tightest_limit`, `choose_profile`) are pure functions over recorded facts, so that every machine can be tested on
any other. Called by cli, config, run and doctor.
"""

import ctypes
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

GIB = 2**30
CoreKindName = Literal["performance", "efficiency", "standard"]
SLOW: CoreKindName = "efficiency"


@dataclass(frozen=True, slots=True)
class CoreKind:
    """Cores of one kind that this process may use. `cpus` holds one tuple of logical CPUs (SMT siblings) per
    physical core; empty on macOS, where no thread can be pinned."""

    kind: CoreKindName
    physical: int
    cpus: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Machine:
    """Recorded facts. `memory_bytes` is what this process may use: the smaller of physical memory and container
    limits. `nodes`: logical CPUs of each NUMA node, one node is ((...),) or (). `battery`: it is a laptop."""

    os: str
    arch: str
    chip: str
    physical_bytes: int
    memory_bytes: int
    memory_limit: str
    cores: tuple[CoreKind, ...]
    cpu_quota: float | None
    boot_id: str
    nodes: tuple[tuple[int, ...], ...] = ()
    battery: bool = False

    @property
    def metal(self) -> bool:
        """An Apple GPU that MLX can use."""
        return self.os == "darwin" and self.arch == "arm64"

    @property
    def physical_cores(self) -> int:
        """Physical cores this process may use, bounded by a container's CPU quota; at least 1."""
        count = sum(group.physical for group in self.cores)
        if self.cpu_quota is not None:
            count = min(count, int(self.cpu_quota))
        return max(1, count)

    def count(self, kind: CoreKindName) -> int:
        """Physical cores of one kind."""
        return sum(group.physical for group in self.cores if group.kind == kind)

    def pinnable(self, slow: bool = True) -> tuple[int, ...]:
        """One logical CPU for each physical core, fastest kind first; empty where threads cannot be pinned. `slow`:
        efficiency cores, too."""
        return tuple(siblings[0] for group in self.cores for siblings in group.cpus if slow or group.kind != SLOW)


# ---- pure decisions ----


def choose_profile(machine: Machine) -> tuple[str, str]:
    """(built-in profile, why). What a run gets without `+profile=`."""
    if machine.metal:
        memory = machine.memory_bytes / GIB
        if "M3 Max" in machine.chip and memory >= 96:
            return "m3max", f"this is an {machine.chip} with {memory:.0f} GiB"
        return "apple_silicon", f"this is an {machine.chip} with {memory:.0f} GiB"
    if machine.os == "linux":
        if machine.battery:
            return "linux_laptop", f"this is Linux on {machine.arch} with a battery"
        if len(machine.nodes) > 1:
            return "linux_numa", f"this is Linux on {machine.arch} with {len(machine.nodes)} NUMA nodes"
        return "linux_cpu", f"this is Linux on {machine.arch} with no Apple GPU"
    return "auto", f"no profile was made for {machine.os} on {machine.arch}: every value is taken from its facts"


def linux_cores(
    allowed: Iterable[int], capacity: Mapping[int, int], siblings: Mapping[int, tuple[int, ...]]
) -> tuple[CoreKind, ...]:
    """Group allowed logical CPUs by physical core and kind. A core under 60 % of the best capacity is an efficiency
    core."""
    usable = sorted(set(allowed))
    cores = sorted({tuple(c for c in siblings.get(cpu, (cpu,)) if c in usable) or (cpu,) for cpu in usable})
    best = max((capacity.get(core[0], 0) for core in cores), default=0)
    if best == 0 or all(capacity.get(core[0], 0) == best for core in cores):
        return (CoreKind("standard", len(cores), tuple(cores)),) if cores else ()
    fast = tuple(core for core in cores if capacity.get(core[0], 0) >= 0.6 * best)
    slow = tuple(core for core in cores if core not in fast)
    groups = (CoreKind("performance", len(fast), fast), CoreKind("efficiency", len(slow), slow))
    return tuple(group for group in groups if group.physical)


def hybrid_capacity(allowed: Iterable[int], slow: Iterable[int]) -> dict[int, int]:
    """Capacities from the CPUs of the slow kind alone (the `cpu_atom` PMU), where the kernel gives none; {} without."""
    known = frozenset(slow)
    return {cpu: 512 if cpu in known else 1024 for cpu in allowed} if known else {}


def numa_nodes(lists: Iterable[str], allowed: Iterable[int]) -> tuple[tuple[int, ...], ...]:
    """CPUs of each node that we may use, from the `cpulist` files in the order of the nodes; nodes without are left
    out."""
    usable = frozenset(allowed)
    nodes = (tuple(cpu for cpu in parse_cpu_list(text) if cpu in usable) for text in lists)
    return tuple(node for node in nodes if node)


def tightest_limit(physical: int, limits: Iterable[tuple[str, str]]) -> tuple[int, str]:
    """(bytes, what limits them) from physical memory and (file, content) of cgroup limit files; "max" is no limit."""
    best, source = physical, "physical memory"
    for name, text in limits:
        digits = text.strip()
        if digits.isdigit() and 0 < int(digits) < best:
            best, source = int(digits), name
    return best, source


def tightest_quota(texts: Iterable[str]) -> float | None:
    """CPUs allowed by cgroup v2 `cpu.max` contents ("150000 100000" = 1.5); None = no limit."""
    quotas = []
    for text in texts:
        parts = text.split()
        if len(parts) == 2 and parts[0].isdigit() and parts[1].isdigit() and int(parts[1]) > 0:
            quotas.append(int(parts[0]) / int(parts[1]))
    return min(quotas, default=None)


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """The kernel's list form: "0-3,8" is (0, 1, 2, 3, 8)."""
    out: list[int] = []
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            out += range(int(first), int(last or first) + 1)
    return tuple(out)


def meminfo_total(text: str) -> int:
    """Bytes of MemTotal in /proc/meminfo."""
    for line in text.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no MemTotal in /proc/meminfo")


def cgroup_folders(text: str) -> tuple[str, ...]:
    """Folders under /sys/fs/cgroup that may hold a limit, from /proc/self/cgroup, innermost first."""
    out: list[str] = []
    for line in text.splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "memory" not in controllers.split(","):
            continue
        base = "/sys/fs/cgroup/memory" if controllers else "/sys/fs/cgroup"
        parts = [part for part in path.split("/") if part and part != ".."]
        out += ["/".join([base, *parts[:depth]]) for depth in range(len(parts), -1, -1)]
    return tuple(dict.fromkeys(out))


def perf_levels(values: Mapping[str, str | int]) -> tuple[CoreKind, ...]:
    """Core kinds from macOS sysctl values. Level 0 is the fastest; the others are efficiency cores unless their name
    says otherwise (M5 Pro and Max have "Super" and "Performance" cores and no efficient ones)."""
    groups = []
    for level in range(int(values.get("hw.nperflevels", 0))):
        count = int(values.get(f"hw.perflevel{level}.physicalcpu", 0))
        name = str(values.get(f"hw.perflevel{level}.name", "")).lower()
        slow = name.startswith("efficiency") if name else level > 0
        kind: CoreKindName = "efficiency" if slow else "performance"
        if count:
            groups.append(CoreKind(kind, count, ()))
    return tuple(groups) or (CoreKind("standard", int(values.get("hw.physicalcpu", 1)), ()),)


# ---- reading ----


def _read(path: Path) -> str:
    """Content of a kernel file, empty where this kernel does not have it."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def linux(root: Path, allowed: Iterable[int], arch: str) -> Machine:
    """Facts from the /proc and /sys below `root`; `allowed`: CPUs of this process."""
    allowed = sorted(allowed)

    def text(path: str) -> str:
        return _read(root / path.lstrip("/"))

    physical = meminfo_total(text("/proc/meminfo"))
    folders = cgroup_folders(text("/proc/self/cgroup"))
    names = [f"{folder}/{leaf}" for folder in folders for leaf in ("memory.max", "memory.limit_in_bytes")]
    memory, limit = tightest_limit(physical, [(name, text(name)) for name in names])
    quota = tightest_quota(text(f"{folder}/cpu.max") for folder in folders)
    base = "/sys/devices/system/cpu/cpu"
    capacity = {cpu: int(found) for cpu in allowed if (found := text(f"{base}{cpu}/cpu_capacity").strip()).isdigit()}
    siblings = {
        cpu: parse_cpu_list(found) for cpu in allowed if (found := text(f"{base}{cpu}/topology/thread_siblings_list"))
    }
    if len(set(capacity.values())) < 2:  # kernels before 6.12 give hybrid x86 chips none
        capacity |= hybrid_capacity(allowed, parse_cpu_list(text("/sys/devices/cpu_atom/cpus")))
    system = root / "sys/devices/system/node"
    folders_of_nodes = sorted(system.glob("node[0-9]*"), key=lambda folder: int(folder.name.removeprefix("node")))
    chip = next(
        (line.split(":", 1)[1].strip() for line in text("/proc/cpuinfo").splitlines() if line.startswith("model name")),
        arch,
    )
    return Machine(
        os="linux",
        arch=arch,
        chip=chip,
        physical_bytes=physical,
        memory_bytes=memory,
        memory_limit=limit,
        cores=linux_cores(allowed, capacity, siblings),
        cpu_quota=quota,
        boot_id=text("/proc/sys/kernel/random/boot_id").strip() or "unknown",
        nodes=numa_nodes((_read(folder / "cpulist") for folder in folders_of_nodes), allowed),
        battery=any(_is_battery(supply) for supply in (root / "sys/class/power_supply").glob("*")),
    )


def _is_battery(supply: Path) -> bool:
    """Of the machine; a mouse has one, too, and says that it is a device's."""
    return _read(supply / "type").strip() == "Battery" and _read(supply / "scope").strip() != "Device"


def _sysctl(names: Iterable[str]) -> dict[str, str | int]:
    """Values of macOS sysctls that exist: integers of 4 or 8 bytes, else text."""
    libc = ctypes.CDLL(None)
    out: dict[str, str | int] = {}
    for name in names:
        size = ctypes.c_size_t(0)
        if libc.sysctlbyname(name.encode(), None, ctypes.byref(size), None, 0) != 0 or size.value == 0:
            continue
        buffer = ctypes.create_string_buffer(size.value)
        if libc.sysctlbyname(name.encode(), buffer, ctypes.byref(size), None, 0) != 0:
            continue
        raw = buffer.raw[: size.value]
        textual = name.endswith(".name") or name in ("machdep.cpu.brand_string", "kern.bootsessionuuid")
        out[name] = raw.rstrip(b"\0").decode(errors="replace") if textual else int.from_bytes(raw, sys.byteorder)
    return out


def _darwin() -> Machine:
    names = ["hw.memsize", "hw.physicalcpu", "hw.nperflevels", "machdep.cpu.brand_string", "kern.bootsessionuuid"]
    values = _sysctl(
        [*names, *(f"hw.perflevel{level}.{leaf}" for level in range(4) for leaf in ("physicalcpu", "name"))]
    )
    physical = int(values.get("hw.memsize", 0))
    return Machine(
        os="darwin",
        arch=_arch(),
        chip=str(values.get("machdep.cpu.brand_string", platform.machine())),
        physical_bytes=physical,
        memory_bytes=physical,
        memory_limit="physical memory",
        cores=perf_levels(values),
        cpu_quota=None,
        boot_id=str(values.get("kern.bootsessionuuid", "unknown")),
    )


def _arch() -> str:
    name = platform.machine().lower()
    return {"amd64": "x86_64", "aarch64": "arm64"}.get(name, name)


def detect() -> Machine:
    """Facts of the machine this process runs on."""
    if sys.platform == "darwin":
        return _darwin()
    if sys.platform == "linux":
        return linux(Path("/"), os.sched_getaffinity(0), _arch())
    raise OSError(f"runner supports macOS and Linux, this is {sys.platform}")
