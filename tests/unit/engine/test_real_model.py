"""The embedded model on this machine's CPU: converted weights speak, and batching changes no token."""

import json

import jsonschema
import pytest
from tokenizers import Tokenizer

from runner.answer.grammar import grammar_of
from runner.engine.mlx_lm_adapter import MlxEngine
from runner.engine.protocol import Row
from runner.engine.turns import render_turn
from runner.models import ModelFolder, render_prompt
from tests.unit.engine.conftest import settings
from tests.unit.engine.test_mlx_engine import finish

pytestmark = [pytest.mark.model, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

DOCUMENTS = (
    "The capital of France is the city of",
    "Photosynthesis turns sunlight, water and carbon dioxide into sugar and oxygen. Plants do it in their leaves.",
    "Invoice 8812 from Acme Corp, 3 March 2021: 1,200 EUR for forty steel brackets, due in thirty days.",
)


def test_a_greedy_batch_equals_single_rows_and_the_text_makes_sense(embedded: ModelFolder) -> None:
    prompt = render_prompt(embedded, "Answer with one short sentence about the text.")
    tokenizer = Tokenizer.from_file(str(embedded.tokenizer_path))
    encoded = [tokenizer.encode(text, add_special_tokens=False).ids for text in DOCUMENTS]
    requests = [Row(key, [*prompt.prefix_ids, *ids, *prompt.suffix_ids], 12) for key, ids in enumerate(encoded)]
    engine = MlxEngine(embedded.path, settings(3))
    together = finish(engine, requests)
    for request in requests:
        assert finish(engine, [request])[request.key].token_ids == together[request.key].token_ids
    assert "Paris" in together[0].text


FACTS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["kind", "amount", "year", "names"],
    "properties": {
        "kind": {"enum": ["invoice", "science", "geography"]},
        "amount": {"type": ["integer", "null"], "minimum": 0, "maximum": 100_000},
        "year": {"type": ["integer", "null"], "minimum": 1900, "maximum": 2100},
        "names": {"type": "array", "maxItems": 2, "items": {"type": "string", "maxLength": 20}},
    },
}


def test_a_small_model_held_to_a_schema_answers_with_valid_json_alone_and_in_a_batch(embedded: ModelFolder) -> None:
    prompt = render_prompt(embedded, "Answer with JSON: kind, amount, year, names.")
    tokenizer = Tokenizer.from_file(str(embedded.tokenizer_path))
    encoded = [tokenizer.encode(text, add_special_tokens=False).ids for text in DOCUMENTS]
    requests = [Row(key, [*prompt.prefix_ids, *ids, *prompt.suffix_ids], 80) for key, ids in enumerate(encoded)]
    engine = MlxEngine(embedded.path, settings(3, grammar=grammar_of(FACTS)))
    together = finish(engine, requests)
    for request in requests:
        row = together[request.key]
        jsonschema.validate(json.loads(row.text), FACTS)
        assert row.finish_reason == "stop"
        assert tokenizer.decode(list(row.token_ids)) == row.text
        assert finish(engine, [request])[request.key].token_ids == row.token_ids
    assert json.loads(together[2].text)["kind"] == "invoice"


def test_the_converted_tokenizer_gives_text_back_unchanged(embedded: ModelFolder) -> None:
    tokenizer = Tokenizer.from_file(str(embedded.tokenizer_path))
    for text in ("Zürich 1234 naïve 漢字 🙂\n\ttab", "x" * 300, "1.5e-3 == 0.0015", ""):
        assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids, skip_special_tokens=False) == text


BEGUN = '[{"question": "'


def test_a_begun_answer_is_cut_into_tokens_as_in_a_whole_text(embedded: ModelFolder) -> None:
    tokenizer = Tokenizer.from_file(str(embedded.tokenizer_path))
    _, plain = render_turn(embedded.path, "Be brief.", False)
    _, begun = render_turn(embedded.path, "Be brief.", False, BEGUN)
    header = tokenizer.decode(plain, skip_special_tokens=False)
    assert tokenizer.decode(begun, skip_special_tokens=False) == header + BEGUN
    # The tokens in front of the seam are those of the whole answer, which is what a model has seen in training.
    for question in ("What is a hash index?", "git stage", "Zürich"):
        whole = tokenizer.encode(header + BEGUN + question, add_special_tokens=False).ids
        assert whole[: len(begun)] == begun
    # A space at the end is why job.answer_prefix may not have one: the whole text joins it to the next word.
    spaced = tokenizer.encode(header + "The ", add_special_tokens=False).ids
    assert tokenizer.encode(header + "The index", add_special_tokens=False).ids[: len(spaced)] != spaced
