"""The figures that were required of this product, each with its honest equivalent: what is held instead and why, what
was measured and by which command, or why it does not apply here.

Reads targets.toml and makes docs/claims.md of it; a test holds the two together. Measures nothing.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("targets.toml")
STANDINGS: Final = ("met", "missed", "not measured", "not applicable")


@dataclass(frozen=True, slots=True)
class Target:
    """`required`: as it was asked for; `means`: what is held; `today`: the figure with its conditions; `shown_by`: the
    command that shows it, "" where there is none."""

    required: str
    standing: str
    means: str
    today: str
    shown_by: str


def read() -> tuple[str, list[Target]]:
    """The machine of the figures, and all targets."""
    data = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return data["machine"], [Target(**target) for target in data["target"]]


def page() -> str:
    """docs/claims.md, whole."""
    machine, targets = read()
    rows = [
        f"| {target.required} | **{target.standing}** | {target.means} | {target.today} | {_code(target.shown_by)} |"
        for target in targets
    ]
    return "\n".join([
        "# What was required, and what is claimed",
        "",
        "Made by `runner validate --targets --markdown` from runner/validate/targets.toml; do not edit.",
        f"Machine of the figures: {machine}. What was not measured is not claimed.",
        "",
        "| required | standing | what it means here | today | shown by |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ])  # fmt: skip


def _code(shown: str) -> str:
    return "; ".join(f"`{part.strip()}`" for part in shown.split(";")) if shown else "-"
