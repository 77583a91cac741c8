"""HTML that cannot be broken by what stands in it: every text passes `visible` and is escaped where it is put in.

A document's name, an answer or a reason may hold script tags, terminal escapes, right-to-left overrides or a
megabyte on one line. Only `Markup`, which nothing but this room makes, goes in as it is. Knows nothing of runs.
Called by the pages.
"""

from __future__ import annotations

import html
import re
from typing import Final

LIMIT: Final = 300
"""Characters of one text that are shown, unless its place has room for more."""

SOFT_HYPHEN: Final = "\xad"
"""Says where a word may break, and is nothing by itself."""
_PLAIN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Characters that act on a terminal, on the direction of text or on its order, that nobody sees, or that no file can
hold (half a surrogate pair). Joiners (U+200C, U+200D) stay: scripts and emoji need them."""
_MARKS: Final = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{4})[^\\w\\s]+"
)
"""Piles of combining marks, which would cover the lines above and below."""


class Markup(str):
    """HTML that is ready: made by `tag` and `join` alone."""

    __slots__ = ()


NEWLINE: Final = Markup("\n")


def visible(text: str, limit: int = LIMIT, *, lines: bool = False) -> str:
    """`text` cut to `limit` characters, what cannot be seen made visible as ⟨U+202E⟩. `lines`: line
    breaks and tabs stay."""
    cut = text[:limit]
    shown = _PLAIN.sub(lambda found: _name(found[0], lines), cut)
    shown = _MARKS.sub(r"\1", shown)
    return f"{shown}… ({len(text):,} characters)" if len(text) > limit else shown


def _name(char: str, lines: bool) -> str:
    if char in "\n\t":
        return char if lines else " " if char == "\t" else "⏎"
    return "" if char == SOFT_HYPHEN else f"⟨U+{ord(char):04X}⟩"


def text(value: object, limit: int = LIMIT, *, lines: bool = False) -> Markup:
    """Any value as escaped text."""
    return Markup(html.escape(visible(str(value), limit, lines=lines)))


def foreign(value: str, limit: int = LIMIT, *, lines: bool = False) -> Markup:
    """Text from outside, whose direction stays its own: right-to-left script does not reorder what stands beside it."""
    return Markup(f"<bdi>{text(value, limit, lines=lines)}</bdi>")


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """One element. Children that are no Markup are escaped; None and "" are left out. `cls` is class, `_` is `-`;
    True is an attribute without a value, None and False none."""
    head = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        shown = "class" if key == "cls" else key.rstrip("_").replace("_", "-")
        head.append(shown if value is True else f'{shown}="{html.escape(visible(str(value), 8000))}"')
    opening = f"<{' '.join(head)}>"
    if name in ("meta", "br", "wbr", "hr"):
        return Markup(opening)
    return Markup(f"{opening}{join(children)}</{name}>")


def join(children: object) -> Markup:
    """Children one after the other; lists are opened."""
    if children is None:
        return Markup("")
    if isinstance(children, Markup):
        return children
    if isinstance(children, list | tuple):
        return Markup("".join(join(child) for child in children))
    return text(children, 8000)
