"""A fake / with what the scripts of tuning/linux set, for the real scripts under TUNE_ROOT. Called by the tests here.

`make` gives the cpufreq of two policies alone; `machine` everything, and `STEPS` is a profile that changes all of it.
"""

from pathlib import Path

ORIGINAL = "governor.policy0=powersave,governor.policy1=schedutil,boost=1"

FILES = {
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
    "sys/kernel/mm/transparent_hugepage/defrag": "always defer defer+madvise [madvise] never",
    "proc/sys/vm/min_free_kbytes": "40000",
    "proc/sys/vm/nr_hugepages": "0",
    "proc/sys/vm/swappiness": "60",
    "proc/sys/vm/dirty_ratio": "20",
    "proc/sys/vm/dirty_bytes": "0",
    "sys/devices/system/cpu/cpuidle/current_governor": "menu",
    "sys/devices/system/cpu/cpuidle/available_governors": "ladder menu haltpoll",
    "sys/block/vda/queue/read_ahead_kb": "128",
}

STEPS = {
    "cpu-governor-setup": "governor=performance,boost=0",
    "thp": "enabled=never,min_free=67584",
    "sysctl:vm.swappiness": "10",
    "sysctl:vm.dirty": "bytes=1073741824",
    "cpuidle": "haltpoll",
}


# What a real machine has of it, for the lane that root starts with REAL_KEYS=1. Every kernel with cpuidle knows `menu`.
REAL_STEPS = {
    "thp": "never",
    "sysctl:vm.swappiness": "10",
    "sysctl:vm.dirty": "bytes=1073741824",
    "cpuidle": "menu|ladder",
}
REAL_FILES = (
    "sys/kernel/mm/transparent_hugepage/enabled", "sys/kernel/mm/transparent_hugepage/defrag",
    "proc/sys/vm/min_free_kbytes", "proc/sys/vm/swappiness", "proc/sys/vm/dirty_ratio", "proc/sys/vm/dirty_bytes",
    "sys/devices/system/cpu/cpuidle/current_governor",
)  # fmt: skip


def real_settings() -> dict[str, str]:
    """What the real machine has set now, of what REAL_STEPS and their side effects can change."""
    return {name: (Path("/") / name).read_text().strip() for name in REAL_FILES if (Path("/") / name).exists()}


def make(root: Path) -> Path:
    cpufreq = root / "sys/devices/system/cpu/cpufreq"
    for number, governor in enumerate(("powersave", "schedutil")):
        policy = cpufreq / f"policy{number}"
        policy.mkdir(parents=True)
        (policy / "scaling_governor").write_text(governor + "\n")
        (policy / "scaling_available_governors").write_text("performance powersave schedutil\n")
        (policy / "scaling_max_freq").write_text("4000000\n")
    (cpufreq / "boost").write_text("1\n")
    return cpufreq


def machine(root: Path) -> None:
    """Everything that `STEPS` changes."""
    make(root)
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")


def settings(root: Path) -> dict[str, str]:
    """All that is set now, by path; what a kill left beside a file on a fake root is no setting."""
    return {
        str(path.relative_to(root)): path.read_text().strip()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix != ".new"
    }


def governors(cpufreq: Path) -> list[str]:
    return [(cpufreq / f"policy{n}" / "scaling_governor").read_text().strip() for n in (0, 1)]
