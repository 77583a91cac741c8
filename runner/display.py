"""Text of others (names, reasons, answers) made safe to show: nothing in it moves the cursor, turns the direction of
text or
becomes a formula of a spreadsheet. Also the plain table of a terminal.

Pure. Called by the commands that print what documents and runs say; HTML has its own rules (report).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

_ACTS: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Acts on a terminal or on the order of text, or is not seen at all, or cannot be encoded."""
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str, limit: int = 300, *, lines: bool = False) -> str:
    """At most `limit` characters (0: all); ESC is shown as ␛, U+202E as ⟨U+202E⟩.

    `lines`: line breaks and tabs stay.
    """
    cut = text[:limit] if limit else text
    shown = _ACTS.sub(lambda found: _name(found[0], lines), cut)
    return f"{shown}… ({len(text):,} characters)" if len(cut) < len(text) else shown


def _name(char: str, lines: bool) -> str:
    code = ord(char)
    if char in "\n\t":
        return char if lines else chr(0x2400 + code)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"⟨U+{code:04X}⟩"


def csv_cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula: text that could be one gets a quote in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def width(text: str) -> int:
    """Columns on a terminal."""
    return sum(0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF") for char in text)


def table(head: Sequence[str], rows: Sequence[Sequence[object]], most: int = 60) -> str:
    """Columns for a terminal: numbers to the right, a cell at most `most` characters but in the last column."""
    cells = [[_cell(value, 0 if place == len(head) - 1 else most) for place, value in enumerate(row)] for row in rows]
    right = [
        bool(rows) and all(isinstance(row[place], int | float | None) for row in rows) for place in range(len(head))
    ]
    lines = [list(head), *cells]
    widths = [max(width(line[place]) for line in lines) for place in range(len(head))]
    out = []
    for line in lines:
        padded = []
        for cell, wide, flush in zip(line, widths, right, strict=True):
            gap = " " * (wide - width(cell))
            padded.append(gap + cell if flush else cell + gap)
        out.append("  ".join(padded).rstrip())
    return "\n".join(out)


def _cell(value: object, most: int) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    shown = visible(str(value), 0)
    return shown if not most or len(shown) <= most else shown[: most - 1] + "…"
