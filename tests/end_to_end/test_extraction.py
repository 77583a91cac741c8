"""Documents whose parser runs in an extract worker, through the whole command: text, limits, neighbours."""

import io
import itertools
import json
import zipfile
from pathlib import Path

from tests.end_to_end.conftest import Shell, scripted
from tests.end_to_end.pdf_writer import of_streams, pdf

PLAIN = scripted("input=papers")


def papers(shell: Shell, **files: bytes) -> Path:
    folder = shell.folder / "papers"
    folder.mkdir()
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)
    return folder


def ends(shell: Shell) -> dict[str, tuple[str, str]]:
    """Status and reason by file name."""
    return {Path(line["source"]).name: (line["status"], line["reason"]) for line in shell.results()}


def with_package(shell: Shell, name: str, code: str) -> Shell:
    """The same shell, where this package is installed first, as version 9."""
    site = shell.folder / "site"
    (site / name).mkdir(parents=True)
    (site / name / "__init__.py").write_text(code)
    (site / f"{name}-9.dist-info").mkdir()
    (site / f"{name}-9.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9\n")
    return first_on_path(shell, site)


def without_package(shell: Shell, name: str) -> Shell:
    """The same shell, where nobody finds this package."""
    site = shell.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        f"""
import importlib.metadata, importlib.util
distribution, find_spec = importlib.metadata.distribution, importlib.util.find_spec
def no_distribution(name):
    if name == "{name}":
        raise importlib.metadata.PackageNotFoundError(name)
    return distribution(name)
importlib.metadata.distribution = no_distribution
importlib.util.find_spec = lambda name, package=None: None if name == "{name}" else find_spec(name, package)
"""
    )
    return first_on_path(shell, site)


def first_on_path(shell: Shell, site: Path) -> Shell:
    path = f"{site}:{shell.environment['PYTHONPATH']}"
    return Shell(shell.folder, {**shell.environment, "PYTHONPATH": path}, shell.prefix)


def docx(text: str) -> bytes:
    """One paragraph, with no more parts than a reader needs."""
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    words = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            f'<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" '
            'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
            'Target="word/document.xml"/></Relationships>',
        )
        archive.writestr(
            "word/document.xml",
            f'<w:document xmlns:w="{words}"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>',
        )
    return packed.getvalue()


def slow_page() -> bytes:
    """Megabytes of tiny text objects out of a few kilobytes: seconds of work for any reader."""
    return b"BT /F1 12 Tf 72 720 Td " + b"(a) Tj 1 0 Td (b) Tj " * 1_500_000 + b" ET"


def test_the_pages_of_a_pdf_reach_the_model_in_order_beside_other_files(shell: Shell) -> None:
    papers(shell, a_pdf=pdf(["Ships report\nat the harbour.", "Bees live in a hive."]), b_txt=b"Plain text.")
    done = shell.run(*PLAIN)
    assert done.returncode == 0, done.stderr
    output = {Path(line["source"]).name: line["output"] for line in shell.results()}
    words = [output["a.pdf"].find(word) for word in ("Ships", "harbour", "Bees", "hive")]
    assert -1 not in words
    assert words == sorted(words), output["a.pdf"]
    assert "Plain" in output["b.txt"]


def test_each_part_says_which_pages_it_covers_and_the_line_who_read_the_file(shell: Shell) -> None:
    pages = [f"Page {number}. " + "Ships and bees and harbours. " * 12 for number in range(1, 9)]
    papers(shell, a_pdf=pdf(pages), b_txt=b"Plain text.", c_docx=docx("Office words."), d_pdf=b"%PDF-1.7\nnonsense")
    assert shell.run(*PLAIN, "model.max_model_len=400").returncode == 3
    line = {Path(line["source"]).name: line for line in shell.results()}
    assert {name: (of["reader"] or "").split(" ")[0] for name, of in line.items()} == {
        "a.pdf": "pdfium",
        "b.txt": "",
        "c.docx": "runner",
        "d.pdf": "pdfium",
    }
    places = [part["places"] for part in line["a.pdf"]["parts"]]
    assert len(places) > 1
    numbers = [[int(name.removeprefix("page ")) for name in ends] for ends in places]
    assert numbers[0][0] == 1
    assert numbers[-1][1] == 8
    assert all(first <= last for first, last in numbers)
    for (_, last), (first, _) in itertools.pairwise(numbers):
        assert first in (last, last + 1), numbers
    assert [part["places"] for part in line["b.txt"]["parts"] + line["c.docx"]["parts"]] == [None, None]


def test_a_pdf_without_text_and_one_that_is_none_say_so_and_the_summary_counts_them(shell: Shell) -> None:
    papers(
        shell,
        empty_pdf=of_streams([b"0 0 m 100 100 l S"] * 3),
        broken_pdf=b"%PDF-1.7\nnonsense",
        good_pdf=pdf(["Text."]),
    )
    done = shell.run(*PLAIN)
    assert done.returncode == 3, done.stderr
    assert ends(shell)["empty.pdf"] == ("skipped", "no text layer (3 pages)")
    status, reason = ends(shell)["broken.pdf"]
    assert (status, reason.split(":")[0]) == ("failed", "damaged pdf")
    assert ends(shell)["good.pdf"] == ("ok", "")
    assert "skipped: no text layer\n" in done.stdout + "\n"


