"""The files of a user's own profile, as text: numbers that were chosen for one machine, each with its comment.

Pure: groups and new values come in, texts go out. Writes nothing (store does) and composes nothing. Called by the
profiles command and by search.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from runner.config.groups import Group
from runner.config.schema import Cores, Memory
from runner.machine import Machine

MIB = 2**20


def profile_file(about: str, evidence: Sequence[str], parent: str, groups: Mapping[str, str]) -> str:
    """`profile/NAME.yaml`: begins with `parent` and chooses `groups` instead of its own."""
    chosen = [f"  - override /{group}: {choice}" for group, choice in groups.items()]
    head = ["# @package _global_", f"# {about}", *(f"# {line}" for line in evidence)]
    rule = "# A profile only chooses groups: numbers live in the group files."
    return "\n".join([*head, rule, "defaults:", f"  - /profile/{parent}", *chosen, "  - _self_"]) + "\n"


def group_file(about: str, group: Group, changed: Mapping[str, Any], why: str = "") -> str:
    """A group file with all keys of `group`, those in `changed` with their new value, what they were, and `why`."""
    lines = [f"# {about}", ""]
    depth: list[str] = []
    for each in group.values:
        *above, key = each.key.split(".")
        value = changed.get(each.key, each.value)
        was = f"Was {each.text} in {group.file.parent.name}/{group.file.stem}{why}."
        note = was if value != each.value and each.key != "name" else ""
        for at, name in enumerate(above):
            if depth[: at + 1] != above[: at + 1]:
                lines.append(f"{'  ' * at}{name}:")
                depth = above[: at + 1]
        pad = "  " * len(above)
        for text in (each.about, note):
            if text:
                wrapped = textwrap.wrap(text, 116 - len(pad), break_long_words=False, break_on_hyphens=False)
                lines += [f"{pad}# {line}" for line in wrapped]
        dumped = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).strip()
        lines.append(f"{pad}{key}: {dumped.removesuffix('...').strip()}")
    return "\n".join(lines) + "\n"


def memory_values(memory: Memory) -> dict[str, str]:
    """The pools as they came out, in whole MiB; what rounding the system's reserve up takes comes from rust."""
    sizes = {name: getattr(memory, f"{name}_bytes") // MIB for name in ("total", "rust", "mlx", "ipc", "mlx_cache")}
    sizes["system"] = -(-memory.system_bytes // MIB)
    over = sum(sizes[name] for name in ("rust", "mlx", "ipc", "system")) - sizes["total"]
    sizes["rust"] -= max(0, over)
    return {name: f"{size}MiB" for name, size in sizes.items()}


def cores_values(cores: Cores) -> dict[str, Any]:
    """Workers and threads as they came out."""
    return {
        "workers": cores.workers,
        "threads_per_worker": cores.threads_per_worker,
        "rust_threads": cores.rust_threads,
    }


def machine_values(name: str, machine: Machine) -> dict[str, Any]:
    """The facts that make another machine a foreign one."""
    fast = machine.count("performance") + machine.count("standard")
    return {
        "name": name,
        "os": machine.os,
        "arch": machine.arch,
        "chip": machine.chip,
        "memory": f"{machine.memory_bytes // MIB}MiB",
        "performance_cores": min(fast, machine.physical_cores),
        "efficiency_cores": machine.count("efficiency"),
        "numa_nodes": max(1, len(machine.nodes)),
        "battery": machine.battery,
    }
