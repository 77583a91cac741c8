"""GGUF to a normal mlx-lm folder: config, fp32 safetensors, tokenizer and chat template. Called by the worker verb
`convert`.

It does NOT run the model, download anything or keep 4-bit weights: on a CPU fp32 is the only precision with a fast
matrix product, and mlx dequantises K-quants to fp16 by itself. Only the `llama` architecture with a byte-level BPE
tokenizer is accepted; anything else is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from runner.engine.folder_writer import ConversionError, write_folder

# Order matters: attn_output and output_norm before the bare "output.".
_NAMES = (
    ("blk.", "model.layers."),
    ("ffn_gate.", "mlp.gate_proj."),
    ("ffn_down.", "mlp.down_proj."),
    ("ffn_up.", "mlp.up_proj."),
    ("attn_q.", "self_attn.q_proj."),
    ("attn_k.", "self_attn.k_proj."),
    ("attn_v.", "self_attn.v_proj."),
    ("attn_output.", "self_attn.o_proj."),
    ("attn_norm.", "input_layernorm."),
    ("ffn_norm.", "post_attention_layernorm."),
    ("token_embd.", "model.embed_tokens."),
    ("output_norm.", "model.norm."),
)
_GROUP = 32
"""GGUF's block of weights that share one scale (Q4_0, Q4_1, Q8_0)."""

_SPECIAL = 3
"""`tokenizer.ggml.token_type` of a control token."""


class Metadata:
    """Typed access to GGUF metadata; mlx returns scalars as arrays of one."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._raw = raw

    def get(self, key: str, default: Any = None) -> Any:
        """The value, or `default` when the file has none."""
        value = self._raw.get(key, default)
        return value.item() if isinstance(value, mx.array) and value.size == 1 else value

    def need(self, key: str) -> Any:
        """The value; ConversionError when the file has none."""
        value = self.get(key)
        if value is None:
            raise ConversionError(f"the GGUF file has no {key}", "use a GGUF file written by llama.cpp's converter")
        return value


def convert_gguf(source: Path, target: Path) -> None:
    """Writes the folder `target` (must exist and be empty) from `source`. Raises ConversionError."""
    loaded = mx.load(str(source), return_metadata=True)
    assert isinstance(loaded, tuple)
    weights, raw = loaded
    meta = Metadata(raw)
    arch = meta.need("general.architecture")
    if arch != "llama":
        raise ConversionError(
            f"GGUF architecture {arch!r} is not supported, only 'llama'",
            "use the model's safetensors folder: model=hub model.repo=mlx-community/...",
        )
    heads, kv_heads = int(meta.need("llama.attention.head_count")), int(meta.need("llama.attention.head_count_kv"))
    converted = convert_weights(weights, heads, kv_heads)
    tokenizer, tokens = build_tokenizer(meta)
    config = build_config(meta, len(tokens), tied="lm_head.weight" not in converted)
    write_folder(
        target,
        converted,
        config,
        tokenizer_json=tokenizer.to_str(),
        tokenizer_config=tokenizer_config(meta, tokens, config),
    )


def rename(name: str) -> str:
    """A GGUF tensor name in mlx-lm's words."""
    for old, new in _NAMES:
        name = name.replace(old, new)
    return name.replace("output.", "lm_head.", 1) if name.startswith("output.") else name


