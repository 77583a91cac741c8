"""Qwen3 and Qwen3-MoE as they are loaded here: vocabulary, chat template, thinking off, batches, answers held to a
schema. Random weights, the real vocabulary."""

import json
from pathlib import Path
from typing import Any

import pytest
from mlx_lm.tokenizer_utils import load as load_tokenizer
from tokenizers import Tokenizer

from runner.answer.grammar import grammar_of
from runner.config.worker_spec import THINKING_MARKS
from runner.engine.mlx_lm_adapter import MlxEngine
from runner.engine.protocol import Row
from runner.engine.turns import render_turn
from runner.structured import OutputSchema
from tests.unit.engine.conftest import settings
from tests.unit.engine.qwen import KINDS, make_qwen, qwen_tokenizer
from tests.unit.engine.test_mlx_engine import finish

TURN = "<|im_end|>\n<|im_start|>assistant\n"
SYSTEM = (
    "You read one document after another, you answer each in one short sentence, and you invent nothing in it at all."
)
NO_THOUGHTS = "<think>\n\n</think>\n\n"
TEXTS = ("Hello world", "Zürich, 12 °C", "一個索引 и ещё", "def f(x):\n    return x**2\n", "🦀 I'll  see\t\r\n")

SHAPE = {
    "type": "object",
    "properties": {"kind": {"enum": ["letter", "invoice"]}, "name": {"type": "string", "maxLength": 9}},
    "required": ["kind", "name"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return qwen_tokenizer()


def made(kind: str, tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    folder = tmp_path_factory.mktemp(kind)
    make_qwen(folder, kind, tokenizer)
    return folder


@pytest.fixture(scope="module", params=sorted(KINDS))
def qwen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    return made(request.param, tmp_path_factory, tokenizer)


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Path:
    return made("qwen3", tmp_path_factory, tokenizer)


def test_the_vocabulary_is_qwens(tokenizer: Tokenizer) -> None:
    ids = lambda text: tokenizer.encode(text, add_special_tokens=False).ids  # noqa: E731
    assert ids("Hello world") == [9707, 1879]  # as the model cards show it
    assert ids("<|im_end|><think></think>") == [151_645, 151_667, 151_668]
    for text in TEXTS:
        assert tokenizer.decode(ids(text), skip_special_tokens=False) == text


def test_thinking_is_off_by_an_empty_thought_and_on_only_when_asked(dense: Path, tokenizer: Tokenizer) -> None:
    shown = lambda ids: tokenizer.decode(ids, skip_special_tokens=False)  # noqa: E731
    before, behind = render_turn(dense, "Be brief.", False)
    assert shown(before) == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n"
    assert shown(behind) == TURN + NO_THOUGHTS
    assert render_turn(dense, "Be brief.", True)[0] == before
    assert shown(render_turn(dense, "Be brief.", True)[1]) == TURN
    # Why it is always passed: left out, mlx-lm says True to a vocabulary with marks for thoughts.
    wrapped: Any = load_tokenizer(dense)
    assert wrapped.has_thinking
    asked = wrapped.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False, add_generation_prompt=True)
    assert NO_THOUGHTS not in asked


def test_both_ends_of_an_answer_are_known_and_a_batch_equals_single_rows(qwen: Path, tokenizer: Tokenizer) -> None:
    before, behind = render_turn(qwen, SYSTEM, False)
    rows = [
        Row(key, [*before, *tokenizer.encode(text, add_special_tokens=False).ids, *behind], 9)
        for key, text in enumerate(TEXTS)
    ]
    engine = MlxEngine(qwen, settings(4))
    assert {151_643, 151_645} <= set(engine.facts.eos_token_ids)
    assert engine.facts.vocab_size == 151_936
    together = finish(engine, rows)
    assert engine._prefix
    alone = MlxEngine(qwen, settings(1, share_prefix=False))
    for row in rows:
        assert finish(alone, [row])[row.key].token_ids == together[row.key].token_ids


def test_an_answer_of_random_weights_fits_the_schema_it_is_held_to(qwen: Path, tokenizer: Tokenizer) -> None:
    before, behind = render_turn(qwen, None, False)
    engine = MlxEngine(qwen, settings(2, grammar=grammar_of(SHAPE)))
    rows = [
        Row(key, [*before, *tokenizer.encode(text, add_special_tokens=False).ids, *behind], 100)
        for key, text in enumerate(TEXTS[:2])
    ]
    for row in finish(engine, rows).values():
        assert OutputSchema(json.dumps(SHAPE)).check(row.text).problem == ""


def test_the_answer_that_is_held_begins_behind_the_thoughts(dense: Path, tokenizer: Tokenizer) -> None:
    engine = MlxEngine(dense, settings(2, thinking_tokens=4, grammar=grammar_of(SHAPE)))
    before, behind = render_turn(dense, None, True)
    ids = tokenizer.encode("Zürich", add_special_tokens=False).ids
    (row,) = finish(engine, [Row(1, [*before, *ids, *behind], 100 + 4 + THINKING_MARKS)]).values()
    assert OutputSchema(json.dumps(SHAPE)).check(row.text).problem == ""
    assert engine.pace.thinking_tokens == 1 + 4 + 1 + 1, "<think>, four, </think>, an empty line"
    second = Row(2, engine.follow_up(Row(3, [9707], 3), [1879], "again", ""), 100 + 4 + THINKING_MARKS)
    finish(engine, [second])
    assert engine.pace.thinking_tokens == 7, "a second turn does not think again"


def test_a_second_turn_thinks_no_more_than_the_first(dense: Path, tokenizer: Tokenizer) -> None:
    engine = MlxEngine(dense, settings(1))
    ids = engine.follow_up(Row(1, [9707], 3), [1879], "again", "")
    assert (
        tokenizer.decode(ids[2:], skip_special_tokens=False)
        == f"<|im_end|>\n<|im_start|>user\nagain{TURN}{NO_THOUGHTS}"
    )
