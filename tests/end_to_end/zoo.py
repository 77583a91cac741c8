"""Files that were made to hurt a run, each with what must become of it, and healthy ones that must not notice.

Every builder is small: what is large is made by deflate or by a hole. Seeded. Starts nothing; test_hostile.py does.
"""

import bz2
import gzip
import io
import json
import os
import random
import socket
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.pdf_writer import of_streams, pdf

SECRET = "the word that no document may fetch"
"""Stands in a file outside the inputs; entities and links point to it."""

Make = Callable[[Path], object]


@dataclass(frozen=True, slots=True)
class Case:
    """`reason` begins the reason of its row; `holds` stands in its output."""

    name: bytes
    make: Make
    status: str
    reason: str = ""
    holds: str = ""


def written(content: bytes) -> Make:
    return lambda path: path.write_bytes(content)


def package(parts: Mapping[str, str | bytes], stored: bool = False) -> bytes:
    """A zip of these parts, in this order."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            plain = zipfile.ZIP_STORED if name == "mimetype" else None
            archive.writestr(name, content, compress_type=plain)
    return packed.getvalue()


def office(kind: str, part: str, content: str | bytes, stored: bool = False, **more: str) -> bytes:
    """An Office Open XML package with one main part."""
    kind = f"application/vnd.openxmlformats-officedocument.{kind}.main+xml"
    return package(
        {
            "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            f'<Override PartName="/{part}" ContentType="{kind}"/></Types>',
            "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/'
            f'officeDocument" Target="{part}"/></Relationships>',
            part: content,
            **more,
        },
        stored,
    )


def docx(body: str, head: str = "", stored: bool = False) -> bytes:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    content = f'{head}<w:document xmlns:w="{space}"><w:body>{body}</w:body></w:document>'
    return office("wordprocessingml.document", "word/document.xml", content, stored)


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def epub(chapter: str, **more: str) -> bytes:
    return package(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
            "book.opf": '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><manifest>'
            '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>'
            '<item id="b" href="b.svg" media-type="image/svg+xml"/>'
            '</manifest><spine><itemref idref="a"/></spine></package>',
            "a.xhtml": chapter,
            **more,
        }
    )


def laughs(root: str) -> str:
    """Ten levels of ten: three thousand million letters when expanded."""
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return f'<?xml version="1.0"?><!DOCTYPE {root} [<!ENTITY l0 "laugh">{levels}]>'


def outside(root: str, secret: Path) -> str:
    return f'<?xml version="1.0"?><!DOCTYPE {root} [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'


def noise(size: int, seed: int = 7) -> bytes:
    """Letters without order: deflate does not shrink them into a bomb, and there is no line end."""
    return random.Random(seed).randbytes(size * 3 // 4 + 3).translate(_LETTERS)[:size]


def words(size: int) -> bytes:
    """One line of words."""
    return (b"the harbour office opens at eight and closes when the last ship has gone; " * (size // 70 + 1))[:size]


_LETTERS = bytes(b"abcdefghijklmnopqrstuvwxyz     "[n % 31] for n in range(256))


def mutations(good: Mapping[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Good files with one damage each: a bit, fifty bytes, cut off, a hole. Name = source, kind and number."""
    chance = random.Random(seed)
    names = sorted(good)
    for number in range(count):
        name = chance.choice(names)
        data = bytearray(good[name])
        kind = ("bit", "bytes", "cut", "hole")[number % 4]
        at = chance.randrange(len(data))
        if kind == "bit":
            data[at] ^= 1 << chance.randrange(8)
        elif kind == "bytes":
            for _ in range(50):
                data[chance.randrange(len(data))] = chance.randrange(256)
        elif kind == "cut":
            del data[max(1, at) :]
        else:
            del data[at : at + chance.randrange(1, 4096)]
        yield f"{number:04}-{kind}-{Path(name).stem}.pdf", bytes(data)


def good_pdfs() -> dict[str, bytes]:
    """What needs no download: pages of our own writer, of each of its shapes."""
    page = "Ships report at the harbour office.\nBees live in a hive."
    return {
        "one": pdf([page]),
        "many": pdf([f"{page}\nPage {number}." for number in range(40)]),
        "drawn": of_streams([b"0 0 m 100 100 l S", b"BT /F1 12 Tf 72 720 Td (Text.) Tj ET"]),
        "long": pdf(["\n".join(f"Line {line} of a long page." for line in range(60))] * 8),
    }


def _socket(path: Path) -> None:
    """The name of a socket has at most 107 bytes: bound from inside its folder."""
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)


def _device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero: it would never end


def _bomb(size: int) -> bytes:
    return gzip.compress(b"\0" * size, 9)


