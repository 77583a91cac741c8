"""What may vary: dimensions from a set in conf/search or from the command line, and the overrides of one point in them.

Reads yaml without Hydra; chooses nothing. Called by commands/tune_search, sampler and study.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from runner.errors import UsageError
from runner.machine import Machine

Scalar = str | int
Point = dict[str, Scalar]
"""Dimension -> value: a number, a value as it is written, or the name of a choice."""

_RANGE = re.compile(r"(\d+)\.\.(\d+)(\*)?")


@dataclass(frozen=True, slots=True)
class Dimension:
    """`values` to choose from, or whole numbers `low` to `high`. `bundles`: what a choice stands for, where it is not
    KEY=VALUE of the dimension's own name."""

    name: str
    values: tuple[Scalar, ...] = ()
    low: int = 0
    high: int = 0
    log: bool = False
    bundles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def overrides(self, value: Scalar) -> tuple[str, ...]:
        """Words of the command line."""
        return self.bundles[str(value)] if self.bundles else (f"{self.name}={value}",)

    def words(self) -> str:
        """For people, and for the identity of a study."""
        if self.bundles:
            return " | ".join(f"{name}: {' '.join(words)}" for name, words in self.bundles.items())
        return ",".join(map(str, self.values)) if self.values else f"{self.low}..{self.high}{'*' * self.log}"

    @property
    def size(self) -> int:
        """How many values it has."""
        return len(self.values) or self.high - self.low + 1


def dimension_of(text: str) -> Dimension:
    """`KEY=a,b,c`, `KEY=1..8` or `KEY=16..2048*`, in which the star makes doubling a step."""
    name, equals, space = text.partition("=")
    values = tuple(part.strip() for part in space.split(",") if part.strip())
    if not equals or not name.strip() or not values:
        raise UsageError(
            f"--over '{text}' is no dimension", "write KEY=a,b,c, KEY=1..8, or KEY=16..2048* for doublings"
        )
    if match := _RANGE.fullmatch(space.strip()):
        return _checked(Dimension(name.strip(), low=int(match[1]), high=int(match[2]), log=bool(match[3])))
    return _checked(Dimension(name.strip(), values))


def _checked(found: Dimension) -> Dimension:
    if found.size < 2 or (not found.values and found.low >= found.high):
        raise UsageError(f"{found.name} is {found.words()}: there is nothing to choose", "give two values or more")
    if found.log and found.low < 1:
        raise UsageError(f"{found.name} is {found.words()}: doubling does not start at 0", f"{found.name}=1..N*")
    return found


def read_space(file: Path, machine: Machine) -> list[Dimension]:
    """UsageError when the file does not hold dimensions. Those with one value on this machine are left out."""
    try:
        data: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        found = [_dimension(str(name), dict(entry), machine) for name, entry in data["dimensions"].items()]
    except (OSError, yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"the dimensions {file} cannot be read: {why}", "see conf/search/standard.yaml") from error
    return [each for each in found if each.size > 1]


def _dimension(name: str, entry: dict[str, Any], machine: Machine) -> Dimension:
    unknown = entry.keys() - {"values", "from", "to", "log", "choices"}
    if unknown:
        raise ValueError(f"dimension {name} has no key {', '.join(sorted(unknown))}")
    if "choices" in entry:
        bundles: dict[str, tuple[str, ...]] = {}
        for label, words in entry["choices"].items():
            filled = tuple(str(word).replace("{cores}", str(machine.physical_cores)) for word in words)
            if filled not in bundles.values():  # one core: both layouts are one
                bundles[str(label)] = filled
        return Dimension(name, tuple(bundles), bundles=bundles)
    if "values" in entry:
        return Dimension(name, tuple(entry["values"]))
    return _checked(Dimension(name, low=int(entry["from"]), high=int(entry["to"]), log=bool(entry.get("log", False))))


def overrides(space: Sequence[Dimension], point: Point) -> tuple[str, ...]:
    """Of one point, in the order of the dimensions."""
    return tuple(word for each in space if each.name in point for word in each.overrides(point[each.name]))
