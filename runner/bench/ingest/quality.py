"""What came out of a file: words kept of a neutral reference, and headings, tables, rows and fences of the Markdown.

Pure: text in, numbers out. The reference of HTML is its text by `html.parser` of the standard library (no script,
style, template or head), of PDF what pypdfium2 gives, of plain text the file. The other formats have none.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, fields
from html.parser import HTMLParser
from typing import Final, Self

_WORD: Final = re.compile(r"\w+")
_HYPHEN: Final = re.compile(r"[-\u00ad\u2010\u2011\u0002\ufffe](?:\s*\n\s*)?")
"""Joined or kept at the end of a line, and how PDFium marks it: readers differ, and no word is lost by it."""
_CHARSET: Final = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_SILENT: Final = frozenset({"script", "style", "template", "head"})

_QUOTE: Final = r"(?:\s|>|[-*+] |\d+[.)] )*"
_FENCE: Final = re.compile(rf"^{_QUOTE}(`{{3,}}|~{{3,}})")
_HEADING: Final = re.compile(rf"^{_QUOTE}#{{1,6}} +\S")
_ROW: Final = re.compile(rf"^{_QUOTE}\|.*\|\s*$")
_RULE: Final = re.compile(rf"^{_QUOTE}\|(?:\s*:?-+:?\s*\|)+\s*$")


@dataclass(slots=True)
class Quality:
    """Counts of one text; `+=` makes those of many."""

    words: int = 0
    reference_words: int = 0
    kept_words: int = 0
    compared_words: int = 0
    """Of `words` those of texts that have a reference."""
    headings: int = 0
    tables: int = 0
    rows: int = 0
    fences: int = 0

    def __iadd__(self, other: Quality) -> Self:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        return self

    @property
    def kept(self) -> float | None:
        """Share of the reference's words that came out; None without a reference."""
        return self.kept_words / self.reference_words if self.reference_words else None

    @property
    def extra(self) -> float | None:
        """Share of the words that came out and are not in the reference: doubled, or made up."""
        return 1 - self.kept_words / self.compared_words if self.compared_words and self.reference_words else None


def words(text: str, hyphens: bool = True) -> Counter[str]:
    """How often each word stands in the text. `hyphens` False joins what one parts."""
    return Counter(_WORD.findall(text if hyphens else _HYPHEN.sub("", text)))


def judge(text: str, reference: Counter[str] | None, hyphens: bool = True) -> Quality:
    """Everything about one text."""
    found = words(text, hyphens)
    quality = structure(text)
    quality.words = found.total()
    if reference is not None:
        quality.reference_words = reference.total()
        quality.kept_words = (found & reference).total()
        quality.compared_words = found.total()
    return quality


def structure(text: str) -> Quality:
    """Headings, tables, their rows (without the rule under a head) and fences. What stands inside a fence is code."""
    out, fence, in_table = Quality(), "", False
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and line.strip(" >\t") == mark[1]:
                fence = ""
            continue
        if mark:
            fence, in_table = mark[1], False
            out.fences += 1
        elif _ROW.match(line):
            out.tables += not in_table
            out.rows += not _RULE.match(line)
            in_table = True
        else:
            in_table = False
            out.headings += bool(_HEADING.match(line))
    return out


class _Stripper(HTMLParser):
    """Text nodes outside of what a page says to machines. An end tag that is missing closes with the page's body."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag == "body":
            self._silent.clear()
        elif tag in _SILENT:
            self._silent.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._silent:
            del self._silent[self._silent.index(tag) :]

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.pieces.append(data)


def page_text(page: bytes) -> str:
    """The text of an HTML file, a space at every tag."""
    declared = _CHARSET.search(page[:1024])
    try:
        text = page.decode(declared[1].decode() if declared else "utf-8", "replace")
    except LookupError:
        text = page.decode("utf-8", "replace")
    stripper = _Stripper()
    stripper.feed(text)
    stripper.close()
    return " ".join(stripper.pieces)
