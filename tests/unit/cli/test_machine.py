"""Facts of recorded machines: what the kernels say becomes cores, limits and kinds."""

import pytest

from runner import machine


def test_smt_siblings_are_one_core_and_only_allowed_cpus_count() -> None:
    siblings = {0: (0, 4), 1: (1, 5), 4: (0, 4), 5: (1, 5)}
    (group,) = machine.linux_cores([0, 1, 4, 5], {}, siblings)
    assert (group.kind, group.physical, group.cpus) == ("standard", 2, ((0, 4), (1, 5)))
    (group,) = machine.linux_cores([1, 4], {}, siblings)
    assert group.cpus == ((1,), (4,))


def test_capacity_tells_fast_from_slow_cores() -> None:
    groups = machine.linux_cores(range(4), {0: 400, 1: 400, 2: 1024, 3: 1000}, {})
    assert [(group.kind, group.cpus) for group in groups] == [
        ("performance", ((2,), (3,))),
        ("efficiency", ((0,), (1,))),
    ]


@pytest.mark.parametrize(
    ("text", "expected"), [("max\n", (100, "physical memory")), ("60\n", (60, "f")), ("900", (100, "physical memory"))]
)
def test_the_tightest_memory_limit_wins(text: str, expected: tuple[int, str]) -> None:
    assert machine.tightest_limit(100, [("f", text), ("g", "")]) == expected


def test_cpu_quotas() -> None:
    assert machine.tightest_quota(["max 100000", "150000 100000", ""]) == 1.5
    assert machine.tightest_quota(["max 100000"]) is None


def test_cgroup_folders_go_up_to_the_root() -> None:
    assert machine.cgroup_folders("0::/a/b\n") == ("/sys/fs/cgroup/a/b", "/sys/fs/cgroup/a", "/sys/fs/cgroup")
    assert machine.cgroup_folders("5:cpu,memory:/x\n3:pids:/y\n")[0] == "/sys/fs/cgroup/memory/x"


def test_apple_levels_become_kinds() -> None:
    values = {"hw.nperflevels": 2, "hw.perflevel0.physicalcpu": 12, "hw.perflevel1.physicalcpu": 4}
    assert [(group.kind, group.physical) for group in machine.perf_levels(values)] == [
        ("performance", 12),
        ("efficiency", 4),
    ]


def test_kernel_cpu_lists() -> None:
    assert machine.parse_cpu_list("0-3,8\n") == (0, 1, 2, 3, 8)
