"""One mask for all rows: it equals the mask of each row alone, and whatever the logits are, what comes out is valid."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as given_settings
from hypothesis import strategies as st
from mlx_lm.sample_utils import greedy_sampler, make_sampler
from mlx_lm.tokenizer_utils import load as load_tokenizer

from runner.answer.grammar import grammar_of
from runner.engine.constrain import Grammar, MaskingSampler, RowFault
from runner.engine.mlx_lm_adapter import MlxEngine
from runner.engine.protocol import EngineError, FinishedRow, Row
from runner.structured import OutputSchema
from tests.unit.answer.schemas import BOUNDED
from tests.unit.engine.conftest import settings
from tests.unit.engine.test_mlx_engine import finish, rows

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["title", "kind", "year", "tags"],
    "properties": {
        "title": {"type": "string", "maxLength": 20},
        "kind": {"enum": ["invoice", "letter", "other"]},
        "year": {"type": "integer", "minimum": 1900, "maximum": 2100},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 6}, "maxItems": 3},
    },
}
LIST = {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "string", "minLength": 1, "maxLength": 9}}
EOS = 2
VOCABULARY = 259


@pytest.fixture(scope="session")
def tokenizer(tiny_path: Path) -> Any:
    return load_tokenizer(tiny_path)._tokenizer


def made(tokenizer: Any, schema: dict[str, Any], begun: str = "") -> Grammar:
    return Grammar(tokenizer, VOCABULARY, [EOS], grammar_of(schema), begun)


def written(sampler: MaskingSampler, count: int, seed: int, most: int) -> list[list[int]]:
    """What `count` rows write when the model's logits are noise; rows that end stay in the batch and are cut off."""
    noise = np.random.default_rng(seed)
    texts: list[list[int]] = [[] for _ in range(count)]
    ended: set[int] = set()
    previous: mx.array | None = None
    for _ in range(most):
        sampler.expect(list(range(count)), previous)
        previous = sampler(mx.array(noise.normal(size=(count, VOCABULARY)).astype(np.float32) * 9))
        for row, token in enumerate(previous.tolist()):
            if token == EOS:
                ended.add(row)
                sampler.forget([row])
            elif row not in ended:
                texts[row].append(token)
        if len(ended) == count:
            break
    return texts


@given_settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schemas=st.lists(BOUNDED, min_size=1, max_size=4), seed=st.integers(0, 2**32))
def test_noise_under_any_bounded_schema_ends_and_is_valid(
    tokenizer: Any, schemas: list[dict[str, Any]], seed: int
) -> None:
    sampler = MaskingSampler(greedy_sampler, 1)
    grammars = [made(tokenizer, schema) for schema in schemas]
    for row, grammar in enumerate(grammars):
        sampler.constrain(row, grammar.matcher())
    texts = written(sampler, len(schemas), seed, 3000)
    for schema, grammar, ids in zip(schemas, grammars, texts, strict=True):
        problem = OutputSchema(json.dumps(schema)).check(grammar.text(ids)).problem
        assert problem == "" or "is not a 'date'" in problem, "29 February is what a grammar cannot know"


@pytest.mark.parametrize("threads", [1, 2])
def test_the_mask_of_a_batch_is_the_mask_of_each_row_and_free_rows_stay_free(tokenizer: Any, threads: int) -> None:
    noise = np.random.default_rng(3)
    grammars = {0: made(tokenizer, SCHEMA), 2: made(tokenizer, LIST), 3: made(tokenizer, SCHEMA)}
    alone = {row: grammar.matcher() for row, grammar in grammars.items()}
    sampler = MaskingSampler(greedy_sampler, threads)
    for row, grammar in grammars.items():
        sampler.constrain(row + 70, grammar.matcher())
    previous: mx.array | None = None
    for _ in range(40):
        logits = noise.normal(size=(4, VOCABULARY)).astype(np.float32)
        logits[:, EOS] -= 9
        expected = []
        for row in range(4):
            if row in alone:
                if previous is not None:
                    assert alone[row].consume_token(previous[row].item())
                bits = np.frombuffer(alone[row].compute_bitmask(), np.uint8)
                allowed = np.unpackbits(bits, count=VOCABULARY, bitorder="little").astype(bool)
                expected.append(int(np.where(allowed, logits[row], -np.inf).argmax()))
            else:
                expected.append(int(logits[row].argmax()))
        sampler.expect([70, 71, 72, 73], previous)
        previous = sampler(mx.array(logits))
        assert previous.tolist() == expected


def test_sampled_rows_stay_inside_the_grammar_too(tokenizer: Any) -> None:
    mx.random.seed(5)
    sampler = MaskingSampler(make_sampler(temp=1.5, top_p=0.9, min_p=0.01, top_k=50), 1)
    grammar = made(tokenizer, SCHEMA)
    for row in range(8):
        sampler.constrain(row, grammar.matcher())
    for ids in written(sampler, 8, 1, 400):
        jsonschema.validate(json.loads(grammar.text(ids)), SCHEMA)


