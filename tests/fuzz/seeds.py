"""Where fuzzing begins: for each target of native/fuzz a few small files that reach far into its parser, and the core's
settings as the product writes them.

Contents of packages are parts divided by `NEXT` (native/fuzz/src/packages.rs says why). Called by lane.py.
"""

import gzip
import json
import re
from pathlib import Path

from runner.models import ModelFolder, Prompt
from runner.run.settings import core_settings
from tests import configs
from tests.end_to_end import zoo
from tests.fault import journal_reader

NEXT = b"\x00\xff\n"
_HEAD = b"RUNJRNL\n\1\0\0\0"
_REL = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def _parts(*parts: str) -> bytes:
    return NEXT.join(part.encode() for part in parts)


def _relations(**targets: str) -> str:
    links = "".join(f'<Relationship Id="{name}" Type="{_REL}/{name}" Target="{to}"/>' for name, to in targets.items())
    return f"<Relationships>{links}</Relationships>"


_DOCX = _parts(
    '<w:document><w:body><w:p><w:pPr><w:pStyle w:val="H1"/><w:outlineLvl w:val="1"/></w:pPr><w:r><w:t>head</w:t></w:r>'
    '</w:p><w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:tcPr><w:gridSpan w:val="2"/>'
    '<w:vMerge w:val="restart"/></w:tcPr><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc></w:tr></w:tbl><w:p><w:pPr><w:numPr>'
    '<w:ilvl w:val="1"/><w:numId w:val="1"/></w:numPr></w:pPr><w:hyperlink r:id="hyperlink"><w:r><w:t>item</w:t></w:r>'
    '</w:hyperlink><w:r><w:footnoteReference w:id="1"/></w:r><w:ins><w:r>'
    '<w:t xml:space="preserve"> new</w:t></w:r></w:ins>'
    '<w:del><w:r><w:delText>old</w:delText></w:r></w:del><w:r><w:br/><w:tab/><w:fldChar w:fldCharType="begin"/></w:r>'
    "<w:r><w:instrText>PAGE</w:instrText></w:r></w:p></w:body></w:document>",
    _relations(
        hyperlink="https://example.org", styles="styles.xml", numbering="numbering.xml", footnotes="footnotes.xml"
    ),
    '<w:styles><w:style w:styleId="H1" w:type="paragraph"><w:name w:val="heading 1"/>'
    '<w:basedOn w:val="H1"/></w:style></w:styles>',
    '<w:numbering><w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="1"><w:start w:val="3"/><w:numFmt w:val="decimal"/>'
    '<w:lvlText w:val="%2."/></w:lvl></w:abstractNum><w:num w:numId="1">'
    '<w:abstractNumId w:val="0"/></w:num></w:numbering>',
    '<w:footnotes><w:footnote w:id="1"><w:p><w:r><w:t>note</w:t></w:r></w:p></w:footnote></w:footnotes>',
    "<cp:coreProperties><dc:title>t</dc:title><dc:creator>c</dc:creator></cp:coreProperties>",
)
_XLSX = _parts(
    '<workbook><workbookPr date1904="1"/><sheets><sheet name="A" sheetId="1" r:id="worksheet"/></sheets></workbook>',
    _relations(worksheet="worksheets/sheet1.xml", sharedStrings="sharedStrings.xml", styles="styles.xml"),
    '<worksheet><sheetData><row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" s="1"><v>45292.5</v></c><c r="XFD9" t="b">'
    '<v>1</v></c><c t="inlineStr"><is><t>x</t></is></c><c t="e"><v>#N/A</v></c></row></sheetData><mergeCells>'
    '<mergeCell ref="A1:C3"/></mergeCells></worksheet>',
    "<sst><si><t>shared</t></si><si><r><t>rich</t></r></si></sst>",
    '<styleSheet><numFmts><numFmt numFmtId="164" formatCode="yyyy\\-mm"/></numFmts><cellXfs><xf numFmtId="0"/>'
    '<xf numFmtId="22"/></cellXfs></styleSheet>',
)
_PPTX = _parts(
    '<p:presentation><p:sldIdLst><p:sldId id="1" r:id="slide"/></p:sldIdLst></p:presentation>',
    _relations(slide="slides/slide1.xml"),
    '<p:sld><p:cSld><p:spTree><p:sp><p:nvSpPr><p:nvPr><p:ph type="title"/></p:nvPr></p:nvSpPr><p:txBody><a:p><a:r>'
    '<a:t>Title</a:t></a:r></a:p></p:txBody></p:sp><p:sp><p:txBody><a:p><a:pPr lvl="2"/><a:r>'
    "<a:t>point</a:t></a:r></a:p>"
    "</p:txBody></p:sp><a:tbl><a:tr><a:tc><a:txBody><a:p><a:r><a:t>x</a:t></a:r></a:p></a:txBody></a:tc></a:tr></a:tbl>"
    "</p:spTree></p:cSld></p:sld>",
    _relations(notesSlide="../notesSlides/notesSlide1.xml"),
    "<p:notes><p:sp><p:txBody><a:p><a:r><a:t>said</a:t></a:r></a:p></p:txBody></p:sp></p:notes>",
)
_META = "<office:document-meta><dc:title>t</dc:title><meta:keyword>k</meta:keyword></office:document-meta>"
_ODT = _parts(
    '<a><text:h text:outline-level="1">h</text:h><text:list><text:list-item><text:p>a'
    "<text:note><text:note-body><text:p>n"
    "</text:p></text:note-body></text:note></text:p></text:list-item></text:list><table:table><table:table-row>"
    '<table:table-cell table:number-columns-repeated="3"><text:p>x<text:s text:c="4"/><text:tab/></text:p>'
    "</table:table-cell></table:table-row></table:table></a>",
    _META,
    "<styles/>",
)
_ODS = _parts(
    '<a><table:table table:name="T"><table:table-row table:number-rows-repeated="3"><table:table-cell '
    'table:number-columns-repeated="2" office:value-type="date" office:date-value="2024-01-02"><text:p>x</text:p>'
    '</table:table-cell><table:covered-table-cell table:number-columns-repeated="16384"/>'
    "</table:table-row></table:table></a>",
    _META,
    "<styles/>",
)
_EPUB = _parts(
    '<container><rootfiles><rootfile full-path="book.opf"/></rootfiles></container>',
    '<package><metadata><dc:title>T</dc:title></metadata><manifest><item id="a" href="a.xhtml" '
    'media-type="application/xhtml+xml"/><item id="n" href="nav.xhtml" properties="nav"/><item id="t" href="toc.ncx"/>'
    '</manifest><spine toc="t"><itemref idref="a"/></spine></package>',
    "<html><body><h1>Chapter</h1><p>Words.</p></body></html>",
    '<ncx><navMap><navPoint><navLabel><text>One</text></navLabel><content src="a.xhtml"/></navPoint></navMap></ncx>',
    '<html><nav><ol><li><a href="a.xhtml">One</a></li></ol></nav></html>',
)
_MAIL = (
    b"From: =?UTF-8?Q?J=C3=BCrgen?= <j@example.org>\r\nTo: b@example.org\r\nSubject: =?utf-8?B?R3LDvMOfZQ==?=\r\n"
    b"Date: Tue, 2 Jan 2024 03:04:05 +0100\r\nMIME-Version: 1.0\r\nContent-Type:"
    b" multipart/mixed; boundary=\"mix\"\r\n\r\n"
    b"--mix\r\nContent-Type: multipart/alternative; boundary=alt\r\n\r\n--alt\r\nContent-Type: text/plain; "
    b"charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6ne Gr=\r\n=FC=DFe\r\n--alt\r\n"
    b"Content-Type: text/html\r\n\r\n<p>the same</p>\r\n--alt--\r\n--mix\r\nContent-Type: application/pdf; "
    b'name="a.pdf"\r\nContent-Transfer-Encoding:'
    b' base64\r\n\r\nJVBERi0=\r\n--mix\r\nContent-Type: message/rfc822\r\n\r\n'
    b"Subject: inner\r\n\r\ninner text\r\n--mix--\r\n"
)  # fmt: skip
_PAGE = (
    b"<!DOCTYPE html><html><head><title>T</title><meta charset=utf-8></head><body><h1>H &amp; h"
    b"</h1><ul><li>a<ol start=3>"
    b"<li>b</ol></ul><table><caption>c</caption><tr><th colspan=2>x<td rowspan=2>y<tr><td><p>z</table><pre><code "
    b"class=language-py>a = 1\n</code></pre><blockquote>q<br>r</blockquote><a href=https://e.org>l</a><img alt=i>"
    b"<script>s</script><template>t</template><svg><text>v</text></svg><dl><dt>d<dd>e</dl><hr><sup>1</sup></body></html>"
)
_MARKDOWN = b"# Head *a*\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\nx\n```\n[l](x) <b>h</b>\n"
_TEMPLATES = (
    b"{% for l in document.splitlines() %}{{ l | upper }}{% endfor %}{{ title ~ path }}",
    b"{{ document | truncate(3) }}{% if metadata.x is defined %}{{ metadata.x }}{% endif %}",
)
_ANSWER = {
    "reader": "r",
    "parts": [
        {
            "kind": "document",
            "record_id": None,
            "media": "text",
            "title": "t",
            "from": 0,
            "to": 3,
            "metadata": {"a": "b"},
            "places": [{"name": "page 1", "from": 0, "to": 2}],
        },
        {"kind": "rejected", "record_id": "1", "status": "failed", "reason": "x"},
    ],
}


