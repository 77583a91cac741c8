"""`runner bench chunk`: ours cuts every document whole and within the budget, and other chunkers' faults are told."""

import json
from pathlib import Path
from typing import Any

import pytest

from runner import models
from runner.bench import chunk
from runner.bench.ingest.measure import Effort
from runner.commands import bench
from runner.errors import UsageError
from runner.models import ModelChoice
from tests.bench import planted

BUDGET = 40


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(models.resolve(ModelChoice("tiny"), tmp_path_factory.mktemp("cache")).tokenizer_path)


def documents(folder: Path) -> Path:
    """A page and a text of several chunks each."""
    folder.mkdir()
    sections = "".join(f"<h2>Part {n}</h2><p>{'Some words of it. ' * 12}</p>" for n in range(6))
    (folder / "a.html").write_text(f"<html><body>{sections}</body></html>")
    (folder / "b.txt").write_text("\n\n".join(f"Paragraph {n}: {'more words, ' * 10}" for n in range(8)))
    return folder


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, tokenizer: str) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bench")
    options = chunk.Options(
        (str(documents(folder / "documents")),),
        tokenizer,
        BUDGET,
        Effort(rounds=1, file_s=20),
        planted.interpreter(folder),
        json=True,
    )
    printed: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.print", lambda text, **_: printed.append(text))
        assert chunk.run_chunk_bench(options) == 0
    found: dict[str, Any] = json.loads(printed[-1])
    return found


def row(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(row for row in report["chunkers"] if row["reader"] == name)


def test_ours_keeps_every_character_and_the_budget(report: dict[str, Any]) -> None:
    ours = row(report, "runner")
    assert report["documents"] == 2
    assert (ours["lost"], ours["doubled"], ours["over"], ours["failed"]) == (0, 0, 0, {})
    assert ours["chunks"] > 8
    assert ours["headed"] >= 6, "every part of the page begins a chunk"
    assert ours["tokens"] > BUDGET * ours["chunks"] / 2


def test_a_chunker_that_loses_and_doubles_is_told_from_one_that_goes_over(report: dict[str, Any]) -> None:
    loses, never = row(report, "semchunk"), row(report, "text-splitter")
    assert loses["lost"] > 0
    assert loses["doubled"] > 0
    assert (never["lost"], never["doubled"], never["over"], never["chunks"]) == (0, 0, 2, 2)


def test_the_table_fits_and_names_what_was_lost(
    tmp_path: Path, tokenizer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["chunk", str(documents(tmp_path / "documents")), "--tokenizer", tokenizer, "--budget", str(BUDGET)]
    assert bench.main([*words, "--rounds", "1", "--peer-python", planted.interpreter(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert any(line.startswith("  semchunk: ") and "doubled" in line for line in lines)
    assert sum(line.startswith(("runner ", "text-splitter ", "semchunk ")) for line in lines) == 3


def test_wrong_words_are_usage_errors(tmp_path: Path, tokenizer: str) -> None:
    (tmp_path / "a.txt").write_text(" \n")
    with pytest.raises(UsageError, match="no text below"):
        bench.main(["chunk", str(tmp_path), "--tokenizer", tokenizer])
    with pytest.raises(UsageError, match="nothing is no file"):
        bench.main(["chunk", str(tmp_path), "--tokenizer", "nothing"])
