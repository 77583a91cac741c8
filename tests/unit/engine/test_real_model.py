"""The embedded model on this machine's CPU: converted weights speak, and batching changes no token."""

import pytest
from tokenizers import Tokenizer

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
