"""What each profile gives, changes or refuses on recorded machines, as one page that a person can review.

Facts of the Macs are chip, cores by kind and memory of configurations that secondary pages agree on, none read from the
machine itself; they pass through the function that reads sysctl. Those of the Linux machines are trees of files that
pass through the function that reads /proc and /sys (fake_sys.py). RUNNER_WRITE_GOLDEN=1 writes the page anew; its
change is then reviewed like code.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.config import fit
from runner.config.compose import compose
from runner.config.sizes import format_size
from runner.errors import UsageError
from runner.machine import CoreKind, Machine, choose_profile, perf_levels
from tests.unit.config import fake_sys

PAGE = Path(__file__).parents[2] / "golden" / "profiles.txt"
MAC_PROFILES = ("apple_silicon", "m3max", "linux_cpu")
LINUX_PROFILES = ("linux_cpu", "linux_numa", "linux_laptop", "m3max")
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


def trees() -> Iterator[Machine]:
    for facts in fake_sys.MACHINES.values():
        with tempfile.TemporaryDirectory() as root:
            yield fake_sys.make(Path(root), facts)


MACHINES = (*(mac(*each) for each in MACS), linux(2, 23), linux(64, 256), *trees())


def described(machine: Machine) -> list[str]:
    kinds = " + ".join(f"{group.physical} {group.kind}" for group in machine.cores)
    size = format_size(machine.memory_bytes)
    more = f", {len(machine.nodes)} NUMA nodes" * (len(machine.nodes) > 1) + ", battery" * machine.battery
    lines = [f"{machine.chip}, {kinds}, {size}{more}: {choose_profile(machine)[0]} by itself"]
    every = MAC_PROFILES if machine.metal else LINUX_PROFILES if machine.physical_cores == 2 else ("linux_cpu",)
    for profile in dict.fromkeys((choose_profile(machine)[0], *every)):
        try:
            config = compose([f"+profile={profile}"], machine)
        except UsageError as error:
            lines.append(f"  {profile}: refused")
            lines += [f"    {problem.text}; {problem.cure}" for problem in error.problems]
            continue
        memory, cores, batching = config.memory, config.cores, config.batching
        pools = ", ".join(f"{name} {format_size(getattr(memory, f'{name}_bytes'))}" for name in POOLS)
        first = "; ".join(",".join(map(str, cpus)) for cpus in cores.worker_cpus[:4] if cpus)
        pinned = f"pinned to {first}{'; ...' * (cores.workers > 4)}" if first else "not pinned"
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
    fitted = compose([f"+profile={choose_profile(machine)[0]}"], machine).profile.fitted
    small = machine.memory_bytes < 8 << 30  # a quarter of it is less than the system's least reserve
    assert [each.key for each in fitted] == ["memory.system"] * small


def test_a_second_level_of_fast_cores_is_not_called_efficient() -> None:
    assert mac(*MACS[-1]).count("performance") == 18
    assert mac(*MACS[0]).count("efficiency") == 2


# ---- facts of Linux machines ----


@pytest.fixture
def facts(tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    return fake_sys.make(tmp_path, fake_sys.MACHINES[request.param])


@pytest.mark.parametrize(
    ("facts", "profile"),
    [
        ("two sockets", "linux_numa"),
        ("one socket as four nodes", "linux_numa"),
        ("memory without CPUs", "linux_cpu"),
        ("hybrid laptop", "linux_laptop"),
        ("laptop of one kind", "linux_laptop"),
        ("desktop with a mouse", "linux_cpu"),
    ],
    indirect=["facts"],
)
def test_files_of_the_kernel_choose_the_profile(facts: Machine, profile: str) -> None:
    assert choose_profile(facts)[0] == profile


@pytest.mark.parametrize("facts", ["two sockets"], indirect=True)
def test_workers_go_round_the_nodes_and_each_stays_on_one(facts: Machine) -> None:
    whole = compose(["+profile=linux_numa", "cores.workers=4", "cores.threads_per_worker=8"], facts).cores
    nodes = [{0 if cpu < 32 else 1 for cpu in cpus} for cpus in whole.worker_cpus]
    assert nodes == [{0}, {1}, {0}, {1}]
    assert len({cpu for cpus in whole.worker_cpus for cpu in cpus}) == 32


def test_a_worker_larger_than_what_is_left_of_each_node_goes_across_them() -> None:
    assert fit.pinned(3, 3, range(10), [range(5), range(5, 10)]) == ((0, 1, 2), (5, 6, 7), (3, 4, 8))
    assert fit.pinned(4, 3, range(10), [range(5), range(5, 10)]) == ()


@pytest.mark.parametrize("facts", ["hybrid laptop"], indirect=True)
def test_a_laptop_keeps_its_slow_cores_and_one_fast_core_free(facts: Machine) -> None:
    assert (facts.count("performance"), facts.count("efficiency")) == (6, 10)
    cores = compose(["+profile=linux_laptop"], facts).cores
    assert cores.worker_cpus == ((0,), (2,), (4,), (6,), (8,))
    assert compose(["+profile=linux_laptop", "cores.kinds=all", "cores.spare=0"], facts).cores.workers == 16


@pytest.mark.parametrize("facts", ["laptop of one kind"], indirect=True)
def test_more_spare_cores_than_cores_are_refused(facts: Machine) -> None:
    with pytest.raises(UsageError, match=r"cores\.spare is 8, and there are 8 cores"):
        compose(["+profile=linux_laptop", "cores.spare=8"], facts)


@pytest.mark.parametrize("facts", ["hybrid laptop"], indirect=True)
def test_a_strict_profile_of_another_machine_is_refused_with_each_difference(facts: Machine) -> None:
    with pytest.raises(UsageError, match="1 NUMA node instead of 2 or more"):
        compose(["+profile=linux_numa", "machine.strict=true"], facts)


def test_memory_that_the_total_leaves_out_is_the_systems_too() -> None:
    ultra = mac("Apple M3 Ultra", ("Performance", 24), ("Efficiency", 8), 512)
    memory = compose(["+profile=m3max"], ultra).memory
    assert (memory.total_bytes >> 30, memory.system_bytes >> 30) == (128, 8)
    with pytest.raises(UsageError, match=r"memory\.system is 8\.0 GiB and memory\.total leaves 12\.0 GiB out"):
        compose(["+profile=m3max", "memory.total=500GiB", "memory.mlx=400GiB"], ultra)
