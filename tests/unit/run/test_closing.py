"""A run ends with its report, however it ended; a report that cannot be drawn changes nothing but is said."""

from dataclasses import replace
from pathlib import Path

import pytest

from runner import report
from runner.errors import StorageError
from runner.layout import RunFolder
from runner.run import closing
from tests.configs import make_config
from tests.unit.report.folders import write_run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return write_run(tmp_path / "r", 10)


def test_the_report_is_drawn_and_its_place_is_said(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    closing.draw(run, make_config(run.root.parent))
    assert run.report.is_file()
    assert capsys.readouterr().err == f"report: {run.report}\n"


def test_no_report_where_none_is_wanted(run: RunFolder) -> None:
    config = make_config(run.root.parent)
    closing.draw(run, replace(config, output=replace(config.output, report=False)))
    assert not run.report.exists()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (StorageError("cannot write x: No space left on device", "make room"), "No space left on device"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
    ],
)
def test_a_fault_in_drawing_is_said_and_raised_to_nobody(
    run: RunFolder, fault: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_run: RunFolder) -> Path:
        raise fault

    monkeypatch.setattr(report, "write", broken)
    closing.draw(run, make_config(run.root.parent))
    assert said in capsys.readouterr().err
