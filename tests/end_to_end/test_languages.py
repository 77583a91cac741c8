"""Texts of many languages reach the model and results.jsonl byte for byte, whatever file they came in."""

import base64
import json
import os
import quopri
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Shell, scripted
from tests.end_to_end.languages import LANGUAGES, Language
from tests.end_to_end.zoo import docx, epub, paragraph

RUN = scripted("input=texts", "job.max_tokens=1000")
PROBE = "A probe."
PAGE = '<html><head><meta charset="{}"></head><body><p>{}</p></body></html>'


def mail(charset: str, coded: bytes, encoding: str) -> bytes:
    head = f"From: a@b\nTo: c@d\nSubject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset={charset}\n"
    return f"{head}Content-Transfer-Encoding: {encoding}\n\n".encode() + coded


def files(language: Language) -> Iterator[tuple[str, bytes]]:
    """The same text in every kind of file, named by it."""
    text, utf8 = language.text, language.text.encode()
    yield "utf8.txt", utf8
    yield "mark.txt", text.encode("utf-8-sig")
    yield "utf16.txt", text.encode("utf-16")
    yield "note.md", utf8
    yield "utf8.html", PAGE.format("utf-8", text).encode()
    yield "numbers.html", PAGE.format("utf-8", "".join(f"&#{ord(letter)};" for letter in text)).encode()
    yield "escaped.jsonl", json.dumps({"text": text}).encode() + b"\n"
    yield "plain.jsonl", json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n"
    quoted = text.replace('"', '""')
    yield "table.csv", f'id,text\n1,"{quoted}"\n'.encode()
    yield "letter.docx", docx(paragraph(text.replace("<", "&lt;")))
    yield "book.epub", epub(PAGE.format("utf-8", text.replace("<", "&lt;")).replace('<meta charset="utf-8">', ""))
    yield "base64.eml", mail("utf-8", base64.encodebytes(utf8), "base64")
    yield "quoted.eml", mail("utf-8", quopri.encodestring(utf8), "quoted-printable")
    if language.legacy:
        coded = text.encode(language.legacy)
        yield "legacy.html", PAGE.format(language.legacy, text).encode(language.legacy)
        yield "legacy.eml", mail(language.legacy, base64.encodebytes(coded), "base64")


def changed(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """Files whose answer is not their text, letter by letter; none is forgotten."""
    return sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))


def test_every_language_survives_every_kind_of_file_byte_for_byte(shell: Shell) -> None:
    folder = shell.folder / "texts"
    folder.mkdir()
    (folder / "probe.txt").write_text(PROBE)
    expected = {"probe.txt": PROBE}
    for language in LANGUAGES:
        for kind, content in files(language):
            name = f"{language.name}-{kind}"
            (folder / name).write_bytes(content)
            expected[name] = language.text
    done = shell.run(*RUN)
    assert done.returncode == 0, done.stderr
    # Read as bytes and decoded strictly: half a character in the file would be an error here.
    lines = [
        json.loads(line)
        for line in (shell.folder / "outputs/latest/results.jsonl").read_bytes().decode().split("\n")[:-1]
    ]
    answers = {Path(line["source"]).name.split("#")[0]: line["output"] for line in lines}
    before, after = answers["probe.txt"].split(PROBE)
    found = {name: answer.removeprefix(before).removesuffix(after) for name, answer in answers.items()}
    assert changed(expected, found) == []
    assert len(lines) == len(expected)


@pytest.mark.parametrize("damage", ["nfc", "order", "joiner", "lost"])
def test_a_text_that_was_normalised_reordered_or_lost_is_seen(damage: str) -> None:
    expected = {language.name: language.text for language in LANGUAGES}
    harm = {
        "nfc": lambda text: unicodedata.normalize("NFC", text),
        "order": lambda text: text[::-1],
        "joiner": lambda text: text.replace("\u200d", "").replace("\u200f", ""),
        "lost": lambda text: text[:-1],
    }[damage]
    assert changed(expected, {name: harm(text) for name, text in expected.items()})


# ---- pages of a package in many languages ----


class Plain(HTMLParser):
    """The text of a page as Python's own parser sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.silent += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.pieces.append(data)


def counted(text: str) -> Counter[str]:
    """Words; where a language writes none apart, letters."""
    return Counter(
        piece
        for word in re.findall(r"\w+", text)
        for piece in (word if re.search(r"[\u0e00-\u0e7f\u3040-\u9fff]", word) else [word])
    )


def declared(page: bytes) -> str:
    """The page in the encoding that it names."""
    found = re.search(rb"charset=[\"']?([\w-]+)", page)
    return page.decode(found[1].decode() if found else "utf-8")


def kept(page: str, text: str) -> tuple[int, int]:
    """How many words of the page stand in the text, and how many there are."""
    parser = Plain()
    parser.feed(page)
    wanted = counted(" ".join(parser.pieces))
    return sum((wanted & counted(text)).values()), sum(wanted.values())


@pytest.mark.torture
@pytest.mark.timeout(1800)
def test_pages_of_a_package_keep_their_words_in_every_language(shell: Shell) -> None:
    """`RUNNER_LANGUAGES` names a folder with a folder for each language: the `manual` of Debian's apache2-doc."""
    named = os.environ.get("RUNNER_LANGUAGES")
    if not named:
        pytest.skip("platform: RUNNER_LANGUAGES names no folder: unpack apache2-doc, then set it to its `manual`")
    pages: dict[str, Path] = {}
    for folder in sorted(path for path in Path(named).iterdir() if path.is_dir()):
        for page in sorted(folder.rglob("*.html"))[:12]:
            pages[str(shell.folder / "pages" / folder.name / f"{len(pages)}.html")] = page
    for copy, page in pages.items():
        Path(copy).parent.mkdir(parents=True, exist_ok=True)
        Path(copy).write_bytes(page.read_bytes())
    (shell.folder / "pages" / "probe.txt").write_text(PROBE)
    # Half of the model for the answer, so that the echo holds all of the prompt.
    done = shell.run(*scripted("input=pages", "model.max_model_len=2048", "job.max_tokens=1024"), seconds=1700)
    assert done.returncode == 0, done.stderr
    rows = {row["source"]: row for row in shell.results()}
    before, after = next(row["output"] for row in rows.values() if row["source"].endswith("probe.txt")).split(PROBE)
    shares: dict[str, list[int]] = {}
    for copy, page in pages.items():
        outputs = [part["output"] for part in rows[str(Path(copy).resolve())]["parts"]]
        text = "".join(output.removeprefix(before).removesuffix(after) for output in outputs)
        seen, wanted = kept(declared(page.read_bytes()), text)
        share = shares.setdefault(Path(copy).parent.name, [0, 0])
        share[0] += seen
        share[1] += wanted
    print(", ".join(f"{name} {seen / wanted:.4f} of {wanted:,}" for name, (seen, wanted) in shares.items()))
    assert all(seen >= 0.99 * wanted > 0 for seen, wanted in shares.values())


def test_a_word_that_a_page_has_and_its_text_has_not_is_counted() -> None:
    assert kept("<p>one <b>two</b><script>three</script>", "one two three") == (2, 2)
    assert kept("<p>one two", "one") == (1, 2)
    assert kept("<p>港の事務所", "港の務所") == (4, 5)