def test_a_pdf_over_its_pages_fails_with_both_numbers_and_pages_that_were_read_are_counted(shell: Shell) -> None:
    papers(shell, a_pdf=pdf(["One.", "Two."]), long_pdf=pdf(["One.", "Two.", "Three."]))
    assert shell.run(*PLAIN, "ingest.max_pdf_pages=2").returncode == 3
    assert ends(shell) == {"a.pdf": ("ok", ""), "long.pdf": ("failed", "limit max_pdf_pages: 3 over 2")}
    samples = (shell.folder / "outputs" / "latest" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(samples[-1])["pages_read"] == 2
    assert shell.run(*PLAIN, "ingest.max_pdf_pages=3").returncode == 0, "the limit is part of what a run is"


def test_an_office_file_and_each_message_of_a_mailbox_are_documents(shell: Shell) -> None:
    letter = "From a@b Mon Jan  1 00:00:00 2024\nFrom: a@b\nTo: c@d\nSubject: {0}\n\n{0} letter.\n\n"
    mail = b"From: a@b\nTo: c@d\nSubject: Hello\n\nMail words.\n"
    box = (letter.format("First") + letter.format("Second")).encode()
    papers(shell, a_docx=docx("Office words."), b_eml=mail, c_mbox=box)
    done = shell.run(*PLAIN)
    assert done.returncode == 0, done.stderr
    output = {Path(line["source"]).name: line["output"] for line in shell.results()}
    assert {name: word for name, word in output.items() if "words" in word}.keys() == {"a.docx", "b.eml"}
    assert "First" in output["c.mbox#1"]
    assert "Second" in output["c.mbox#2"]


def test_an_office_bomb_fails_alone_with_the_limit_it_hit(shell: Shell) -> None:
    papers(shell, bomb_docx=docx("x" * 400_000_000), fine_docx=docx("Office words."))
    done = shell.run(*PLAIN)
    assert done.returncode == 3, done.stderr
    status, reason = ends(shell)["bomb.docx"]
    assert status == "failed"
    assert reason.startswith("limit max_"), reason
    assert ends(shell)["fine.docx"] == ("ok", "")


def test_a_pdf_over_its_processor_time_fails_alone(shell: Shell) -> None:
    papers(shell, a_pdf=pdf(["First."]), slow_pdf=of_streams([slow_page()]), z_pdf=pdf(["Last."]))
    done = shell.run(*PLAIN, "ingest.isolation.cpu_s=1")
    assert done.returncode == 3, done.stderr
    assert ends(shell)["slow.pdf"] == ("failed", "limit isolation.cpu_s: over 1 s")
    assert {ends(shell)[name][0] for name in ("a.pdf", "z.pdf")} == {"ok"}


def test_a_pdf_over_its_memory_fails_alone_and_the_runner_stays_small(shell: Shell) -> None:
    papers(shell, a_pdf=pdf(["First."]), large_pdf=of_streams([b" " * 300_000_000 + slow_page()]), z_pdf=pdf(["Last."]))
    done = shell.run(*PLAIN, "ingest.isolation.memory_bytes=67108864")
    assert done.returncode == 3, done.stderr
    status, reason = ends(shell)["large.pdf"]
    assert status == "failed", reason
    assert reason.split(":")[0] in ("parser", "damaged pdf"), reason
    assert {ends(shell)[name][0] for name in ("a.pdf", "z.pdf")} == {"ok"}
    summary = json.loads((shell.folder / "outputs" / "latest" / "summary.json").read_text())
    assert summary["peak_rss_bytes"]["runner"] < 300_000_000


def test_without_pdfium_a_pdf_fails_with_the_cure_and_is_tried_again_when_it_is_there(shell: Shell) -> None:
    papers(shell, a_pdf=pdf(["Text of a page."]))
    assert without_package(shell, "pypdfium2_raw").run(*PLAIN).returncode == 3
    status, reason = ends(shell)["a.pdf"]
    assert (status, reason) == ("failed", "extractor: PDFium is not installed: install the package pypdfium2")
    assert shell.run(*PLAIN).returncode == 0
    assert ends(shell)["a.pdf"] == ("ok", "")


def test_what_confines_an_extract_worker_is_in_the_journal_as_it_reported_it(shell: Shell) -> None:
    papers(shell, a_pdf=pdf(["Text of a page."]))
    assert shell.run(*PLAIN).returncode == 0
    journal = (shell.folder / "outputs" / "latest" / "journal").read_bytes()
    assert b'"name":"extract_worker.' in journal
    assert b"pdfium" in journal
    assert b"system_calls" in journal
