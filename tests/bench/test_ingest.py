"""`runner bench ingest` from its words to its rows: real processes, and peers that misbehave each in its own way."""

import json
from pathlib import Path
from typing import Any

import pytest

from runner.bench.ingest import Options, files, run_ingest_bench
from runner.bench.ingest.measure import Effort
from runner.commands import bench
from runner.errors import UsageError
from tests.bench import planted
from tests.end_to_end.pdf_writer import pdf

PAGES = 4


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One bench over four pages with all planted peers: reader -> its row, and "absent"."""
    folder = tmp_path_factory.mktemp("bench")
    options = Options(
        (str(planted.corpus(folder / "pages", PAGES)),),
        formats=("html",),
        effort=Effort(rounds=2, file_s=3),
        threads=(1,),
        peer_python=planted.interpreter(folder),
        json=True,
    )
    printed: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda text, **_: printed.append(text))
        assert run_ingest_bench(options) == 0
    report = json.loads(printed[-1])
    html = report["formats"]["html"]
    assert html["files"] == PAGES
    return {row["reader"]: row for row in html["readers"]} | {"absent": html["absent"], "facts": report}


def test_ours_reads_everything_alone_and_as_in_a_run(rows: dict[str, Any]) -> None:
    for name in ("runner", "as in a run, 1 thread"):
        row = rows[name]
        assert (row["files"], row["failed"], row["given_up"]) == (PAGES, {}, False)
        assert row["quality"]["kept"] == 1
        counts = [row["quality"][what] for what in ("headings", "tables", "rows", "fences")]
        assert counts == [PAGES, PAGES, 2 * PAGES, PAGES]
        assert row["cpu_s"] > 0
        assert row["peak_bytes"] > 1 << 20


def test_a_slow_peer_has_the_same_words_and_more_time(rows: dict[str, Any]) -> None:
    row = rows["html2text"]
    assert row["cpu_s"] >= 0.05 * PAGES
    assert row["cpu_times_runner_quartiles"][1] > 5
    assert row["quality"]["kept"] == 1
    assert row["version"] == "9.9"


def test_a_failing_peer_keeps_its_other_files(rows: dict[str, Any]) -> None:
    row = rows["markdownify"]
    assert row["files"] == PAGES
    assert list(row["failed"].values()) == ["ValueError: cannot read this one"]
    assert next(iter(row["failed"])).endswith("2.html")
    assert row["quality"]["kept"] == 1
    assert row["mb_per_s"] > 0


def test_a_peer_with_wrong_output_shows_in_the_quality_and_nowhere_else(rows: dict[str, Any]) -> None:
    row = rows["trafilatura"]
    assert row["failed"] == {}
    assert 0.4 < row["quality"]["kept"] < 0.6
    assert row["quality"]["extra"] > 0.4
    assert row["quality"]["headings"] > 10 * PAGES


def test_a_peer_that_hangs_is_killed_and_said_so_and_goes_on_behind_the_file(rows: dict[str, Any]) -> None:
    row = rows["kreuzberg"]
    assert list(row["failed"].values()) == ["killed: no answer within 3 s"]
    assert row["quality"]["kept"] == 1, "the other files"


def test_a_peer_that_dies_again_and_again_is_given_up(rows: dict[str, Any]) -> None:
    row = rows["markitdown"]
    assert row["given_up"]
    assert row["cpu_s"] is None
    assert "died: exit status 7" in set(row["failed"].values())


def test_what_is_not_installed_or_does_not_start_is_listed(rows: dict[str, Any]) -> None:
    assert rows["absent"]["selectolax"] == "not installed"
    assert "docling.document_converter" in rows["absent"]["docling"]


def test_the_report_says_on_what_it_was_measured(rows: dict[str, Any]) -> None:
    facts = rows["facts"]
    assert {"date", "machine", "load_average", "seed", "rounds", "left_out"} <= facts.keys()
    assert facts["machine"]["physical_cores"] >= 1


def test_pdf_is_read_in_process_and_by_an_extract_worker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf(["Words on a page.", "And on the next one."]))
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4\nnothing")
    words = ["ingest", str(tmp_path), "--peers", "pypdfium2", "--rounds", "1", "--seconds", "1", "--threads", "1"]
    assert bench.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    below = lines[next(n for n, line in enumerate(lines) if "kept" in line) + 1 :]
    assert [line.split()[-8:-5] for line in below[:3]] == [["9", "1.0000", "0.0000"]] * 3
    for name in ("runner", "as in a run, 1 thread"):
        reason = f"  {name}: 1 x damaged pdf: no PDF structure can be read"
        # The line goes on with what a second reader said, or that there is none, as far as a screen is wide.
        assert any(line.startswith(reason) for line in below), below


def test_links_hidden_and_equal_files_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<p>one")
    (tmp_path / "b.htm").write_text("<p>one")
    (tmp_path / "c.txt").write_text("text")
    (tmp_path / "d.bin").write_text("data")
    (tmp_path / "e.html").write_text("")
    (tmp_path / "f.html").symlink_to("a.html")
    (tmp_path / ".g.html").write_text("<p>hidden")
    corpus = files.find([str(tmp_path)], [])
    assert {name: len(found) for name, found in corpus.formats.items()} == {"html": 1, "text": 1}
    assert corpus.left_out == {"same content as another": 1, "other formats": 1, "empty": 1, "links": 1}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "required: PATH"),
        (["{here}"], "no file to measure"),
        (["{here}/nothing"], "is no file and no folder"),
        (["{here}", "--formats", "html,docs"], "unknown format docs"),
        (["{here}", "--peers", "marktdown"], "unknown peer marktdown"),
        (["{here}", "--peer-python", "{here}"], "cannot be started"),
        (["{here}", "--seconds", "0"], "0 is not above 0"),
        (["{here}", "--rounds", "two"], "invalid int value: 'two'"),
        (["{here}", "--threads", "1,-2"], "-2 is not above 0"),
    ],
)
def test_wrong_words_are_usage_errors_with_a_cure(words: list[str], says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        bench.main(["ingest", *(word.format(here=tmp_path) for word in words)])
    assert all(problem.cure for problem in caught.value.problems)
