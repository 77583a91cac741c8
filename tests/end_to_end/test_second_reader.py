"""PDFs that PDFium cannot read, through the whole command: what the second reader gives, costs and cannot spoil."""

import importlib.util

import pytest

from tests.end_to_end.conftest import Shell
from tests.end_to_end.pdf_writer import pdf
from tests.end_to_end.test_extraction import PLAIN, ends, papers, with_package, without_package

DAMAGED = b"%PDF-1.7\nnonsense"

STAND_IN = """
def disable_logging(): pass
class PdfDocument:
    page_count = 2
    @classmethod
    def from_bytes(cls, file):
        {opens}
        return cls()
    def to_plain_text(self, page):
        return f"Words of page {{page}}."
"""


def stand_in(shell: Shell, opens: str = "pass") -> Shell:
    return with_package(shell, "pdf_oxide", STAND_IN.format(opens=opens))


def test_a_damaged_pdf_is_read_by_the_second_reader_and_the_line_says_so(shell: Shell) -> None:
    papers(shell, a_pdf=pdf(["Whole."]), b_pdf=DAMAGED)
    done = stand_in(shell).run(*PLAIN)
    assert done.returncode == 0, done.stderr
    lines = {line["source"][-5:]: line for line in shell.results()}
    assert lines["b.pdf"]["reader"] == "pdf_oxide 9"
    assert lines["b.pdf"]["parts"][0]["places"] == ["page 1", "page 2"]
    assert "Words of page 0." in lines["b.pdf"]["output"]
    assert lines["a.pdf"]["reader"].startswith("pdfium ")


def test_what_the_second_reader_says_stands_behind_what_the_first_said(shell: Shell) -> None:
    papers(shell, b_pdf=DAMAGED)
    assert stand_in(shell, "raise OSError('no cross-reference table')").run(*PLAIN).returncode == 3
    status, reason = ends(shell)["b.pdf"]
    assert status == "failed"
    assert reason.startswith("damaged pdf: no PDF structure can be read; pdf_oxide 9: "), reason
    assert "no cross-reference table" in reason


@pytest.mark.parametrize(
    ("opens", "why"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "signal 11 (SIGSEGV)"),
        ("while True: pass", "limit isolation.cpu_s: over 1 s"),
    ],
)
def test_a_second_reader_that_dies_or_never_ends_costs_its_own_try_alone(shell: Shell, opens: str, why: str) -> None:
    papers(shell, a_pdf=pdf(["First."]), b_pdf=DAMAGED, c_pdf=pdf(["Last."]))
    assert stand_in(shell, opens).run(*PLAIN, "ingest.isolation.cpu_s=1").returncode == 3
    reason = f"damaged pdf: no PDF structure can be read; pdf_oxide 9: {why}"
    assert ends(shell) == {"a.pdf": ("ok", ""), "b.pdf": ("failed", reason), "c.pdf": ("ok", "")}


def test_without_the_package_the_reason_says_how_to_have_it_and_with_it_the_next_run_tries_again(shell: Shell) -> None:
    papers(shell, a_pdf=pdf(["Whole."]), b_pdf=DAMAGED)
    poorer = without_package(shell, "pdf_oxide")
    assert poorer.run(*PLAIN).returncode == 3
    assert ends(shell)["b.pdf"][1] == (
        "damaged pdf: no PDF structure can be read; pdf_oxide, which reads some damaged files, is not installed: "
        "pip install 'mlx-runner[pdf-repair]'"
    )
    assert poorer.run(*PLAIN).returncode == 0, "nothing has changed: nothing is done again"
    (shell.folder / "site").rename(shell.folder / "not any more")
    assert stand_in(shell).run(*PLAIN).returncode == 0
    assert ends(shell)["b.pdf"] == ("ok", "")


@pytest.mark.skipif(importlib.util.find_spec("pdf_oxide") is None, reason="the extra pdf-repair is not installed")
def test_the_real_second_reader_gives_the_pages_that_the_first_one_cannot(shell: Shell) -> None:
    whole = pdf([f"Words of page {number}." for number in range(1, 4)])
    papers(shell, a_pdf=whole[: whole.index(b"xref")])
    assert shell.run(*PLAIN).returncode == 0
    line = shell.results()[0]
    assert line["reader"].startswith("pdf_oxide ")
    assert "Words of page 3." in line["output"]