def packed_bombs() -> list[Case]:
    ratio = "limit max_inflate_ratio: "
    sheet = (
        '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>' + " " * 80_000_000
    )
    book = (
        '<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" '
        'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets>'
        '<sheet name="a" sheetId="1" r:id="r1"/></sheets></workbook>'
    )
    links = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="r1" Type='
        '"http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"'
        ' Target="s.xml"/></Relationships>'
    )
    names = [f"word/{number}" for number in range(11_000)]
    many = office("wordprocessingml.document", "word/document.xml", "", **dict.fromkeys(names, ""))
    xlsx = {"xl/_rels/workbook.xml.rels": links, "xl/s.xml": sheet}
    return [
        Case(b"bomb.docx", written(docx(paragraph("x" * 80_000_000))), "failed", ratio),
        Case(b"bomb.xlsx", written(office("spreadsheetml.sheet", "xl/workbook.xml", book, **xlsx)), "failed", ratio),
        Case(b"bomb.txt.gz", written(_bomb(100_000_000)), "failed", ratio),
        Case(b"bomb.zip", written(package({"a.txt": b"\0" * 20_000_000})), "skipped", "unsupported type: zip"),
        Case(b"bomb.txt.bz2", written(bz2.compress(b"\0" * 1_000_000)), "skipped", "unsupported type: bzip2"),
        Case(b"cut.txt.gz", written(gzip.compress(noise(50_000))[:-9000]), "failed", "damaged gzip: "),
        Case(b"parts.docx", written(many), "failed", "limit max_zip_entries: 11003 over 10000"),
    ]  # fmt: skip


def entities(secret: Path) -> list[Case]:
    says = paragraph("{}")
    page = '{}<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>Chapter</h1><p>{}</p>{}</body></html>'
    svg = '{}<svg xmlns="http://www.w3.org/2000/svg"><text>{}</text></svg>'
    out = outside("html", secret)
    return [
        Case(b"laughs.docx", written(docx(says.format("&l9;"), laughs("w:document"))), "failed", "damaged: "),
        Case(b"outside.docx", written(docx(says.format("&x;"), outside("w:document", secret))), "failed", "damaged: "),
        # Pages of a book go through the HTML reader, which knows no entity of a document's own.
        Case(b"laughs.epub", written(epub(page.format(laughs("html"), "&l9;", ""))), "ok", holds="Chapter"),
        Case(b"outside.epub", written(epub(page.format(out, "&x;", ""))), "ok", holds="Chapter"),
        Case(
            b"picture.epub",
            written(
                epub(
                    page.format("", "Words.", svg.format("", "&x;")),
                    **{"b.svg": svg.format(outside("svg", secret), "&x;")},
                )
            ),
            "ok",
            holds="Words.",
        ),
        Case(b"laughs.xml", written(f"{laughs('a')}<a>&l9;</a>".encode()), "ok", holds="<!DOCTYPE a ["),
        Case(b"outside.xml", written(f"{outside('a', secret)}<a>&x;</a>".encode()), "ok", holds="<!DOCTYPE a ["),
        Case(b"outside.html", written(f"{out}<html><body>Words. &x;</body></html>".encode()), "ok", holds="Words."),
    ]


def markup() -> list[Case]:
    deep = 200_000
    depth = "limit max_html_depth: "
    rows = "<w:tbl><w:tr><w:tc>" * deep
    return [
        Case(b"deep.docx", written(docx(rows, stored=True)), "failed", "limit max_xml_depth: 1001 over 1000"),
        Case(b"deep.xml", written(b"<a>" * 30_000 + b"Words." + b"</a>" * 30_000), "ok", holds="<a><a>"),
        Case(b"deep.html", written(b"<html><body>" + b"<div>" * deep + b"Words." + b"</div>" * deep), "failed", depth),
        Case(b"unclosed.html", written(b"<p>Words." + b"<b>" * 1_000_000), "failed", depth),
        Case(b"lists.html", written(b"<ul><li>Words." * 100_000), "failed", depth),
        Case(b"tables.html", written(b"<table><tr><td>Words." * 100_000), "failed", depth),
        Case(b"attribute.html", written(b'<p>Words.</p><a href="' + noise(3_000_000)), "ok", holds="Words."),
        Case(b"comment.html", written(b"<p>Words.</p><!-- " + noise(3_000_000)), "ok", holds="Words."),
        Case(b"attributes.html", written(b"<p " + b"".join(b"a%d=1 " % n for n in range(50_000)) + b">Words.</p>"),
             "ok", holds="Words."),
        Case(b"scripts.html", written(b"<script>let a = 1;</script>" * 1000), "skipped", "no text"),
    ]  # fmt: skip


