"""The profiles that can be chosen: where each comes from, which groups it chooses, whether it fits this machine.

Reads yaml files only, without Hydra. Called by the profiles and doctor commands.
"""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from runner import layout
from runner.config.door import profile_values
from runner.config.fit import differences
from runner.config.schema import MachineConfig
from runner.machine import Machine


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """One profile. `unlike`: why this is not its machine, empty when it is; `problem`: why it cannot be used."""

    name: str
    source: str
    file: str
    about: str
    groups: dict[str, str]
    unlike: tuple[str, ...]
    problem: str


def profiles(machine: Machine, config_dir: str | None = None) -> list[ProfileRow]:
    """All of them; of two with one name the nearest, as Hydra takes it."""
    folders = layout.profile_folders(config_dir)
    rows: dict[str, ProfileRow] = {}
    for source, root in folders:
        for file in sorted((root / "profile").glob("*.yaml")):
            rows.setdefault(file.stem, _row(file, source, machine, [path for _, path in folders]))
    return list(rows.values())


def _row(file: Path, source: str, machine: Machine, roots: list[Path]) -> ProfileRow:
    try:
        groups = chosen_groups(file, roots)
        values = profile_values(file)
    except (yaml.YAMLError, OSError, ValueError) as error:
        return ProfileRow(file.stem, source, str(file), "", {}, (), " ".join(str(error).split()))
    problem = f"sets {', '.join(values)}: a profile only chooses groups" if values else ""
    wanted = _machine(groups.get("machine"), roots)
    unlike = tuple(differences(wanted, machine)) if wanted is not None else ()
    return ProfileRow(file.stem, source, str(file), _about(file), groups, unlike, problem)


def chosen_groups(file: Path, roots: list[Path], depth: int = 0) -> dict[str, str]:
    """Group -> choice, those of the profiles it extends first."""
    data: Any = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    out: dict[str, str] = {}
    for entry in data.get("defaults", []) if isinstance(data, dict) else []:
        if isinstance(entry, str):
            parent = entry.removeprefix("/profile/").removeprefix("profile/")
            found = next((root / "profile" / f"{parent}.yaml" for root in roots if _has(root, parent)), None)
            if found is not None and found != file and depth < 8:
                out |= chosen_groups(found, roots, depth + 1)
        elif isinstance(entry, dict):
            for key, choice in entry.items():
                out[re.sub(r"^(override )?/?", "", str(key))] = str(choice)
    return out


def _has(root: Path, profile: str) -> bool:
    return (root / "profile" / f"{profile}.yaml").is_file()


def _about(file: Path) -> str:
    """The first comment that is not for Hydra."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
    return ""


def _machine(name: str | None, roots: list[Path]) -> MachineConfig | None:
    for root in roots:
        file = root / "machine" / f"{name}.yaml"
        if file.is_file():
            data = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
            keys = (field.name for field in fields(MachineConfig) if field.name not in ("name", "strict"))
            return MachineConfig(name=str(name), strict=False, **{key: data.get(key) for key in keys})
    return None