def _records() -> list[tuple[int, bytes]]:
    """Bodies as a run writes them; kinds as in docs/journal.md."""
    id_ = "ab" * 32
    bodies = [
        (1, {"run_id": "r", "unix_ms": 1, "pid": 1}),
        (3, {"work_ids": [id_], "unix_ms": 1}),
        (4, {"work_ids": [id_], "reason": "drained"}),
        (5, {"work_id": id_, "status": "ok", "output": "o", "reason": "", "finish_reason": "stop", "tokens_in": 1,
             "tokens_out": 1, "repairs": 0, "attempts": 1,
             "timings": {"queued_ms": 0.0, "prefill_ms": 0.0, "decode_ms": 0.0}}),
    ]  # fmt: skip
    return [(kind, json.dumps(body).encode()) for kind, body in bodies]


def seeds() -> dict[str, list[bytes]]:
    """By target."""
    languages = [
        "Die Straße führt zur Brücke.",
        "Привет, мир, как дела?",
        "港の事務所は八時に開きます。",
        "مرحبا بالعالم",
    ]
    text = [*(text.encode() for text in languages), *(text.encode("utf-16-le") for text in languages)]
    text += [languages[0].encode("latin-1"), languages[1].encode("koi8-r"), languages[2].encode("shift_jis")]
    text += [languages[2].encode("iso2022_jp"), b"\x1b$)C\x0e\x30\x21\x0f", b"\xef\xbb\xbfmark", b"\xff\xfe\0\0a\0\0\0"]
    lines = [b'{"text": "a", "id": 7, "x": {"y": [1, null, "\\u00e9"]}}\n"plain"\n{broken\n{"body": ""}\n']
    array = [b'[{"text": "a"}, {"text": "b", "id": "i"}]', b'{"a": [1, 2.5e9, true]}', b"[[[[]]]]"]
    table = [b'id,text\n1,"a ""quoted"" b"\n2,c,d\n', "name;täxt\nä;b\n".encode("latin-1"), b"a\tb\n1\t2\n"]
    journal = bytearray(_HEAD + journal_reader.crc32c(_HEAD).to_bytes(4, "little"))
    for kind, body in _records():
        journal += journal_reader.frame(kind, json.loads(body), 16)
    words = zoo.docx(zoo.paragraph("Office words."))
    return {
        "text": text,
        "detect": [*text[:2], _PAGE, words, _MAIL, b"%PDF-1.4\n", b"#!/bin/sh\n", b"\x89PNG\r\n\x1a\n", b"PK\3\4"],
        "html": [_PAGE, b'<?xml version="1.0" encoding="koi8-r"?><html><p>\xf0\xd2', b"<b><i><a><table><p></b>x"],
        "json": array, "jsonl": lines, "csv": table,
        "markdown": [_MARKDOWN, b"head\n===\n"],
        "gz": [gzip.compress(b"some text", 9, mtime=0), gzip.compress(b"a" * 5000, 9, mtime=0) * 2],
        "zip": [words, zoo.epub(_PAGE.decode()), zoo.docx(zoo.paragraph("x"), stored=True)],
        "docx": [_DOCX], "xlsx": [_XLSX], "pptx": [_PPTX], "odt": [_ODT], "ods": [_ODS], "epub": [_EPUB],
        "mail": [_MAIL, b"Subject: x\nContent-Type: text/html\n\n<h1>Head</h1>"],
        "mbox": [b"From a@b Mon Jan  1 00:00:00 2024\n" + _MAIL + b"\n\nFrom c\n" + _MAIL],
        "journal": [bytes(journal), bytes(journal[:-7]), bytes(journal) + b"\0" * 64],
        "frames": [b"\n".join(bytes([kind]) + body for kind, body in _records())],
        "answer": [json.dumps(_ANSWER).encode() + b"\nabcdef"],
        "template": [b"{{ document }}", *_TEMPLATES],
    }  # fmt: skip


def words_of(files: list[bytes]) -> bytes:
    """A dictionary for the engine: tags, names and what stands in quotation marks."""
    found = sorted({word for data in files for word in re.findall(rb"</?[\w:]+|[\w:-]+=|\"[\w:./-]{2,40}\"", data)})
    return b"".join(b'"' + word.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"\n' for word in found)


def write(folder: Path) -> list[str]:
    """Writes all below `folder`; returns the names of the targets."""
    found = seeds()
    for target, files in found.items():
        (folder / "seeds" / target).mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(files):
            (folder / "seeds" / target / f"{number}").write_bytes(data)
        (folder / "seeds" / f"{target}.words").write_bytes(words_of(files))
    (folder / "settings.json").write_text(json.dumps(settings()))
    return list(found)


def settings() -> dict[str, object]:
    """The core's own, of a run that reads nothing."""
    no_hash = "0" * 64
    model = ModelFolder(Path("/model"), "tiny", no_hash, Path("/model/t"), no_hash, 2048, 0, 0, 0, {"as_is": 0})
    prompt = Prompt((), (), no_hash)
    return core_settings(configs.make_config("/out"), model, prompt, run_id="f", run_dir="/out", index_path="/out/i")