def encodings() -> list[Case]:
    german, japanese = (
        "Die Straße führt über die Brücke zum Schloß.",
        "港の事務所は八時に開きます。船は入港前に報告します。",
    )
    head = '<html><head><meta charset="{}"></head><body><p>{}</p></body></html>'
    return [
        Case(b"utf16.html", written(head.format("utf-8", german).encode("utf-16")), "ok", holds=german),
        Case(b"utf16-be.txt", written(german.encode("utf-16-be")), "ok", holds=german),
        Case(b"sjis.html", written(head.format("shift_jis", japanese).encode("shift_jis")), "ok", holds=japanese),
        Case(b"sjis.txt", written(japanese.encode("shift_jis")), "ok", holds=japanese),
        Case(b"latin1.html", written(head.format("iso-8859-1", german).encode("latin-1")), "ok", holds=german),
        Case(b"latin1.txt", written(german.encode("latin-1")), "ok", holds=german),
        # The label lies: bytes of no UTF-8 under its name stay readable, and are counted.
        Case(b"liar.html", written(head.format("no-such-charset", german).encode("latin-1")), "ok", holds=german),
        Case(b"nul.txt", written(b"Text\0with a zero."), "failed", "binary content: "),
        Case(b"nul.jsonl", written(b'{"text": "zero \\u0000 inside"}\n'), "ok", holds="zero \0 inside"),
        Case(b"noise.txt", written(random.Random(3).randbytes(100_000)), "failed", "binary content: "),
        Case(b"noise.bin", written(random.Random(4).randbytes(100_000)), "skipped", "unsupported type: "),
        Case(b"zero.txt", written(b""), "skipped", "empty"),
        Case(b"blank.txt", written(b" \n\t" * 1000), "skipped", "no text"),
    ]  # fmt: skip


def records() -> list[Case]:
    return [
        Case(b"deep.json", written(b"[" * 200_000 + b"]" * 200_000), "failed", "limit max_json_depth: "),
        Case(b"torn.json", written(b'{"text": "Words.", '), "failed", "invalid JSON: "),
        Case(b"deep.jsonl", written(b'{"text": ' + b"[" * 200_000 + b"\n"), "failed", ""),
        Case(b"torn.csv", written(b'id,text\n1,"never closed ' + words(200_000)), "ok", holds="never closed"),
        Case(b"surrogate.jsonl", written(b'{"text": "half \\ud800 of a pair"}\n'), "failed", "invalid JSON: "),
        Case(b"number.jsonl", written(b'{"text": ' + b"9" * 1_000_000 + b"}\n"), "failed", ""),
    ]  # fmt: skip


def places(root: bool) -> list[Case]:
    """Things that are no files, and names that no terminal should see."""
    gone = lambda path: path.symlink_to("nowhere")  # noqa: E731
    found = [
        Case(b"pipe.txt", os.mkfifo, "skipped", "not a regular file: fifo"),
        Case(b"socket.txt", _socket, "skipped", "not a regular file: socket"),
        Case(b"loop", lambda path: path.symlink_to("."), "skipped", "symbolic link"),
        Case(b"gone.txt", gone, "skipped", "symbolic link"),
        Case(b"caf\xe9.txt", written(b"Name in latin-1."), "ok", holds="Name in latin-1."),
        Case(b"line\nbreak.txt", written(b"Name of two lines."), "ok", holds="Name of two lines."),
        Case(b"\x1b[31mred\x1b[0m.txt", written(b"Name in red."), "ok", holds="Name in red."),
        Case(b"n" * 251 + b".txt", written(b"Long name."), "ok", holds="Long name."),
    ]
    if root:
        found.append(Case(b"device.txt", _device, "skipped", "not a regular file: device"))
    return found


def healthy() -> dict[str, bytes]:
    """One of each kind, named so that they stand between the others."""
    mail = b"From: a@b\nTo: c@d\nSubject: Hello\n\nMail words.\n"
    return {
        "a-first.txt": b"Plain words, the first of all.",
        "c-table.csv": b"id,text\n1,First row.\n2,Second row.\n",
        "d-paper.pdf": pdf(["Ships report\nat the harbour.", "Bees live in a hive."]),
        "e-letter.docx": docx(paragraph("Office words.")),
        "l-mail.eml": mail,
        "m-lines.jsonl": b'{"text": "One line."}\n{"text": "Another line."}\n',
        "o-page.html": b"<html><body><h1>Page</h1><p>Words of a page.</p></body></html>",
        "t-note.md": "# Nöte\n\nWörds.\n".encode(),
        "z-last.txt": b"Plain words, the last of all.",
    }


def zoo(secret: Path, line_bytes: int, root: bool) -> list[Case]:
    line = Case(b"line.txt", written(words(line_bytes)), "ok", holds="the harbour")
    return [
        *packed_bombs(), *entities(secret), *markup(), *encodings(), *records(), *places(root), line,
        Case(b"sheet.pdf", written(of_streams([b"0 0 m 100 100 l S"] * 3)), "skipped", "no text layer (3 pages)"),
        Case(b"none.pdf", written(b"%PDF-1.7\nnonsense"), "failed", "damaged pdf: "),
        Case(b"half.json.docx", written(json.dumps({"a": 1}).encode()), "skipped", "unsupported type: docx"),
    ]  # fmt: skip
