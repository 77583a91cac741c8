"""HTML that cannot be broken by what stands in it: every text passes `visible` and is escaped where it is put in.

A document's name, an answer or a reason may hold script tags, terminal escapes, right-to-left overrides or a
megabyte on one line. Only `Markup`, which nothing but this room makes, goes in as it is. Knows nothing of runs.
Called by the pages.
"""

from __future__ import annotations

import html
import re
from typing import Final

from runner import display

LIMIT: Final = 300
"""Characters of one text that are shown, unless its place has room for more."""

_MARK: Final = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_MARKS: Final = re.compile(f"({_MARK}{{4}}){_MARK}+")
"""Piles of combining marks, which would cover the lines above and below."""


class Markup(str):
    """HTML that is ready: made by `tag` and `join` alone."""

    __slots__ = ()


NEWLINE: Final = Markup("\n")


def visible(text: str, limit: int = LIMIT, *, lines: bool = False) -> str:
    """As everywhere text of others is shown (display), and no mark covers the lines beside it."""
    return _MARKS.sub(r"\1", display.visible(text, limit, lines=lines))


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
