"""Censuses as the core writes them, made from files of known content."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

QUANTITIES = [
    "documents", "skipped", "failed", "duplicates", "near_duplicates", "text_bytes", "covered_bytes", "tokens",
    "chunks", "requests", "tokens_to_send",
]  # fmt: skip


@dataclass(frozen=True)
class File:
    """One file and what is in it."""

    kind: str
    bytes: int
    numbers: tuple[float, ...]


def files(count: int, seed: int) -> list[File]:
    """Pages whose tokens follow their bytes with a spread; every tenth is skipped."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        size = int(draw.lognormvariate(9, 1.2)) + 20
        skipped = number % 10 == 0
        text = 0.0 if skipped else size * draw.uniform(0.4, 0.8)
        tokens = round(text / draw.uniform(3.2, 4.4))
        kept = 0.0 if skipped else 1.0
        made.append(
            File("html", size, (kept, 1 - kept, 0, 0, 0, text, text, tokens, kept * (1 + tokens // 2000), kept, tokens))
        )
    return made


def stratum(kind: str, size_class: int, members: Sequence[File], read: Sequence[File]) -> dict[str, Any]:
    """As native/src/core/census/tally.rs writes it."""
    width = range(len(QUANTITIES))
    return {
        "kind": kind,
        "size_class": size_class,
        "files": len(members),
        "bytes": sum(file.bytes for file in members),
        "read": len(read),
        "read_bytes": sum(file.bytes for file in read),
        "bytes_squared": float(sum(file.bytes**2 for file in read)),
        "sums": [sum(file.numbers[at] for file in read) for at in width],
        "squares": [sum(file.numbers[at] ** 2 for file in read) for at in width],
        "products": [sum(file.bytes * file.numbers[at] for file in read) for at in width],
        "variance": [0.0 for _ in width],
        "tokens": [[file.numbers[7], 1.0] for file in read if file.numbers[0]],
        "chunks": [],
        "partly": False,
    }


def census(strata: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """The whole object."""
    kinds: dict[str, list[int]] = {}
    for part in strata:
        known = kinds.setdefault(part["kind"], [0, 0])
        known[0] += part["files"]
        known[1] += part["bytes"]
    return {
        "complete": True, "quantities": QUANTITIES, "kinds": kinds, "strata": strata, "reasons": [],
        "unchanged_files": 0, "unchanged": {}, "longest": None, "near_example": None, "chosen": None,
        "not_compared": 0, "duplicates_cut": False, **more,
    }  # fmt: skip
