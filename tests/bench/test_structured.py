"""The structured bench: what counts as valid, what a token costs, and a whole bench on random weights."""

import json
from pathlib import Path
from typing import Any

import pytest

from runner.bench import structured
from runner.bench.structured import SCHEMA, WAYS, Outcome, Plan, StructuredBench, mask_figures, outcome, way_figures
from runner.errors import RunFailed
from runner.models.child import ask

GOOD = json.dumps(
    {"title": "VACUUM", "kind": "command", "audience": "user", "has_example": True, "names": ["a", "b"], "summary": "x"}
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    folder.mkdir()
    ask("convert", {"kind": "tiny", "target": str(folder)})
    return folder


def line(name: str, status: str, output: str, reason: str = "", tokens: int = 7) -> dict[str, Any]:
    return {
        "source": f"/x/{name}", "status": status, "output": output, "reason": reason, "parts": [{"tokens_out": tokens}],
    }  # fmt: skip


def test_answers_count_by_the_run_and_reasons_by_their_kind() -> None:
    lines = [
        line("a", "ok", GOOD),
        line("b", "failed", "no", "schema: not valid JSON: Expecting value: line 1", 3),
        line("c", "failed", "{}", "schema: at the whole answer: 'title' is a required property"),
        line("d", "failed", "{", "schema: the answer was cut after 8 tokens; raise job.max_tokens"),
        line("e", "failed", "[", "schema: not valid JSON: Expecting value: line 7"),
    ]
    found = outcome(lines, 2.0, 4.0)
    assert (found.valid, found.tokens) == (1, [7, 3, 7, 7, 7])
    assert dict(found.reasons) == {"not valid JSON": 2, "breaks the schema": 1, "the answer was cut": 1}


def test_an_answer_that_the_run_wrongly_calls_ok_ends_the_bench() -> None:
    with pytest.raises(RunFailed, match="called ok and does not fit the schema"):
        outcome([line("a", "ok", GOOD.replace("user", "nobody"))], 1.0, 1.0)


def test_figures_have_their_spread_and_say_how_many_answers_came_again() -> None:
    rounds = [Outcome({"a": "x", "b": last}, 2, [10, 20], {}, seconds, 6.0) for last, seconds in (("y", 60), ("z", 30))]
    figures = way_figures(rounds)
    assert (figures["least"], figures["docs_per_min"], figures["most"]) == (2.0, 3.0, 4.0)
    assert (figures["tokens_per_document"], figures["most_tokens"], figures["same"]) == (15, 20, 1)
    passes = [
        {"held_s": held, "free_s": 1.0, "held_cpu_s": 3.0, "free_cpu_s": 1.0} for held in (2.0, 1.5, 4.0)
    ]  # fmt: skip
    masks = mask_figures({"tokens": 1000, "forced": 3, "walked": 12, "passes": passes}, 8)
    assert masks["wall_us"] == {"median": 1000.0, "least": 500.0, "most": 3000.0}
    assert (masks["cpu_us"]["median"], masks["forced_share"]) == (2000.0, 0.25)


def bench(folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> StructuredBench:
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    texts, work = folder / "texts", folder / "work"
    texts.mkdir()
    work.mkdir()
    for number in range(3):
        (texts / f"{number}.txt").write_text(f"Page {number} of the book. " * 4, encoding="utf-8")
    few = ("model=path", f"model.path={model}", "batching.max_num_seqs=4", "cores.workers=1")
    return StructuredBench(Plan(texts, 2, 20, 400, 1300, 1, 2, 1, False, few), work)


@pytest.mark.timeout(900)
def test_random_weights_always_answer_with_valid_json_when_held_and_never_when_free(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = bench(tmp_path, model, monkeypatch).measure()
    held, free = (measured["ways"][way] for way in WAYS)
    assert (held["share"], held["documents"], free["share"]) == (1.0, 2, 0.0)
    assert 4 * measured["longest_answer"] < 1300  # no character has more bytes, no token has none: it must end
    assert held["most_tokens"] <= 4 * measured["longest_answer"] + 1
    assert measured["masks"]["wall_us"]["median"] > 0
    assert "no answer can fit" in measured["refused"]["no answer fits"]
    assert "has no end" in measured["refused"]["no end"]
    assert "not a JSON Schema" in measured["refused"]["no JSON Schema"]


def test_a_planted_schema_that_is_let_through_ends_the_bench(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structured, "PLANTED", {"sound after all": SCHEMA})
    with pytest.raises(RunFailed, match="let through"):
        bench(tmp_path, model, monkeypatch).measure()