def test_a_begun_answer_is_read_before_the_first_token(tokenizer: Any) -> None:
    begun = '{"title": "The Ü'
    grammar = made(tokenizer, SCHEMA, begun)
    sampler = MaskingSampler(greedy_sampler, 1)
    sampler.constrain(0, grammar.matcher())
    (ids,) = written(sampler, 1, 8, 400)
    value = json.loads(begun + grammar.text(ids))
    jsonschema.validate(value, SCHEMA)
    assert value["title"].startswith("The Ü")


def test_a_begun_answer_that_does_not_fit_and_a_grammar_that_is_none_are_refused(tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="doesn't satisfy the grammar"):
        made(tokenizer, SCHEMA, '{"name": ')
    with pytest.raises(ValueError, match="grammar: "):
        Grammar(tokenizer, VOCABULARY, [EOS], "start: {", "")


def test_a_token_that_breaks_a_grammar_names_its_row(tokenizer: Any) -> None:
    sampler = MaskingSampler(greedy_sampler, 1)
    grammar = made(tokenizer, LIST)
    for uid in (4, 5):
        sampler.constrain(uid, grammar.matcher())
    sampler.expect([4, 5], mx.array([grammar.matcher().compute_ff_tokens()[0], 200]))
    with pytest.raises(RowFault, match="grammar: ") as caught:
        sampler(mx.zeros((2, VOCABULARY)))
    assert caught.value.uid == 5


def test_rows_that_nobody_announced_are_a_mistake(tokenizer: Any) -> None:
    sampler = MaskingSampler(greedy_sampler, 1)
    sampler.expect([1], None)
    with pytest.raises(AssertionError, match="1 rows were announced, 2 are sampled"):
        sampler(mx.zeros((2, VOCABULARY)))


# ---- in mlx-lm's generator ----


def engine(path: Path, count: int, schema: dict[str, Any] = SCHEMA, begun: str = "") -> MlxEngine:
    return MlxEngine(path, settings(count, grammar=grammar_of(schema), answer_prefix=begun))


def requests(seed: int, count: int, prefix: list[int]) -> list[Row]:
    return [Row(row.key, row.token_ids, 150) for row in rows(seed, count, prefix)]


@pytest.mark.parametrize("prefix_length", [0, 40])
def test_a_masked_batch_equals_single_rows_token_for_token(tiny_path: Path, prefix_length: int) -> None:
    wanted = requests(24, 7, list(range(3, 3 + prefix_length)))
    together = finish(engine(tiny_path, 4), wanted)
    alone = engine(tiny_path, 1)
    for row in wanted:
        single = finish(alone, [row])[row.key]
        assert single.token_ids == together[row.key].token_ids
        assert single.finish_reason == "stop"
        jsonschema.validate(json.loads(single.text), SCHEMA)
    assert len({row.token_ids for row in together.values()}) > 1, "rows that all write the same would prove nothing"


def test_rows_that_join_later_and_rows_that_are_removed_keep_their_own_grammars(tiny_path: Path) -> None:
    wanted = requests(5, 8, [])
    expected = finish(engine(tiny_path, 1), wanted)
    batch = engine(tiny_path, 3)
    finished: dict[int, FinishedRow] = {}
    chance = random.Random(2)
    for row in wanted:
        batch.insert([row])
        for _ in range(chance.randrange(1, 9)):
            finished.update((done.key, done) for done in batch.step())
        if row.key == 3 and 3 not in finished:
            batch.remove([3])
    while batch.active:
        finished.update((done.key, done) for done in batch.step())
    assert len(finished) >= 7
    assert {key: done.token_ids for key, done in finished.items()} == {key: expected[key].token_ids for key in finished}
    assert batch._sampler._matchers == {}, "a row that is gone leaves nothing behind"


def test_rows_of_one_batch_may_have_different_grammars_or_none(tiny_path: Path, tokenizer: Any) -> None:
    batch = engine(tiny_path, 6)
    wanted = requests(9, 6, [])
    batch.insert(wanted)
    other = made(tokenizer, LIST)
    for key, uid in batch._uids.items():
        if key % 3 == 1:
            batch._sampler.constrain(uid, other.matcher())
        elif key % 3 == 2:
            batch._sampler.forget([uid])
    finished = {row.key: row for row in _all(batch)}
    for key, row in finished.items():
        if key % 3 < 2:
            jsonschema.validate(json.loads(row.text), (SCHEMA, LIST)[key % 3])
    free = finish(MlxEngine(tiny_path, settings(1)), [row for row in wanted if row.key % 3 == 2])
    assert all(finished[key].token_ids == row.token_ids for key, row in free.items())


def _all(batch: MlxEngine) -> Iterator[FinishedRow]:
    while batch.active:
        yield from batch.step()


def test_a_broken_matcher_blames_its_row_and_the_engine_goes_on_after_rebuild(tiny_path: Path) -> None:
    batch = engine(tiny_path, 4)
    wanted = requests(4, 3, [])
    batch.insert(wanted)
    for _ in range(3):
        batch.step()
    batch._sampler._matchers[batch._uids[1]].consume_token(7)
    with pytest.raises(EngineError, match="grammar: ") as caught:
        batch.step()
    assert caught.value.guilty == 1
    batch.rebuild()
    assert batch.active == 0
    again = finish(batch, wanted)
    assert {key: row.token_ids for key, row in again.items()} == {
        key: row.token_ids for key, row in finish(engine(tiny_path, 1), wanted).items()
    }
