"""The documents that a unit reads, made by number: the same bytes on every machine. Called by commands/validate and
its lane.

A slowdown is planted by documents that an arm does not own up to: 5 % more of them cost 5 % more of everything that a
document costs, and no clock and no sleep is involved.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from runner.config.overrides import LITERAL_KEYS, literal_value

UNIT_DOCUMENTS: Final = 40
"""Of one life; a unit of three lives takes 0.13 s of processor time on a small x86 machine."""

OVERRIDES: Final = (
    "model=tiny", "model.engine=scripted", 'model.script={"output": "hash"}', "job=prompt",
    "job.template={{ document }}", "job.max_tokens=64", "output.reuse=never", "output.durability=process",
    "cores.workers=1", "cores.rust_threads=1", "on_busy=wait",
)  # fmt: skip
"""Of every unit: one thread of each kind, so that a busy machine lengthens the wall and not the work."""


def overrides(folder: Path) -> list[str]:
    """The words of a unit's run over `folder`; literal ones quoted as the command line does."""
    words = []
    for word in (*OVERRIDES, f"input={folder}"):
        key, _, value = word.partition("=")
        words.append(f"{key}={literal_value(key, value)}" if key in LITERAL_KEYS else word)
    return words


def write(folder: Path, documents: int = UNIT_DOCUMENTS) -> Path:
    """Writes that many documents into `folder`; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(documents):
        text = f"Document {number}. " + "Some words that are read, cut into tokens and handed over. " * 16
        (folder / f"{number:05}.txt").write_text(text, encoding="utf-8")
    return folder
