"""A fake / with a cpufreq of two policies, for the real script under TUNE_ROOT. Called by the tests of this folder."""

from pathlib import Path

ORIGINAL = "governor.policy0=powersave,governor.policy1=schedutil,boost=1"


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


def governors(cpufreq: Path) -> list[str]:
    return [(cpufreq / f"policy{n}" / "scaling_governor").read_text().strip() for n in (0, 1)]
