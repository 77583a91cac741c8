"""The report of a sweep names its best row, what failed and the front, and leaves a profile that composes."""

from pathlib import Path
from typing import Any

import pytest

from runner import report
from runner.commands import report as command
from runner.config.compose import compose
from runner.errors import StorageError
from runner.machine import detect
from runner.report import sweep_rows
from tests.unit.report.folders import HOSTILE, write_sweep
from tests.unit.report.pages import HARMFUL, drawn


def sweep_row(number: int, rate: float, gib: float, share: float = 1.0, **settings: str) -> sweep_rows.SweepRow:
    ok = round(100 * share)
    figures: dict[str, Any] = {"docs_per_hour": rate, "peak_bytes": gib * 2**30, "ok": ok, "bad": 100 - ok}
    return sweep_rows.SweepRow(number, settings, "completed", 0, 1.0, "", "", **figures)


def test_the_front_holds_what_no_other_row_beats() -> None:
    rows = [sweep_row(0, 100, 2), sweep_row(1, 90, 1), sweep_row(2, 80, 2), sweep_row(3, 80, 3, 0.5)]
    assert [row.number for row in sweep_rows.front(rows)] == [0, 1]
    same = sweep_row(5, 60, 0.995)
    assert [row.number for row in sweep_rows.front([*rows, same])] == [0, 1], "a peak is never twice the same"
    assert [row.number for row in sweep_rows.front([*rows, sweep_row(4, 10, 4, 1.0)])] == [0, 1]


def test_a_sweep_names_its_best_row_its_failures_and_links_to_its_jobs(tmp_path: Path) -> None:
    report.write_sweep(write_sweep(tmp_path / "s"))
    page = drawn(tmp_path / "s")
    assert "Best: max_num_seqs=16, threads_per_worker=1, max_tokens=16: 2,238 documents an hour" in page.text
    assert "2 jobs failed." in page.text
    assert page.text.count("error: worker 0 could not start") == 2
    assert ("a", "href", "002_000000000002/report.html") in page.attributes


def test_a_damaged_list_of_jobs_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text("{}")
    (tmp_path / "preflight.json").write_text('[{"key": 1}]')
    with pytest.raises(StorageError, match="is no list of jobs"):
        command.main([str(tmp_path)])


def test_hostile_texts_of_a_sweep_do_nothing(tmp_path: Path) -> None:
    report.write_sweep(write_sweep(tmp_path / "s", text=HOSTILE["source"]))
    page = drawn(tmp_path / "s")
    assert page.tags.count("script") == 1
    assert not HARMFUL.search((tmp_path / "s/report.html").read_text())


def test_the_profile_of_the_best_row_composes_to_its_settings(tmp_path: Path) -> None:
    root = write_sweep(tmp_path / "s")
    report.write_sweep(root)
    config = compose(["--config-dir", str(root / "best"), "+profile=best"], detect())
    assert config.batching.max_num_seqs == 16
    assert config.batching.prefill_batch_size == 3
    assert config.profile.names == ("best",)
    assert "max_num_seqs: 16" in drawn(root).text
    assert "+profile=best job=summarize cores.threads_per_worker=1 job.max_tokens=16" in drawn(root).text
