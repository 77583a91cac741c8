"""What else the machine did while a pair ran: steal, other processes, swapping in, the power plug.

Reads counters of the kernel before and after; decides by limits that are fixed before the first pair and look at the
pair as a whole, so that they favour no arm. Only Linux shows these without rights: elsewhere nothing is watched, and
the evidence says so. Called by session.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MOST_STEAL: Final = 0.05
MOST_FOREIGN: Final = 0.20
MOST_SWAPPED_IN: Final = 256
"""Pages."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Counters since the machine started, in seconds of all CPUs together; `plugged` is the power source."""

    total_s: float
    idle_s: float
    steal_s: float
    swapped_in: int
    plugged: str


def watched() -> bool:
    """Whether this system shows the counters."""
    return Path("/proc/stat").is_file()


def sample(root: Path = Path("/")) -> Sample | None:
    """None where nothing is watched."""
    try:
        stat = (root / "proc/stat").read_text(encoding="ascii")
        vmstat = (root / "proc/vmstat").read_text(encoding="ascii")
    except OSError:
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    fields = [int(each) / ticks for each in stat.split("\n", 1)[0].split()[1:9]]
    swapped = next((int(line.split()[1]) for line in vmstat.splitlines() if line.startswith("pswpin ")), 0)
    plugs = sorted((root / "sys/class/power_supply").glob("*/online"))
    return Sample(
        total_s=sum(fields),
        idle_s=fields[3] + fields[4],
        steal_s=fields[7],
        swapped_in=swapped,
        plugged=",".join(plug.read_text(encoding="ascii").strip() for plug in plugs),
    )


def reasons(before: Sample | None, after: Sample | None, own_cpu_s: float) -> list[str]:
    """Why a pair between two samples is measured again, empty when it is not. `own_cpu_s`: what both arms used."""
    if before is None or after is None:
        return []
    whole = after.total_s - before.total_s
    if whole <= 0:
        return []
    steal = (after.steal_s - before.steal_s) / whole
    busy = whole - (after.idle_s - before.idle_s) - (after.steal_s - before.steal_s)
    foreign = max(0.0, busy - own_cpu_s) / whole
    swapped = after.swapped_in - before.swapped_in
    found = []
    if steal > MOST_STEAL:
        found.append(f"steal {steal:.0%}")
    if foreign > MOST_FOREIGN:
        found.append(f"other processes {foreign:.0%} of the machine")
    if swapped > MOST_SWAPPED_IN:
        found.append(f"{swapped} pages read back from swap")
    if before.plugged != after.plugged:
        found.append("the power source changed")
    return found
