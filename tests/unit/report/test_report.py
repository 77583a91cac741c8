"""The report says what the folder holds, in bounded time and size; nothing that stands in a document acts in it.

Method: folders made without a run (folders.py), the page parsed; test_browser.py shows it to a browser.
"""

import json
import re
import time
from pathlib import Path

import pytest

from runner import report
from runner.commands import report as command
from runner.errors import StorageError, UsageError
from runner.report import markup, run_page, shell
from tests.unit.report.folders import HOSTILE, write_run, write_sweep
from tests.unit.report.pages import HARMFUL, Page, drawn


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Page:
    run = write_run(tmp_path_factory.mktemp("run") / "r", 100)
    report.write(run)
    return drawn(run.root)


def test_the_page_says_how_the_run_ended_and_with_which_conditions(hundred: Page) -> None:
    said = hundred.text
    assert "Incomplete: 70 of 90 documents have an answer; 20 failed." in said
    assert "2,100" in said
    assert "400 tokens in, 30 out, smollm2-135m, precision as is, max_num_seqs 8 x 1 worker, AMD EPYC" in said


@pytest.mark.parametrize(
    "words",
    [
        "reading prompts (prefill) 72 s, 60 %",
        "spent 2.5 s on reading files and 1.0 s on cutting and encoding. 100 tokens (3 %) were",
        "the engines held 1.0 GiB at most, 1 MiB of it KV cache of prompts",
        "until the first worker was ready 3.0 s",
        "mlx 9.0 GiB 1.6 GiB 7.4 GiB",
        "10 failed, 10 % of all schema: 7 is no date",
        "10 quarantined, 10 % of all worker: died 3 times",
        "10 skipped, 10 % of all unsupported type: png",
        "2 documents had the same bytes as another one",
        "OMP_NUM_THREADS process 1 applied",
        "memory.total: 128GiB → 20GiB",
        "cd /documents/here runner +profile=linux_cpu job=summarize \"input='/documents'\"",
        "worker.died",
    ],
)
def test_each_part_says_its_figures(hundred: Page, words: str) -> None:
    assert words in hundred.text


def test_headings_captions_and_plots_can_be_read_without_eyes(hundred: Page) -> None:
    assert hundred.tags.count("h1") == 1
    assert hundred.tags.count("table") == hundred.tags.count("caption")
    pictures = [
        value for tag, name, value in hundred.attributes if tag == "svg" and name in ("aria-label", "aria-hidden")
    ]
    assert len(pictures) == hundred.tags.count("svg")
    links = {value for tag, name, value in hundred.attributes if tag == "a" and name == "href"}
    parts = {f"#{value}" for tag, name, value in hundred.attributes if tag == "h2" and name == "id"}
    assert links == parts | {"results.jsonl", "summary.json", "metrics.jsonl", "log.jsonl"}


def test_the_page_asks_for_nothing_outside_itself(hundred: Page) -> None:
    assert not [item for item in hundred.attributes if item[1] in ("src", "style") or item[1].startswith("on")]
    assert [tag for tag in hundred.tags if tag in ("script", "link", "img", "iframe")] == ["script"]
    policy = next(value for tag, name, value in hundred.attributes if name == "content" and "default-src" in str(value))
    assert "default-src 'none'" in str(policy)
    assert "unsafe" not in str(policy)


