"""Conversions: GGUF names and row order, other precisions of the same model, and exact sizes from a config alone."""

import json
from pathlib import Path

import mlx.core as mx
import pytest

from runner.engine.describe import UnknownArchitectureError, describe
from runner.engine.folder_writer import ConversionError
from runner.engine.gguf import Metadata, build_tokenizer, rename, unpermute
from runner.engine.mlx_lm_adapter import MlxEngine
from runner.engine.precision import convert_precision
from runner.engine.protocol import Row
from runner.engine.tiny import make_tiny
from runner.engine.turns import render_turn
from runner.models.folder import inspect
from tests.unit.engine.conftest import settings
from tests.unit.engine.test_mlx_engine import finish


@pytest.mark.parametrize(
    ("gguf", "ours"),
    [
        ("blk.3.attn_q.weight", "model.layers.3.self_attn.q_proj.weight"),
        ("blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj.weight"),
        ("blk.12.ffn_norm.weight", "model.layers.12.post_attention_layernorm.weight"),
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("output_norm.weight", "model.norm.weight"),
        ("output.weight", "lm_head.weight"),
    ],
)
def test_tensor_names_become_those_of_mlx_lm(gguf: str, ours: str) -> None:
    assert rename(gguf) == ours


def test_rows_that_llama_cpp_interleaves_come_back_in_order() -> None:
    heads, half, width = 3, 4, 5
    original = mx.arange(heads * 2 * half * width).reshape(heads * 2 * half, width)
    interleaved = original.reshape(heads, 2, half, width).swapaxes(1, 2).reshape(heads * 2 * half, width)
    assert mx.array_equal(unpermute(interleaved, heads), original)


def test_an_unknown_tokenizer_is_refused_by_name() -> None:
    with pytest.raises(ConversionError, match="llama-bpe"):
        build_tokenizer(Metadata({"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "llama-bpe"}))
    with pytest.raises(ConversionError, match=r"tokenizer\.ggml\.model"):
        build_tokenizer(Metadata({}))


def test_the_tiny_model_is_the_same_at_every_call(tiny_path: Path, tmp_path: Path) -> None:
    make_tiny(tmp_path)
    for name in ("model.safetensors", "tokenizer.json", "config.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (tiny_path / name).read_bytes()


@pytest.mark.parametrize("precision", ["bf16", "q8", "q4"])
def test_another_precision_is_a_folder_that_loads_and_is_smaller(
    tiny_path: Path, tmp_path: Path, precision: str
) -> None:
    target = tmp_path / "made"
    target.mkdir()
    convert_precision(tiny_path, target, precision)
    before, after = inspect(tiny_path, "tiny", tmp_path), inspect(target, "tiny", tmp_path)
    assert after.parameters == before.parameters
    assert after.memory_bytes["as_is"] < before.memory_bytes["as_is"]
    assert after.weights_hash != before.weights_hash
    assert after.tokenizer_hash == before.tokenizer_hash
    assert len(finish(MlxEngine(target, settings(1)), [Row(1, [5, 6, 7], 3)])[1].token_ids) <= 3


def test_quantizing_twice_is_refused_and_going_back_to_fp32_works(tiny_path: Path, tmp_path: Path) -> None:
    for name in ("q8", "again", "fp32"):
        (tmp_path / name).mkdir()
    convert_precision(tiny_path, tmp_path / "q8", "q8")
    with pytest.raises(ConversionError, match="already quantized"):
        convert_precision(tmp_path / "q8", tmp_path / "again", "q4")
    convert_precision(tmp_path / "q8", tmp_path / "fp32", "fp32")
    assert "quantization" not in json.loads((tmp_path / "fp32" / "config.json").read_text())
    assert inspect(tmp_path / "fp32", "tiny", tmp_path).memory_bytes["fp32"] > 0


def test_sizes_from_the_config_alone_are_those_of_the_real_folder(tiny_path: Path, tmp_path: Path) -> None:
    config = json.loads((tiny_path / "config.json").read_text())
    sizes = describe(config)
    facts = inspect(tiny_path, "tiny", tmp_path)
    assert sizes["parameters"] == facts.parameters
    assert sizes["memory_bytes"]["fp32"] == facts.memory_bytes["fp32"]
    with pytest.raises(UnknownArchitectureError):
        describe({**config, "model_type": "no_such_model"})


def test_a_turn_is_rendered_around_the_document_and_a_system_prompt_comes_first(
    tiny_path: Path, tiny: MlxEngine
) -> None:
    prefix, suffix = render_turn(tiny_path, "Be brief.", False)
    decode = tiny._tokenizer.decode
    assert decode(prefix) == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n"
    assert decode(suffix) == "<|im_end|>\n<|im_start|>assistant\n"
    assert decode(render_turn(tiny_path, None, False)[0]) == "<|im_start|>user\n"


def test_a_template_that_repeats_the_document_is_refused(tiny_path: Path, tmp_path: Path) -> None:
    make_tiny(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["chat_template"] = "{{ messages[-1]['content'] }}{{ messages[-1]['content'] }}"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="2 times"):
        render_turn(tmp_path, None, False)
