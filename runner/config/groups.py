"""What a group file says of its values: each key with the comment above it, and what a configuration makes of it here.

Reads yaml files only, without Hydra; composes and changes nothing. Called by the profiles command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from runner.config.schema import Cores, RunnerConfig
from runner.config.sizes import format_size
from runner.machine import Machine

_KEY = re.compile(r"( *)([\w.:/-]+):( |$)")
_DEPTH = 8
"""Group files that begin with another one, one behind the other."""


@dataclass(frozen=True, slots=True)
class Value:
    """One key below its group (`steps.thp`), its value, and the comment above it."""

    key: str
    value: Any
    about: str

    @property
    def text(self) -> str:
        """The value as it is written."""
        return shown(self.value)


@dataclass(frozen=True, slots=True)
class Group:
    """One group file; `values` with those of the file that it begins with, in its order."""

    file: Path
    values: tuple[Value, ...]


def read_group(group: str, choice: str, roots: Sequence[Path], depth: int = 0) -> Group:
    """The nearest file of that name. ValueError when there is none, OSError and YAMLError as they come."""
    file = next(
        (root / group / f"{choice}.yaml" for root in roots if (root / group / f"{choice}.yaml").is_file()), None
    )
    if file is None or depth > _DEPTH:
        raise ValueError(f"there is no group file {group}/{choice}.yaml")
    text = file.read_text(encoding="utf-8")
    data: Any = yaml.safe_load(text) or {}
    values: dict[str, Value] = {}
    for parent in data.pop("defaults", []):
        if isinstance(parent, str) and parent != "_self_":
            values |= {each.key: each for each in read_group(group, parent, roots, depth + 1).values}
    about = comments(text)
    for key, value in flat(data):
        above = about.get(key) or (values[key].about if key in values else "")
        values[key] = Value(key, value, above)
    return Group(file, tuple(values.values()))


def flat(data: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys; an empty mapping is a value."""
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{at}{key}.")
        else:
            yield f"{at}{key}", value


def shown(value: Any) -> str:
    """As it is written in yaml."""
    if isinstance(value, str):
        return value
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).strip().removesuffix("...").strip()


def comments(text: str) -> dict[str, str]:
    """Dotted key -> the comment lines right above it, in one line."""
    found: dict[str, str] = {}
    said: list[str] = []
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        if line.strip().startswith("#"):
            said.append(line.strip().lstrip("#").strip())
        elif match := _KEY.match(line):
            indent = len(match[1])
            path = [(depth, key) for depth, key in path if depth < indent] + [(indent, match[2])]
            found[".".join(key for _, key in path)] = " ".join(said)
            said = []
        else:
            said = []
    return found


# ---- what becomes of them on a machine ----


def here(config: RunnerConfig, machine: Machine) -> dict[str, str]:
    """`group.key` -> what it comes to on this machine, of the keys that the machine has a say in."""
    memory = config.memory
    out = {
        f"memory.{name}": format_size(getattr(memory, f"{name}_bytes"))
        for name in ("total", "rust", "mlx", "ipc", "system", "mlx_cache")
    }
    out["memory.wired"] = memory.wired
    out |= _cores(config.cores)
    out |= {
        f"batching.{name}": shown(getattr(config.batching, name))
        for name in ("max_num_seqs", "prefill_batch_size", "prefill_step_size")
    }
    return out | facts(machine)


def _cores(cores: Cores) -> dict[str, str]:
    on = "; ".join(",".join(map(str, cpus)) for cpus in cores.worker_cpus if cpus)
    return {
        "cores.workers": str(cores.workers),
        "cores.threads_per_worker": str(cores.threads_per_worker),
        "cores.rust_threads": str(cores.rust_threads),
        "cores.pin": f"CPUs {on}" if on else "not pinned",
    }


def facts(machine: Machine) -> dict[str, str]:
    """The machine's own side of what a file of `machine/` compares."""
    return {
        "machine.os": machine.os,
        "machine.arch": machine.arch,
        "machine.chip": machine.chip,
        "machine.memory": format_size(machine.memory_bytes),
        "machine.performance_cores": str(machine.count("performance") + machine.count("standard")),
        "machine.efficiency_cores": str(machine.count("efficiency")),
        "machine.numa_nodes": str(max(1, len(machine.nodes))),
        "machine.battery": "true" if machine.battery else "false",
    }
