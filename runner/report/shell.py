"""The shell of a page: head with its policy, style and script inside, and the parts that all pages are made of.

One file without a network: the policy allows this style sheet and this script by their hashes and nothing else, so that
no text of a document can run, load or send anything even where escaping failed. Called by the pages.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from runner.report.markup import Markup, join, tag, visible


@cache
def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def policy() -> str:
    """The page's Content-Security-Policy."""
    style, script = _hash(_asset("page.css")), _hash(_asset("page.js"))
    return (
        f"default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'"
    )


def document(title: str, *body: object) -> str:
    """The whole file."""
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", visible(title)),
        Markup(f"<style>{_asset('page.css')}</style>"),
    ]
    script = Markup(f"<script>{_asset('page.js')}</script>")
    return f'<!doctype html>\n<html lang="en"><head>{join(head)}</head>\n<body>{join(body)}{script}</body></html>\n'


LEAST_SORTED: Final = 4
"""Tables of so few rows are seen whole."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What a table shows, and what it is sorted by."""

    shown: object
    value: float | str | None = None


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[object]], best: int | None = None) -> Markup:
    """A sortable table. A head that begins with `#` is a column of numbers, with `=` one of long text, with
    `.` one that stays on one line. The first
    column names its row; `best` is the row that is marked."""
    kinds = [{"#": "n", "=": "say", ".": "short"}.get(word[:1]) for word in head]
    top = [
        tag("th", _breaking(word.lstrip("#=.")), scope="col", cls=kind) for word, kind in zip(head, kinds, strict=True)
    ]
    body = []
    for number, row in enumerate(rows):
        cells = []
        for column, (item, kind) in enumerate(zip(row, kinds, strict=True)):
            cell = item if isinstance(item, Cell) else Cell(item)
            more = {"scope": "row"} if column == 0 else {}
            cells.append(tag("td" if column else "th", cell.shown, cls=kind, data_v=cell.value, **more))
        body.append(tag("tr", cells, cls="best" if number == best else None))
    made = tag(
        "table",
        tag("caption", tag("span", caption)),
        tag("thead", tag("tr", top)),
        tag("tbody", body),
        data_sort=len(rows) > LEAST_SORTED,
    )
    return tag("div", made, cls="scroll", role="region", aria_label=caption, tabindex=0)


def _breaking(name: str) -> Markup:
    """A key's name that may break behind its underscores."""
    first, *rest = name.split("_")
    return join([first, [["_", tag("wbr"), part] for part in rest]])


def facts(pairs: Sequence[tuple[str, object]]) -> Markup:
    """Names and values; a value that is None or empty is left out."""
    return tag("dl", [[tag("dt", name), tag("dd", value)] for name, value in pairs if value], cls="facts")


def tile(name: str, figure: object, about: object = None, *, wide: bool = False) -> Markup:
    """One of the figures at the top."""
    inside = [tag("dt", name), tag("dd", tag("b", figure), about and tag("small", about))]
    return tag("div", inside, cls="wide" if wide else None)


def section(name: str, title: str, *body: object) -> Markup | None:
    """A part with a heading that the list at the top leads to; None when there is nothing in it."""
    inside = join(body)
    return tag("section", tag("h2", title, id=name), inside) if inside else None


def contents(sections: Sequence[tuple[str, str]]) -> Markup:
    """The list at the top."""
    return tag("nav", [tag("a", title, href=f"#{name}") for name, title in sections], aria_label="parts of this page")


def word(kind: str, text: str) -> Markup:
    """A word of judgement: good, warn or bad; the colour repeats what the word says."""
    return tag("span", text, cls=f"word {kind}")
