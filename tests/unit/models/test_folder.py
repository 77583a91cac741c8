"""Facts of a model folder: hashes follow content, sizes follow headers, and folders that could run code are refused."""

import json
import os
from pathlib import Path

import pytest

from runner.errors import UsageError
from runner.models.folder import inspect
from runner.models.sizes import kv_bytes_per_token, parameters, read_header
from tests.unit.models.conftest import CONFIG, write_safetensors


def test_facts_come_from_headers_and_config(model_folder: Path, cache: Path) -> None:
    facts = inspect(model_folder, "m", cache)
    assert facts.parameters == 72
    assert facts.memory_bytes["fp32"] == 288
    assert facts.memory_bytes["q4"] == int(72 * 4.5 / 8)
    assert facts.kv_bytes_per_token == 2 * 2 * 2 * 2 * 4
    assert facts.max_position_embeddings == 128


def test_hashes_change_with_weights_config_and_tokenizer_and_with_nothing_else(model_folder: Path, cache: Path) -> None:
    first = inspect(model_folder, "m", cache)
    os.utime(model_folder / "model.safetensors", (1, 1))
    (model_folder / "README.md").write_text("new")
    assert inspect(model_folder, "m", cache).weights_hash == first.weights_hash
    (model_folder / "config.json").write_text(json.dumps({**CONFIG, "rope_theta": 5}))
    second = inspect(model_folder, "m", cache)
    assert second.weights_hash != first.weights_hash
    assert second.tokenizer_hash == first.tokenizer_hash
    (model_folder / "tokenizer_config.json").write_text("{}")
    assert inspect(model_folder, "m", cache).tokenizer_hash != first.tokenizer_hash


def test_a_known_folder_is_not_hashed_again(model_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = inspect(model_folder, "m", cache)

    def never(_files: list[Path]) -> str:
        raise AssertionError("hashed again")

    monkeypatch.setattr("runner.models.folder.digest", never)
    assert inspect(model_folder, "m", cache) == first


def test_nothing_is_written_into_the_users_folder(model_folder: Path, cache: Path) -> None:
    before = sorted(path.name for path in model_folder.iterdir())
    inspect(model_folder, "m", cache)
    assert sorted(path.name for path in model_folder.iterdir()) == before


@pytest.mark.parametrize("name", ["modeling.py", "pytorch_model.bin", "extra.pkl", "kernel.so", "x.pt"])
def test_a_folder_with_code_or_pickles_is_refused_by_name(model_folder: Path, cache: Path, name: str) -> None:
    (model_folder / name).write_text("import os")
    with pytest.raises(UsageError, match=name) as caught:
        inspect(model_folder, "m", cache)
    assert caught.value.exit_code == 2
    assert caught.value.cure


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_without_a_needed_file_is_refused(model_folder: Path, cache: Path, missing: str) -> None:
    (model_folder / missing).unlink()
    with pytest.raises(UsageError, match=r"safetensors|json"):
        inspect(model_folder, "m", cache)


@pytest.mark.parametrize("key", ["auto_map", "model_file"])
def test_a_config_that_asks_for_its_own_code_is_refused(model_folder: Path, cache: Path, key: str) -> None:
    (model_folder / "config.json").write_text(json.dumps({**CONFIG, key: "modeling.py"}))
    with pytest.raises(UsageError, match="never run"):
        inspect(model_folder, "m", cache)


def test_packed_weights_count_what_they_hold(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    tensors = {"a.weight": ("U32", [8, 16], 512), "a.scales": ("F16", [8, 2], 32), "a.biases": ("F16", [8, 2], 32)}
    write_safetensors(file, {**tensors, "norm.weight": ("F16", [8], 16)})
    assert parameters([file], {"quantization": {"bits": 4, "group_size": 64}}) == 8 * 16 * 8 + 8


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x00" * 40])
def test_a_file_that_is_no_safetensors_is_a_plain_error(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="no safetensors"):
        read_header(file)


def test_kv_bytes_follow_the_published_sizes_of_qwen3() -> None:
    eight_b = {"num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 36, "head_dim": 128}
    assert kv_bytes_per_token({**eight_b, "torch_dtype": "bfloat16"}) == 147_456
    assert kv_bytes_per_token({"model_type": "mamba"}) == 0


def test_a_folder_that_was_not_fetched_whole_names_the_files(model_folder: Path, cache: Path) -> None:
    index = {"weight_map": {"a.weight": "model.safetensors", "b.weight": "model-00002-of-00002.safetensors"}}
    (model_folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UsageError, match="model-00002-of-00002"):
        inspect(model_folder, "m", cache)
