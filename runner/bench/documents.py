"""The documents of an engine bench: real text files of a length that is wanted, the same in every run of one seed.

Takes whole files only and cuts none. Does not run anything. Called by bench.engine.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from runner.errors import UsageError

_NAMES = (".txt", ".md", ".rst")
_LARGEST_BYTES = 64_000
"""Far above what the longest wanted document holds: larger files are not even tokenised."""


@dataclass(frozen=True, slots=True)
class BenchDocument:
    """`token_ids` are those of the text alone, without prompt."""

    text: str
    token_ids: tuple[int, ...]


def choose(corpus: Path, tokenizer: Path, count: int, least: int, most: int, seed: int) -> list[BenchDocument]:
    """`count` files below `corpus` of `least` to `most` tokens, drawn with `seed`. UsageError when there are fewer."""
    encoder = Tokenizer.from_file(str(tokenizer))
    files = sorted(path for path in corpus.rglob("*") if path.suffix in _NAMES and path.is_file())
    random.Random(seed).shuffle(files)
    found: list[BenchDocument] = []
    seen: set[str] = set()
    for path in files:
        if path.stat().st_size > _LARGEST_BYTES:
            continue
        text = path.read_text(encoding="utf-8", errors="replace").strip()
        if text in seen:
            continue
        seen.add(text)
        ids = encoder.encode(text, add_special_tokens=False).ids
        if least <= len(ids) <= most:
            found.append(BenchDocument(text, tuple(ids)))
            if len(found) == count:
                return found
    raise UsageError(
        f"{corpus} has {len(found)} text files of {least} to {most} tokens ({', '.join(_NAMES)}); {count} are needed",
        "name a larger folder, or lower --documents",
    )


def spread(lengths: Sequence[int], seats: int) -> list[list[int]]:
    """Indices for each seat, the longest first to the emptiest: seats end at about the same time."""
    shares: list[list[int]] = [[] for _ in range(seats)]
    loads = [0] * seats
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        seat = loads.index(min(loads))
        shares[seat].append(index)
        loads[seat] += lengths[index]
    return shares