def unpermute(weight: mx.array, heads: int) -> mx.array:
    """llama.cpp interleaves the rows of q and k for its RoPE; this undoes it. A row permutation: shape stays."""
    shape = weight.shape
    return weight.reshape(heads, shape[0] // heads // 2, 2, *shape[1:]).swapaxes(1, 2).reshape(shape)


def convert_weights(weights: Mapping[str, mx.array], heads: int, kv_heads: int) -> dict[str, mx.array]:
    """All tensors in fp32 under mlx-lm's names; packed matrices are dequantised with fp32 scales."""
    matrices: dict[str, dict[str, mx.array]] = {}
    for key, value in weights.items():
        base, leaf = key.rsplit(".", 1)
        matrices.setdefault(base, {})[leaf] = value
    converted: dict[str, mx.array] = {}
    for base, parts in matrices.items():
        if base.startswith("rope_freqs"):
            continue  # a table llama.cpp precomputes from rope_theta
        for leaf, value in _dequantise(parts).items():
            rotated = {"attn_q": heads, "attn_k": kv_heads}.get(base.rsplit(".", 1)[-1])
            ordered = value if rotated is None else unpermute(value, rotated)
            converted[rename(f"{base}.{leaf}")] = ordered.astype(mx.float32)
    return converted


def _dequantise(parts: dict[str, mx.array]) -> dict[str, mx.array]:
    if "scales" not in parts:
        return parts
    weight, scales = parts["weight"], parts["scales"].astype(mx.float32)
    bits = 32 * weight.shape[-1] // (scales.shape[-1] * _GROUP)
    biases = parts["biases"].astype(mx.float32)
    return {"weight": mx.dequantize(weight, scales, biases, group_size=_GROUP, bits=bits)}


def build_tokenizer(meta: Metadata) -> tuple[Tokenizer, list[str]]:
    """The byte-level BPE of the file and its vocabulary in id order."""
    kind, pre = meta.need("tokenizer.ggml.model"), meta.need("tokenizer.ggml.pre")
    if kind != "gpt2" or pre != "smollm":
        raise ConversionError(
            f"GGUF tokenizer {kind!r} with pre-tokenizer {pre!r} is not supported, only 'gpt2' with 'smollm'",
            "use the model's safetensors folder, which carries tokenizer.json",
        )
    tokens = [str(token) for token in meta.need("tokenizer.ggml.tokens")]
    merges = [(left, right) for left, _, right in (str(m).partition(" ") for m in meta.need("tokenizer.ggml.merges"))]
    vocab = {token: index for index, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = meta.need("tokenizer.ggml.token_type").tolist()
    special = [token for token, kind in zip(tokens, types, strict=True) if kind == _SPECIAL]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return tokenizer, tokens


def build_config(meta: Metadata, vocab_size: int, tied: bool) -> dict[str, Any]:
    """mlx-lm's config.json of a llama model."""
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": meta.need("llama.embedding_length"),
        "num_hidden_layers": meta.need("llama.block_count"),
        "intermediate_size": meta.need("llama.feed_forward_length"),
        "num_attention_heads": meta.need("llama.attention.head_count"),
        "num_key_value_heads": meta.need("llama.attention.head_count_kv"),
        # The file stores fp32; ten decimals give back the number its author wrote (1e-05).
        "rms_norm_eps": round(meta.need("llama.attention.layer_norm_rms_epsilon"), 10),
        "vocab_size": vocab_size,
        "max_position_embeddings": meta.need("llama.context_length"),
        "rope_theta": meta.get("llama.rope.freq_base", 10000.0),
        "rope_traditional": False,
        "tie_word_embeddings": tied,
        "bos_token_id": meta.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": meta.need("tokenizer.ggml.eos_token_id"),
        "torch_dtype": "float32",
    }


def tokenizer_config(meta: Metadata, tokens: list[str], config: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers needs beside tokenizer.json: special tokens and the chat template."""
    eos = config["eos_token_id"]
    bos = config["bos_token_id"]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None if bos is None else tokens[bos],
        "eos_token": tokens[eos],
        "pad_token": tokens[meta.get("tokenizer.ggml.padding_token_id", eos)],
        "unk_token": tokens[meta.get("tokenizer.ggml.unknown_token_id", 0)],
        "add_bos_token": bool(meta.get("tokenizer.ggml.add_bos_token", False)),
        "clean_up_tokenization_spaces": False,
        "model_max_length": config["max_position_embeddings"],
        "chat_template": meta.get("tokenizer.chat_template"),
    }
