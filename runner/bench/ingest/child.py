"""The measured process: one reader, file after file, as it is told on a socket. Imports nothing of this package.

Runs by path in whichever interpreter has the peers (`--peer-python`), so it keeps to what Python 3.10 knows. Only the
call of the reader is timed; writing the text out for the quality columns is not. Started by `host`, as a script for a
peer; `own` calls `serve` with our own readers.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

Read = Callable[[str], str]
ReadMany = Callable[[str], tuple[str, int]]
"""Path -> text, and how many documents it is."""


class Peer(NamedTuple):
    """A library that people use for this, and what it reads. `open` imports it and returns path -> text."""

    distribution: str
    formats: str
    open: Callable[[dict[str, Any]], Read]


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _text(path: str) -> str:
    return _bytes(path).decode("utf-8", "replace")


def _markitdown(_: dict[str, Any]) -> Read:
    converter = import_module("markitdown").MarkItDown(enable_plugins=False)
    return lambda path: converter.convert(path).text_content


def _kreuzberg(_: dict[str, Any]) -> Read:
    module = import_module("kreuzberg")
    config = module.ExtractionConfig(output_format="markdown", use_cache=False)
    return lambda path: module.extract_file_sync(path, config=config).content


def _docling(_: dict[str, Any]) -> Read:
    converter = import_module("docling.document_converter").DocumentConverter()
    return lambda path: converter.convert(path).document.export_to_markdown()


def _pypdfium2(_: dict[str, Any]) -> Read:
    module = import_module("pypdfium2")

    def read(path: str) -> str:
        document = module.PdfDocument(_bytes(path))
        pages = []
        for page in document:
            text = page.get_textpage()
            pages.append(text.get_text_range())
            text.close()
            page.close()
        document.close()
        return "\n\n".join(pages)

    return read


def _pymupdf(_: dict[str, Any]) -> Read:
    module = import_module("pymupdf")

    def read(path: str) -> str:
        with module.open(path) as document:
            return "\n\n".join(page.get_text() for page in document)

    return read


def _selectolax(_: dict[str, Any]) -> Read:
    parser = import_module("selectolax.lexbor").LexborHTMLParser

    def read(path: str) -> str:
        page = parser(_bytes(path))
        page.strip_tags(["script", "style", "template"])
        return page.body.text(separator=" ") if page.body else ""

    return read


def _resiliparse(_: dict[str, Any]) -> Read:
    tree = import_module("resiliparse.parse.html").HTMLTree
    encoding = import_module("resiliparse.parse.encoding").detect_encoding
    extract = import_module("resiliparse.extract.html2text").extract_plain_text

    def read(path: str) -> str:
        page = _bytes(path)
        return str(extract(tree.parse_from_bytes(page, encoding(page)), main_content=False))

    return read


def _beautifulsoup4(_: dict[str, Any]) -> Read:
    import_module("warnings").simplefilter("ignore")  # "this may be XML": it is read as what it is called
    import_module("lxml")
    soup = import_module("bs4").BeautifulSoup
    return lambda path: soup(_bytes(path), "lxml").get_text(" ")


def _html2text(_: dict[str, Any]) -> Read:
    converter = import_module("html2text").HTML2Text(bodywidth=0)
    return lambda path: converter.handle(_text(path))


def _markdownify(_: dict[str, Any]) -> Read:
    import_module("warnings").simplefilter("ignore")
    convert = import_module("markdownify").markdownify
    return lambda path: convert(_text(path), heading_style="ATX")


def _trafilatura(_: dict[str, Any]) -> Read:
    extract = import_module("trafilatura").extract
    return lambda path: extract(_bytes(path), output_format="markdown", include_tables=True) or ""


def _chunks(chunks: list[str]) -> str:
    return "\0".join(chunks)


def _text_splitter(spec: dict[str, Any]) -> Read:
    module = import_module("semantic_text_splitter")
    tokenizer = import_module("tokenizers").Tokenizer.from_file(spec["tokenizer"])
    kinds = {
        kind: splitter.from_huggingface_tokenizer(tokenizer, spec["budget"], trim=False)
        for kind, splitter in ((".md", module.MarkdownSplitter), (".txt", module.TextSplitter))
    }
    return lambda path: _chunks(kinds[Path(path).suffix].chunks(_text(path)))


def _semchunk(spec: dict[str, Any]) -> Read:
    tokenizer = import_module("tokenizers").Tokenizer.from_file(spec["tokenizer"])
    chunkerify = import_module("semchunk").chunkerify

    def read(path: str) -> str:
        # It remembers the count of each piece as long as the counter lives: a counter for each document, or all rounds
        # behind the first would look up instead of count.
        chunker = chunkerify(lambda text: len(tokenizer.encode(text, add_special_tokens=False)), spec["budget"])
        return _chunks(chunker(_text(path)))

    return read


_OFFICE = "docx pptx xlsx epub"

PEERS: dict[str, Peer] = {
    "markitdown": Peer("markitdown", f"html pdf {_OFFICE}", _markitdown),
    "kreuzberg": Peer("kreuzberg", f"html pdf odt {_OFFICE}", _kreuzberg),
    "docling": Peer("docling", "html pdf docx pptx xlsx", _docling),
    "pypdfium2": Peer("pypdfium2", "pdf", _pypdfium2),
    "pymupdf": Peer("pymupdf", "pdf", _pymupdf),
    "selectolax": Peer("selectolax", "html", _selectolax),
    "resiliparse": Peer("Resiliparse", "html", _resiliparse),
    "beautifulsoup4": Peer("beautifulsoup4", "html", _beautifulsoup4),
    "html2text": Peer("html2text", "html", _html2text),
    "markdownify": Peer("markdownify", "html", _markdownify),
    "trafilatura": Peer("trafilatura", "html", _trafilatura),
}


# Libraries that cut a text into chunks of at most so many tokens; the chunks come back with a zero between them.
CHUNKERS: dict[str, Peer] = {
    "text-splitter": Peer("semantic-text-splitter", "chunks", _text_splitter),  # the wheel of the Rust crate
    "semchunk": Peer("semchunk", "chunks", _semchunk),
}


def cpu_s() -> float:
    """Of this process, all its threads, and the children that it has seen end."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def peak_bytes() -> int:
    """Most memory that this process held. On Linux not by getrusage, which counts what the parent held before exec."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmHWM"))
            return int(line.split()[1]) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Wire:
    """Lines of JSON on the inherited socket."""

    def __init__(self, fd: int) -> None:
        self._file = socket.socket(fileno=fd).makefile("rw", encoding="utf-8", newline="\n")

    def say(self, **message: Any) -> None:
        """One line, now."""
        self._file.write(json.dumps(message) + "\n")
        self._file.flush()

    def hear(self) -> dict[str, Any] | None:
        """The next line; None at the end."""
        line = self._file.readline()
        return json.loads(line) if line else None


def write_text(folder: str | None, number: int, text: str) -> None:
    """For the quality columns, in the round that asks for it."""
    if folder is not None:
        Path(folder, f"{number}.txt").write_bytes(text.encode("utf-8", "replace"))


class Refused(Exception):  # noqa: N818 - a verdict, told as it is
    """The reader says why this file gives no text."""


def _one(read: ReadMany, path: str) -> dict[str, Any]:
    before, start = cpu_s(), time.perf_counter()
    documents = 0
    try:
        text, documents = read(path)
        if not isinstance(text, str):
            raise TypeError(f"returned {type(text).__name__}")
        error = None
    except Refused as reason:
        text, error = "", str(reason)
    except Exception as problem:  # noqa: BLE001 - whatever a library raises is its answer to this file
        text, error = "", f"{type(problem).__name__}: {problem}"[:300]
    took = {"cpu": cpu_s() - before, "wall": time.perf_counter() - start}
    return {**took, "error": error, "text": text, "documents": documents}


def serve(wire: Wire, read: ReadMany) -> None:
    """Batches until the other end closes. The smallest file of a batch is read once before the clock starts: the other
    readers have had the caches since the last one."""
    while (asked := wire.hear()) is not None:
        files: list[str] = asked["files"]
        if asked["texts"] is None:
            _one(read, min(files, key=os.path.getsize))
        for number, path in zip(asked["numbers"], files, strict=True):
            got = _one(read, path)
            write_text(asked["texts"], number, got.pop("text"))
            wire.say(file=number, **got)
        wire.say(done=True, peak=peak_bytes())


def pin(cpu: int | None) -> None:
    """One core for this process and what it starts, where the system can do that."""
    if cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})


def main() -> int:
    """The spec is one line on stdin."""
    sys.path.pop(0)  # the folder of this file: a peer's `import files` must not find ours
    spec = json.loads(sys.stdin.readline())
    pin(spec["cpu"])
    wire, peer = Wire(spec["fd"]), {**PEERS, **CHUNKERS}[spec["reader"]]
    try:
        found = version(peer.distribution)
    except PackageNotFoundError:
        wire.say(missing=True)
        return 0
    try:
        read = peer.open(spec)
    except Exception as problem:  # noqa: BLE001 - an installation that does not work is told, not hidden
        wire.say(broken=f"{type(problem).__name__}: {problem}"[:300], version=found)
        return 0
    wire.say(ready=True, version=found)
    serve(wire, lambda path: (read(path), 1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
