"""Thinking under a budget: closed in time, in no answer, in nobody's way. A tiny model of random weights with marks."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from tokenizers import Tokenizer

from runner.answer.grammar import grammar_of
from runner.config.worker_spec import THINKING_MARKS
from runner.engine.mlx_lm_adapter import MlxEngine
from runner.engine.protocol import Row
from runner.engine.thoughts import Marks, Thought
from runner.engine.tiny import make_tiny
from runner.engine.turns import render_turn
from runner.structured import OutputSchema
from tests.unit.engine.conftest import settings
from tests.unit.engine.test_mlx_engine import finish

THINK = {"<think>": 259, "</think>": 260}
TEXTS = ("Hello", "Zurich, 12 C", "def f(x):", "I'll see")
SHAPE = {"type": "object", "properties": {"kind": {"enum": ["letter", "invoice"]}}, "required": ["kind"],
         "additionalProperties": False}  # fmt: skip
MARKS = Marks(1, 2, (3, 4))


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("thinker")
    make_tiny(folder, vocab_size=261)
    file = folder / "tokenizer.json"
    known = json.loads(file.read_text())
    known["added_tokens"] += [
        {**known["added_tokens"][0], "id": number, "content": word, "special": False} for word, number in THINK.items()
    ]
    file.write_text(json.dumps(known))
    return folder


def tokenizer(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def steps(thought: Thought, *read: int | None) -> list[Any]:
    return [thought.advance(token) for token in read]


def test_a_thought_is_opened_runs_to_its_budget_and_is_closed_with_the_gap() -> None:
    thought = Thought(MARKS, 2, begun=False)
    assert steps(thought, None, 1, 50, 51, 2, 3, 4) == [1, "free", "free", 2, 3, 4, "over"]
    stubborn = Thought(MARKS, 2, begun=False)
    assert steps(stubborn, None, 1, 1, 1, 2, 3, 4)[3:] == [2, 3, 4, "over"], "a mark written again counts as a thought"


def test_a_thought_that_ends_by_itself_gets_its_gap_and_one_that_the_prompt_opened_no_second_mark() -> None:
    assert steps(Thought(MARKS, 9, begun=True), None, 50, 2, 3, 4) == ["free", "free", 3, 4, "over"]
    assert steps(Thought(Marks(1, 2, ()), 1, begun=True), None, 50, 2) == ["free", 2, "over"]


def test_a_prompt_says_whether_thoughts_are_open_closed_or_still_to_begin() -> None:
    assert MARKS.thought_of([9, 8, 2, 3, 4], 5) is None
    begun, fresh = MARKS.thought_of([9, 1], 5), MARKS.thought_of([9, 8], 5)
    assert begun is not None
    assert fresh is not None
    assert (begun.advance(None), fresh.advance(None)) == ("free", 1)
    assert MARKS.answer_begins([1, 50, 2, 3, 4, 60]) == 5
    assert MARKS.answer_begins([1, 50]) is None


BUDGET = 12
THINKS = BUDGET + THINKING_MARKS
"""What a thinking row has to write on top of its answer."""


def asked(folder: Path, answer: int, count: int = 3) -> list[Row]:
    before, behind = render_turn(folder, None, True)
    encoded = [tokenizer(folder).encode(text, add_special_tokens=False).ids for text in TEXTS[:count]]
    return [Row(key, [*before, *ids, *behind], answer + THINKS) for key, ids in enumerate(encoded)]


def test_thoughts_are_closed_at_their_budget_and_stand_in_no_answer(thinker: Path) -> None:
    engine = MlxEngine(thinker, settings(2, thinking_tokens=BUDGET))
    written: dict[int, list[int]] = {}
    end = engine._finish

    def noted(uid: int, *rest: Any) -> Any:
        written[engine._live[uid].row.key] = engine._live[uid].generated
        return end(uid, *rest)

    engine._finish = noted  # type: ignore[method-assign]
    done = finish(engine, asked(thinker, answer=7))
    gap = tokenizer(thinker).encode("\n\n", add_special_tokens=False).ids
    for key, row in done.items():
        thoughts = written[key][: len(written[key]) - len(row.token_ids)]
        assert thoughts[0] == THINK["<think>"]
        assert thoughts[-1 - len(gap) :] == [THINK["</think>"], *gap], "closed by force: random weights never would"
        assert len(thoughts) == 1 + BUDGET + 1 + len(gap)
        assert not set(engine.facts.eos_token_ids) & set(thoughts)
        assert not set(THINK.values()) & set(row.token_ids)
        assert len(row.token_ids) <= 7
        assert "think>" not in row.text
    pace = engine.pace
    assert pace.thinking_cut == 3
    assert pace.thinking_tokens == 3 * (2 + BUDGET + len(gap))


def test_the_grammar_of_an_answer_begins_behind_the_thoughts(thinker: Path) -> None:
    engine = MlxEngine(thinker, settings(2, thinking_tokens=BUDGET, grammar=grammar_of(SHAPE)))
    for row in finish(engine, asked(thinker, answer=100)).values():
        assert OutputSchema(json.dumps(SHAPE)).check(row.text).problem == ""
        assert row.finish_reason == "stop"
    free = MlxEngine(thinker, settings(1, grammar=grammar_of(SHAPE)))
    assert "{" in finish(free, asked(thinker, answer=100, count=1))[0].text[:1], "planted: no place to think"
    assert free.pace.thinking_tokens == 0


def test_thoughts_that_end_by_themselves_leave_the_answer_its_length(thinker: Path) -> None:
    engine = MlxEngine(thinker, settings(2, thinking_tokens=BUDGET, ignore_eos=True))
    pick, calls = engine._sampler._pick, []

    def closes_soon(logprobs: Any) -> Any:
        calls.append(1)
        return pick(logprobs) if len(calls) != 4 else mx.full(logprobs.shape[0], THINK["</think>"], mx.uint32)

    engine._sampler._pick = closes_soon
    (row,) = finish(engine, asked(thinker, answer=5, count=1)).values()
    assert (len(row.token_ids), row.finish_reason) == (5, "length")
    assert engine.pace.thinking_cut == 0
    assert engine.active == 0
    assert engine.pace.thinking_tokens < BUDGET


def test_thinking_rows_beside_each_other_write_what_each_writes_alone(thinker: Path) -> None:
    rows = asked(thinker, answer=6, count=4)
    together = finish(MlxEngine(thinker, settings(3, thinking_tokens=BUDGET)), rows)
    alone = MlxEngine(thinker, settings(1, thinking_tokens=BUDGET))
    for row in rows:
        assert finish(alone, [row])[row.key].token_ids == together[row.key].token_ids


def test_a_vocabulary_without_marks_cannot_think(tiny_path: Path) -> None:
    with pytest.raises(ValueError, match="no marks that begin and end thoughts"):
        render_turn(tiny_path, None, True)
