"""The table of docs/errors.md as data, and what a provoked row must show. Provokes nothing (test_bad_input does)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DOC = Path(__file__).parents[2] / "docs" / "errors.md"


@dataclass(frozen=True, slots=True)
class Row:
    """`shown`: the texts in backticks of the message cell, `...` in them for anything."""

    name: str
    shown: tuple[str, ...]
    code: int


def rows(text: str) -> dict[str, Row]:
    """The rows below 'Bad input', by their first cell."""
    section = text.split("## Bad input", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| (.+?) \| (.+?) \| (\d+) \|$", section, re.MULTILINE)
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    assert len(cells) == len(lines) - 1, "a row is not written as | what | message | exit |"  # - 1: the head
    return {name: Row(name, tuple(re.findall(r"`([^`]+)`", message)), int(code)) for name, message, code in cells}


def untested(table: Iterable[str], tested: Iterable[str]) -> set[str]:
    """Rows without a test, and tests without a row."""
    return set(table) ^ set(tested)


def missing(row: Row, code: int, seen: str, stderr: str) -> list[str]:
    """What `row` promises and a command that ended with `code` did not show; `seen` holds the messages, one in the
    other's lines or not."""
    flat = " ".join(seen.split())
    wrong = [
        f"nothing like `{part}`"
        for part in row.shown
        if not re.search(".*".join(re.escape(piece) for piece in part.split("...")), flat)
    ]
    if code != row.code:
        wrong.append(f"exit {code} instead of {row.code}")
    if "Traceback" in stderr:
        wrong.append("a stack trace")
    if row.code in (2, 74, 75) and not re.search(r"hint: \S", stderr):
        wrong.append("no cure")
    return [f"{row.name}: {each}" for each in wrong]
