"""The /proc and /sys of Linux machines, as far as runner.machine reads them, from a few recorded facts. For tests.

Layouts are those of the kernel's documentation and of public descriptions of the chips; none was copied from a machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.machine import Machine, linux


@dataclass(frozen=True)
class Facts:
    """`cores`: the CPUs of each physical core. `atom`: list form of the slow CPUs as the hybrid PMU gives it."""

    chip: str
    gib: int
    cores: Sequence[Sequence[int]]
    atom: str = ""
    capacity: Sequence[int] = ()
    nodes: Sequence[str] = ("",)
    supplies: Sequence[tuple[str, str, str]] = ()


def smt(cores: int, threads: int = 2) -> list[list[int]]:
    """Siblings as the kernel numbers them: all first threads, then all second ones."""
    return [[core + cores * thread for thread in range(threads)] for core in range(cores)]


MACHINES = {
    "two sockets": Facts("AMD EPYC 7543 32-Core Processor", 512, smt(64), nodes=("0-31,64-95", "32-63,96-127")),
    "one socket as four nodes": Facts(
        "AMD EPYC 7763 64-Core Processor", 256, smt(64), nodes=[f"{16 * n}-{16 * n + 15}" for n in range(4)]
    ),
    "memory without CPUs": Facts("INTEL(R) XEON(R) GOLD 6530", 128, smt(32), nodes=("0-63", "")),
    # Six cores with two threads, eight slow ones and two slower ones; kernels before 6.12 give no capacity.
    "hybrid laptop": Facts(
        "Intel(R) Core(TM) Ultra 7 155H", 32, [[2 * n, 2 * n + 1] for n in range(6)] + [[n] for n in range(12, 22)],
        atom="12-21", supplies=(("AC", "Mains", ""), ("BAT0", "Battery", "")),
    ),
    "laptop of one kind": Facts(
        "AMD Ryzen 7 PRO 7840U w/ Radeon 780M Graphics", 16, smt(8), supplies=(("BAT0", "Battery", "System"),)
    ),
    "small laptop": Facts("Intel(R) N100", 4, [[n] for n in range(4)], supplies=(("BAT1", "Battery", ""),)),
    "desktop with a mouse": Facts(
        "AMD Ryzen 9 5950X 16-Core Processor", 64, smt(16), supplies=(("hidpp_battery_0", "Battery", "Device"),)
    ),
}  # fmt: skip


def make(root: Path, facts: Facts) -> Machine:
    """Writes the tree below `root` and reads it back as the runner does."""
    cpus = sorted(cpu for core in facts.cores for cpu in core)

    def write(path: str, text: str) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text + "\n")

    write("proc/meminfo", f"MemTotal:       {facts.gib << 20} kB")
    write("proc/cpuinfo", f"processor\t: 0\nmodel name\t: {facts.chip}")
    write("proc/self/cgroup", "0::/")
    write("proc/sys/kernel/random/boot_id", "boot")
    for core in facts.cores:
        for cpu in core:
            base = f"sys/devices/system/cpu/cpu{cpu}"
            write(f"{base}/topology/thread_siblings_list", ",".join(map(str, core)))
            if facts.capacity:
                write(f"{base}/cpu_capacity", str(facts.capacity[cpu]))
    if facts.atom:
        write("sys/devices/cpu_atom/cpus", facts.atom)
    for number, cpulist in enumerate(facts.nodes):
        whole = f"0-{len(cpus) - 1}"
        write(f"sys/devices/system/node/node{number}/cpulist", cpulist if len(facts.nodes) > 1 else whole)
    for name, kind, scope in facts.supplies:
        write(f"sys/class/power_supply/{name}/type", kind)
        if scope:
            write(f"sys/class/power_supply/{name}/scope", scope)
    return linux(root, cpus, "x86_64")
