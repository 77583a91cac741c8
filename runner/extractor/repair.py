"""The second reader of damaged PDFs: pdf_oxide, where the extra `pdf-repair` has installed it.

It is asked for plain text page by page (`extract_text` may never return on a damaged file; the worker's limits catch
what else does not). Nothing is caught here: what the package raises is what became of the file or of the page. Called
by the extract worker's Rust side; the import happens before the process confines itself.
"""

from __future__ import annotations

from typing import Any


class Repair:
    """The package, imported. `name` is its name and version for results."""

    def __init__(self, name: str) -> None:
        import pdf_oxide

        pdf_oxide.disable_logging()
        self.name = name
        self._open: Any = pdf_oxide.PdfDocument.from_bytes

    def open(self, file: bytes) -> Pages:
        """Raises what pdf_oxide raises for a file that it cannot read either."""
        return Pages(self._open(file))


class Pages:
    """One document."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self.pages = int(document.page_count)

    def text(self, page: int) -> str:
        """Page numbers begin at 0. Raises for a page that cannot be read."""
        text: str = self._document.to_plain_text(page)
        return text
