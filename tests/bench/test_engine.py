"""The engine bench: the same documents every time, the same work for all, a heat starts when all are there."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.bench.documents import choose, spread
from runner.bench.engine import Entrant, _figure, _ratios
from runner.bench.heat import Heat, run_heat
from runner.errors import UsageError
from runner.models import EMBEDDED, cache_dir, resolve
from runner.models.child import ask


@given(st.lists(st.integers(1, 500), max_size=60), st.integers(1, 5))
def test_shares_hold_every_document_once_and_differ_by_one_document_at_most(lengths: list[int], seats: int) -> None:
    shares = spread(lengths, seats)
    assert sorted(index for share in shares for index in share) == list(range(len(lengths)))
    loads = [sum(lengths[index] for index in share) for share in shares]
    assert max(loads) - min(loads) <= max(lengths, default=0)


@pytest.fixture(scope="module")
def tokenizer() -> Path:
    return resolve(EMBEDDED, cache_dir()).tokenizer_path


def corpus(folder: Path, count: int) -> Path:
    for number in range(count):
        (folder / f"{number}.txt").write_text(f"Page {number} of the book. " * 8, encoding="utf-8")
    (folder / "copy.txt").write_text("Page 0 of the book. " * 8, encoding="utf-8")
    (folder / "long.txt").write_text("word " * 2000, encoding="utf-8")
    return folder


@pytest.mark.model
def test_one_seed_gives_the_same_documents_without_copies_and_without_those_that_are_too_long(
    tmp_path: Path, tokenizer: Path
) -> None:
    first = choose(corpus(tmp_path, 5), tokenizer, 5, 20, 100, 7)
    assert first == choose(tmp_path, tokenizer, 5, 20, 100, 7)
    assert len({one.text for one in first}) == 5
    assert all(20 <= len(one.token_ids) <= 100 for one in first)


@pytest.mark.model
def test_a_corpus_that_is_too_small_is_refused_with_what_was_found(tmp_path: Path, tokenizer: Path) -> None:
    with pytest.raises(UsageError, match="has 5 text files of 20 to 100 tokens"):
        choose(corpus(tmp_path, 5), tokenizer, 6, 20, 100, 7)


def specs(folder: Path, model: Path, way: str, shares: list[list[int]]) -> list[dict[str, object]]:
    prompts = folder / "prompts.json"
    prompts.write_text(json.dumps([[5 + n, 9, 11, 7 + n, 3] * (4 + n) for n in range(4)]), encoding="ascii")
    settings = {
        "max_num_seqs": 2, "prefill_batch_size": 2, "prefill_step_size": 64, "max_model_len": 256, "temperature": 0.0,
        "top_p": 1.0, "top_k": 0, "min_p": 0.0, "seed": 0, "ignore_eos": True,
        "thinking_tokens": 0, "share_prefix": True,
        "cache_limit_bytes": 1 << 25, "memory_limit_bytes": 0, "wired": "off",
        "grammar": None, "answer_prefix": "", "threads": 1,
    }  # fmt: skip
    return [
        {
            "way": way, "model": str(model), "prompts": str(prompts), "documents": share, "max_tokens": 6,
            "settings": settings, "blas": "auto", "kernels": "auto", "threads": 1, "cpus": [],
        }
        for share in shares
    ]  # fmt: skip


def test_every_way_generates_the_same_number_of_the_same_tokens(tmp_path: Path) -> None:
    model = tmp_path / "tiny"
    model.mkdir()
    ask("convert", {"kind": "tiny", "target": str(model)})
    together = run_heat(specs(tmp_path, model, "runner", [[0, 2], [1, 3]]), str, tmp_path)
    stock = run_heat(specs(tmp_path, model, "stock", [[0, 1, 2, 3]]), str, tmp_path)
    assert together.documents == stock.documents == 4
    assert together.generated_tokens == stock.generated_tokens == 4 * 6
    assert together.outputs == stock.outputs
    assert min(together.seconds, together.cpu_s) > 0


def test_a_contestant_that_cannot_load_ends_the_heat_with_its_reason(tmp_path: Path) -> None:
    missing = specs(tmp_path, tmp_path / "nowhere", "runner", [[0], [1]])
    with pytest.raises(Exception, match="measure-engine"):
        run_heat(missing, str, tmp_path)


def heat(seconds: float, answer: str) -> Heat:
    return Heat(2, seconds, seconds, 10, 10, 0.0, 0.0, 1, {0: "same", 1: answer})


def test_figures_are_medians_with_their_spread_and_ratios_are_taken_round_by_round() -> None:
    def nothing() -> Heat:
        raise AssertionError

    run = Entrant("run", nothing, [heat(10, "same"), heat(20, "same"), heat(40, "same")])
    slow = Entrant("slow", nothing, [heat(20, "same"), heat(40, "same"), heat(80, "other")])
    figure = _figure(slow, {0: "same", 1: "same"})
    assert (figure.least, figure.docs_per_min, figure.most) == (1.5, 3.0, 6.0)
    assert figure.same_answers == 1
    assert _ratios([run, slow]) == {"slow": {"median": 2.0, "least": 2.0, "most": 2.0}}
