"""What each profile gives, changes or refuses on recorded machines, as one page that a person can review.

Facts of the Macs are chip, cores by kind and memory of configurations that secondary pages agree on, none read from the
machine itself; they pass through the function that reads sysctl. RUNNER_WRITE_GOLDEN=1 writes the page anew; its change
is then reviewed like code.
"""

import os
from pathlib import Path

import pytest

from runner.config.compose import compose
from runner.config.sizes import format_size
from runner.errors import UsageError
from runner.machine import CoreKind, Machine, choose_profile, perf_levels

PAGE = Path(__file__).parents[2] / "golden" / "profiles.txt"
PROFILES = ("apple_silicon", "m3max", "linux_cpu")
# Chip, cores of level 0 and 1 with the names that hw.perflevelN.name has, GiB.
MACS = (
    ("Apple M1 Max", ("Performance", 8), ("Efficiency", 2), 32),
    ("Apple M1 Ultra", ("Performance", 16), ("Efficiency", 4), 128),
    ("Apple M2 Max", ("Performance", 8), ("Efficiency", 4), 96),
    ("Apple M3 Max", ("Performance", 10), ("Efficiency", 4), 36),
    ("Apple M3 Max", ("Performance", 12), ("Efficiency", 4), 128),
    ("Apple M3 Ultra", ("Performance", 24), ("Efficiency", 8), 512),
    ("Apple M4 Max", ("Performance", 12), ("Efficiency", 4), 64),
    ("Apple M5 Max", ("Super", 6), ("Performance", 12), 128),
)


def mac(chip: str, first: tuple[str, int], second: tuple[str, int], gib: int) -> Machine:
    values: dict[str, str | int] = {"hw.nperflevels": 2}
    for level, (name, count) in enumerate((first, second)):
        values |= {f"hw.perflevel{level}.name": name, f"hw.perflevel{level}.physicalcpu": count}
    return Machine("darwin", "arm64", chip, gib << 30, gib << 30, "physical memory", perf_levels(values), None, "boot")


def linux(cores: int, gib: int) -> Machine:
    kinds = (CoreKind("standard", cores, tuple((n,) for n in range(cores))),)
    return Machine("linux", "x86_64", "x86-64", gib << 30, gib << 30, "physical memory", kinds, None, "boot")


MACHINES = (*(mac(*each) for each in MACS), linux(2, 23), linux(64, 256))


def described(machine: Machine) -> list[str]:
    kinds = " + ".join(f"{group.physical} {group.kind}" for group in machine.cores)
    lines = [f"{machine.chip}, {kinds}, {format_size(machine.memory_bytes)}: {choose_profile(machine)[0]} by itself"]
    for profile in PROFILES:
        try:
            config = compose([f"+profile={profile}"], machine)
        except UsageError as error:
            lines += [f"  {profile}: refused", *(f"    {problem.text}" for problem in error.problems)]
            continue
        memory, cores, batching = config.memory, config.cores, config.batching
        pools = ", ".join(f"{name} {format_size(getattr(memory, f'{name}_bytes'))}" for name in POOLS)
        pinned = "pinned" if any(cores.worker_cpus) else "not pinned"
        lines += [
            f"  {profile}: {config.model.name}",
            f"    memory  {pools}; wired {memory.wired}",
            f"    cores   {cores.workers} x {cores.threads_per_worker} {pinned}, {cores.rust_threads} to read",
            f"    rows    {batching.max_num_seqs}, of them {batching.prefill_batch_size} in a prefill",
            *(f"    fitted  {fit.key}: {fit.was} -> {fit.now} ({fit.why})" for fit in config.profile.fitted),
        ]
    return lines


POOLS = ("rust", "mlx", "ipc", "system")


def test_profiles_give_recorded_machines_what_was_reviewed() -> None:
    text = "\n".join(line for machine in MACHINES for line in (*described(machine), ""))
    if os.environ.get("RUNNER_WRITE_GOLDEN") == "1":
        PAGE.write_text(text, encoding="utf-8")
    assert text == PAGE.read_text(encoding="utf-8"), "RUNNER_WRITE_GOLDEN=1 writes it anew: review what changed"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: f"{m.chip}-{m.memory_bytes >> 30}")
def test_the_profile_that_is_chosen_needs_no_fitting(machine: Machine) -> None:
    assert compose([f"+profile={choose_profile(machine)[0]}"], machine).profile.fitted == ()


def test_a_second_level_of_fast_cores_is_not_called_efficient() -> None:
    assert mac(*MACS[-1]).count("performance") == 18
    assert mac(*MACS[0]).count("efficiency") == 2
