"""Rows as lines of a given width: wrapped between words, never over the edge, in one or two columns. Pure.

Widths are cells, since some characters take two. Called by screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from runner.progress.board import NO_BREAK, Row

TWO_COLUMNS: Final = 110
"""Cells from which two columns are easier to read than long lines."""

LABEL: Final = 11
BLOCKS: Final = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS: Final = "_.-=+*#@"
LEAST_WIDTH: Final = 24


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells; a word that is longer than a line is broken where the line ends."""
    lines: list[str] = []
    line, used = "", 0
    for word in text.split(" "):
        cells = cell_len(word)
        if line and used + 1 + cells <= width:
            line, used = f"{line} {word}", used + 1 + cells
            continue
        if line:
            lines.append(line)
        line, used = "", 0
        for char in word:
            size = cell_len(char)
            if used + size > width:
                lines.append(line)
                line, used = "", 0
            line, used = line + char, used + size
    found = [*lines, line] if line or not lines else lines
    return [line.replace(NO_BREAK, " ") for line in found]


def sparkline(values: Sequence[float], width: int, plain: bool) -> str:
    """The course of the values in `width` cells: the highest of each stretch, from 0 to the highest of all."""
    if not values or width < 1:
        return ""
    blocks = ASCII_BLOCKS if plain else BLOCKS
    count = min(width, len(values))
    stretches = [values[at * len(values) // count : (at + 1) * len(values) // count] for at in range(count)]
    top = max(values)
    if top <= 0:
        return blocks[0] * count
    return "".join(blocks[min(len(blocks) - 1, int(max(stretch) / top * len(blocks)))] for stretch in stretches)


def bar(share: float, width: int, plain: bool) -> str:
    """A bar of `width` cells."""
    full = round(min(1.0, max(0.0, share)) * width)
    return ("#" if plain else "━") * full + ("." if plain else "╌") * (width - full)


def row_lines(row: Row, width: int, plain: bool) -> list[Text]:
    """One row: its label, then its text behind it, further lines under the text."""
    room = max(1, width - LABEL)
    lines = wrap(row.text, room)
    marks: list[tuple[str, str]] = []
    if row.bar is not None:
        lines[0:0] = [bar(row.bar, min(room - 5, 60), plain) + f" {row.bar:4.0%}"]
        marks = [("cyan", lines[0])]
    if row.spark:
        lines[0:0] = [sparkline(row.spark, min(room, 60), plain)]
        marks = [("green", lines[0])]
    out = []
    for number, line in enumerate(lines):
        text = Text(no_wrap=True, end="")
        text.append(f"{row.label if number == 0 else '':<{LABEL}}", style="dim")
        text.append(line, style=marks[0][0] if marks and number == 0 else row.style)
        out.append(text)
    return out


def lines_of(title: str, rows: Sequence[Row], width: int, height: int, plain: bool) -> list[Text]:
    """The whole view in at most `height` lines: what does not fit is left out from the bottom, but for the keys."""
    width = max(LEAST_WIDTH, width)
    head = [Text(line, style="bold", no_wrap=True, end="") for line in wrap(title, width)]
    others, keys = [row for row in rows if row.label != "keys"], [row for row in rows if row.label == "keys"]
    foot = [line for row in keys for line in row_lines(row, width, plain)]
    room = max(0, height - len(head) - len(foot))
    if width < TWO_COLUMNS:
        body = [line for row in others for line in row_lines(row, width, plain)]
    else:
        body = _columns(others, width, plain)
    return [*head, *body[:room], *foot][: max(1, height)]


def _columns(rows: Sequence[Row], width: int, plain: bool) -> list[Text]:
    """Alerts and failures keep the whole width; the others stand left and right in about equal numbers of lines."""
    wide = [row for row in rows if row.label in ("alert", "failure")]
    pairs = [row for row in rows if row not in wide]
    half = (width - 2) // 2
    middle = (len(pairs) + 1) // 2
    left = [line for row in pairs[:middle] for line in row_lines(row, half, plain)]
    right = [line for row in pairs[middle:] for line in row_lines(row, half, plain)]
    out = []
    for number in range(max(len(left), len(right))):
        text = left[number] if number < len(left) else Text(no_wrap=True, end="")
        if number < len(right):
            text.append(" " * (half + 2 - cell_len(text.plain)))
            text.append_text(right[number])
        out.append(text)
    return [*out, *(line for row in wide for line in row_lines(row, width, plain))]
