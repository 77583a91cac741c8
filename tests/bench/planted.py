"""Peers that misbehave each in its own way, as packages in a folder that a wrapper puts in front of the interpreter's
own. The bench must tell them apart by its columns. Nothing here is installed."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

_READ = "lambda page: __import__('re').sub('<[^>]*>', ' ', page)"

# What a file named "bad" does to a reader is decided by the words in the page.
PEERS = {
    # Right, and slow: 0.05 s of processor time a page.
    "html2text": f"""
import time
class HTML2Text:
    def __init__(self, bodywidth):
        pass
    def handle(self, page):
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
        return ({_READ})(page)
""",
    # Raises for one page.
    "markdownify": f"""
def markdownify(page, heading_style):
    if "UNLUCKY" in page:
        raise ValueError("cannot read this one")
    return ({_READ})(page)
""",
    # Gives half of the words, twice, as headings.
    "trafilatura": f"""
def extract(page, output_format, include_tables):
    words = ({_READ})(page.decode()).split()
    return "".join("# " + word + "\\n" for word in words[::2] * 2)
""",
    # Waits for ever on one page, after printing more than a pipe holds.
    "kreuzberg": f"""
import os
class ExtractionConfig:
    def __init__(self, **given):
        pass
class Result:
    def __init__(self, content):
        self.content = content
def extract_file_sync(path, config):
    page = open(path).read()
    print("x" * 200_000)
    if "UNLUCKY" in page:
        os.read(os.pipe()[0], 1)
    return Result(({_READ})(page))
""",
    # Takes the process with it on every page.
    "markitdown": """
import os
class MarkItDown:
    def __init__(self, enable_plugins):
        pass
    def convert(self, path):
        os._exit(7)
""",
    # Cuts after ten words: a tenth of the words is gone, and every other chunk stands there twice.
    "semchunk": """
def chunkerify(count, budget):
    def cut(text):
        words = text.split()
        chunks = [" ".join(words[at:at + 9]) for at in range(0, len(words), 10)]
        return chunks + chunks[::2]
    return cut
""",
    # Never cuts.
    "semantic_text_splitter": """
class MarkdownSplitter:
    @staticmethod
    def from_huggingface_tokenizer(tokenizer, budget, trim):
        return MarkdownSplitter()
    def chunks(self, text):
        return [text]
TextSplitter = MarkdownSplitter
""",
    # Is installed, and cannot be imported.
    "docling": "",
}


def interpreter(folder: Path) -> str:
    """Path of a Python that has these peers and no others of the same names."""
    library = folder / "library"
    for name, source in PEERS.items():
        package = library / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(source)
        info = library / f"{name}-9.9.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")
    wrapper = folder / "python"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(library))} exec {shlex.quote(sys.executable)} "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)


PAGE = "<html><head><title>t</title></head><body><h1>Head {n}</h1><p>{words}</p><pre>code {n}</pre>{end}</body></html>"
TABLE = "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>"


def corpus(folder: Path, pages: int) -> Path:
    """Small pages, the third of which is the one that some peers cannot stand."""
    folder.mkdir()
    for n in range(pages):
        words = " ".join(f"word{n}x{k}" for k in range(40)) + (" UNLUCKY" if n == 2 else "")
        (folder / f"{n}.html").write_text(PAGE.format(n=n, words=words, end=TABLE))
    return folder
