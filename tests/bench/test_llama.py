"""llama.cpp as a peer: its rows are batched right, its setting is the fastest of the trials, its weights are ours."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.bench.heat import Heat
from runner.bench.llama import Llama, Setting, child, settings_to_try
from runner.errors import UsageError


def next_token(sequence: list[int]) -> int:
    """Depends on every token and its place: a wrong or missing cell gives another answer."""
    return sum((at + 1) * token for at, token in enumerate(sequence)) % 97


class FakeLlama(types.ModuleType):
    """llama.cpp's calls over a model that only adds; asserts what the real one would crash on."""

    def __init__(self, shared_copy: bool = True) -> None:
        super().__init__("llama_cpp")
        self.cells: dict[int, dict[int, int]] = {}
        self.shared_copy = shared_copy
        self.logits: dict[int, int] = {}
        self.size = 0
        for name in ("llama_backend_init", "llama_log_set", "llama_sampler_init_greedy", "llama_model_default_params"):
            setattr(self, name, lambda *_: None)
        self.llama_log_callback = lambda function: function
        self.llama_model_load_from_file = lambda *_: "model"
        self.llama_context_default_params = types.SimpleNamespace
        self.llama_get_memory = lambda _: "memory"

    def llama_init_from_model(self, _: Any, params: Any) -> str:
        self.params = params
        return "context"

    def llama_batch_init(self, tokens: int, _: int, __: int) -> Any:
        self.size = tokens
        lists = {name: [0] * tokens for name in ("token", "pos", "n_seq_id", "logits")}
        return types.SimpleNamespace(n_tokens=0, seq_id=[[0] for _ in range(tokens)], **lists)

    def llama_decode(self, _: Any, batch: Any) -> int:
        assert 0 < batch.n_tokens <= self.size
        self.logits = {}
        for place in range(batch.n_tokens):
            cells = self.cells.setdefault(batch.seq_id[place][0], {})
            assert batch.pos[place] == len(cells), "positions follow one another"
            cells[batch.pos[place]] = batch.token[place]
            if batch.logits[place]:
                self.logits[place] = next_token([cells[at] for at in range(len(cells))])
        assert len({id(cells) for cells in self.cells.values()}) <= self.params.n_seq_max
        return 0

    def llama_sampler_sample(self, _: Any, __: Any, place: int) -> int:
        return self.logits[place]

    def llama_memory_seq_cp(self, _: Any, source: int, target: int, __: int, ___: int) -> None:
        assert not self.cells.get(target), "a seat is empty when it is taken"
        self.cells[target] = dict(self.cells.get(source, {})) if self.shared_copy else {}

    def llama_memory_seq_rm(self, _: Any, seat: int, __: int, ___: int) -> None:
        del self.cells[seat]


def generated(prompts: list[list[int]], rows: int, max_tokens: int, fake: FakeLlama) -> list[list[int]]:
    spec = {"max_tokens": max_tokens, "max_num_seqs": rows, "threads": 1, "model": "x.gguf"}
    engine = child._Engine(spec, prompts)
    return engine.work()


@pytest.fixture
def llama() -> Iterator[FakeLlama]:
    fake = FakeLlama()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "llama_cpp", fake)
        yield fake


def one_by_one(prompt: list[int], max_tokens: int) -> list[int]:
    sequence = list(prompt)
    for _ in range(max_tokens):
        sequence.append(next_token(sequence))
    return sequence[len(prompt) :]


prompt_lists = st.lists(st.lists(st.integers(0, 96), min_size=1, max_size=700), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(prompt_lists, st.lists(st.integers(0, 96), max_size=30), st.integers(1, 5), st.integers(1, 6))
def test_rows_in_parallel_on_a_shared_prefix_generate_what_each_alone_would(
    tails: list[list[int]], prefix: list[int], rows: int, max_tokens: int
) -> None:
    prompts = [prefix + tail for tail in tails]
    fake = FakeLlama()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "llama_cpp", fake)
        outputs = generated(prompts, rows, max_tokens, fake)
    assert outputs == [one_by_one(prompt, max_tokens) for prompt in prompts]


def test_planted_a_prefix_that_is_not_copied_is_seen(llama: FakeLlama) -> None:
    llama.shared_copy = False
    with pytest.raises(AssertionError, match="positions follow"):
        generated([[1, 2, 3, 4], [1, 2, 3, 5]], 2, 3, llama)


def test_the_setting_with_the_most_documents_a_second_is_taken() -> None:
    fastest = Setting(2, 1, 16)

    def heat(setting: Setting) -> Heat:
        return Heat(8, 4.0 if setting == fastest else 5.0, 1.0, 1, 1, 0.0, 0.0, 1, {})

    assert Llama.best(object.__new__(Llama), "F32", 2, heat) == fastest
    assert len(settings_to_try(2)) == 6
    assert len(settings_to_try(1)) == 3


def test_a_model_without_a_gguf_of_the_same_weights_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="qwen3-8b has none here"):
        Llama("python", "qwen3-8b", tmp_path, tmp_path)