def test_the_same_folder_gives_the_same_bytes(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", 9_000, seconds=20)
    first = report.write(run).read_bytes()
    assert report.write(run).read_bytes() == first


def test_hostile_texts_are_shown_and_do_nothing(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", 20, HOSTILE)
    page = report.write(run)
    assert page.stat().st_size < 200_000
    seen = drawn(run.root)
    assert seen.tags.count("script") == 1
    assert "img" not in seen.tags
    assert "<script>window.ran=1" in seen.text
    assert "⟨U+202E⟩" in seen.text
    assert "␛[31mred" in seen.text
    assert not HARMFUL.search(page.read_text())


def test_a_planted_text_that_is_not_escaped_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markup.html, "escape", lambda text: text)
    run = write_run(tmp_path / "r", 20, HOSTILE)
    report.write(run)
    with pytest.raises(AssertionError):
        assert drawn(run.root).tags.count("script") == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", "a␛[31mb"),
        ("\u202eexe.txt", "⟨U+202E⟩exe.txt"),
        ("\ud800", "⟨U+D800⟩"),
        ("a\nb\tc", "a␊b␉c"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("a" + "\u0300" * 99 + "<b>", "a" + "\u0300" * 4 + "<b>"),
        ("x" * 400, "x" * 300 + "… (400 characters)"),
    ],
)
def test_what_cannot_be_seen_is_made_visible(text: str, shown: str) -> None:
    assert markup.visible(text) == shown


def test_a_run_that_died_early_or_goes_on_has_a_page_too(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", 30)
    for path in (run.summary, run.environment, run.log, run.results):
        path.unlink()
    run.metrics.write_text('{"elapsed_s":')
    report.write(run, "crashed")
    said = drawn(run.root).text
    assert "Crashed:" in said
    assert "runner resume abc123" in said


def test_a_torn_or_foreign_line_is_counted_and_passed_over(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", 30)
    with run.results.open("a") as lines:
        lines.write('[1]\n{"status": "ok"}\nnothing\n{"torn"')
    found = report.read(run).outcomes
    assert (found.inputs, found.unreadable) == (31, 3)


def test_no_run_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run 'nothing'"):
        command.main(["nothing", "--outputs", str(tmp_path)])
    (tmp_path / "run.json").write_text("[")
    with pytest.raises(StorageError, match="is not JSON"):
        command.main([str(tmp_path)])


def test_the_command_draws_a_run_and_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "outputs/runs/2026-11-23/22-59-47_summarize_linux_cpu_abc123", 10)
    sweep = write_sweep(tmp_path / "outputs/sweeps/2026-11-23/23-00-00_summarize_d0d0d0")
    for name, root in (("abc123", run.root), ("d0d0d0", sweep), (str(sweep), sweep)):
        assert command.main([name, "--outputs", str(tmp_path / "outputs"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"report": str(root / "report.html")}


def contrast(one: str, other: str) -> float:
    """WCAG 2: from 1 to 21."""

    def light(colour: str) -> float:
        wide = colour[1:] if len(colour) == 7 else "".join(c * 2 for c in colour[1:])
        parts = [int(wide[place : place + 2], 16) / 255 for place in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    brighter, darker = sorted((light(one), light(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark", "print"])
def test_every_colour_can_be_told_from_its_ground(theme: str) -> None:
    """Text at 4.5, shapes at 3 (AA), in each theme of the style sheet."""
    blocks = re.findall(r":root \{(.*?)\}", (Path(report.__file__).parent / "page.css").read_text(), re.DOTALL)
    block = blocks[("light", "dark", "print").index(theme)]
    colour = dict(re.findall(r"--(\w+): (#\w+)", block))
    low = {
        (name, ground): contrast(colour[name], colour[ground])
        for least, names in (
            (4.5, ("ink", "quiet", "link", "good", "bad", "warn")),
            (3, ("c1", "c2", "c3", "c4", "c5")),
        )
        for name in names
        for ground in ("paper", "panel")
        if contrast(colour[name], colour[ground]) < least
    }
    assert low == {}


@pytest.mark.parametrize(("busy_s", "crowded"), [(200, False), (1000, True)])
def test_a_machine_that_others_used_is_named(tmp_path: Path, busy_s: float, crowded: bool) -> None:
    run = write_run(tmp_path / "r", 10)
    summary = json.loads(run.summary.read_text())
    summary["pace"] |= {"prefill_s": busy_s / 2, "decode_s": busy_s / 2}
    run.summary.write_text(json.dumps(summary))
    report.write(run)
    assert ("Crowded: While they computed, workers had 23 % of a processor" in drawn(run.root).text) == crowded


@pytest.mark.parametrize(
    ("state", "counts", "word"),
    [
        ("finished", {"ok": 3, "inputs": 3}, "Complete"),
        ("finished", {"ok": 1, "failed": 2, "inputs": 3}, "Incomplete"),
        ("finished", {"skipped": 3, "inputs": 3}, "Nothing to answer"),
        ("interrupted", {"ok": 1, "open": 2, "inputs": 3}, "Stopped"),
        ("failed", {}, "Failed"),
        ("running", {}, "Running"),
    ],
)  # fmt: skip
def test_the_verdict_is_that_of_the_run(tmp_path: Path, state: str, counts: dict[str, int], word: str) -> None:
    run = write_run(tmp_path / "r", 0)
    run.summary.write_text(json.dumps(counts))
    assert run_page.verdict(report.read(run, state))[1] == word


def test_the_policy_fits_the_style_and_script_that_are_sent() -> None:
    page = shell.document("t", markup.tag("p", "x"))
    assert page.count("<style>") == page.count("<script>") == 1
    assert shell.policy().count("sha256-") == 2


@pytest.mark.torture
def test_a_hundred_thousand_documents_take_under_5_s_and_3_mb(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", 100_000, seconds=7200)
    started = time.process_time()
    page = report.write(run)
    seconds = time.process_time() - started
    print(f"100,000 documents: {seconds:.2f} s of CPU, {page.stat().st_size / 1024:.0f} KiB")
    assert seconds < 5
    assert page.stat().st_size < 3 << 20
