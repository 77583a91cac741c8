"""A report as a test reads it: tags, attributes and text, parsed."""

import html.parser
import re
from pathlib import Path

VOID = {"meta", "br", "wbr", "hr", "img", "input", "link"}
BLOCKS = {"div", "p", "td", "th", "li", "dt", "dd", "h1", "h2", "figure", "blockquote"}
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\ufeff]")


class Page(html.parser.HTMLParser):
    """Tags, attributes and text of a page; complains about what does not close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.open: list[str] = []
        self.said: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag in BLOCKS:
            self.said.append(" ")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.said).split())


def drawn(folder: Path) -> Page:
    return Page((folder / "report.html").read_text())
