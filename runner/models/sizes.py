"""Bytes of weights and of KV cache, from headers and config alone: pure arithmetic, no weights are read.

The exact size of a model that is not on disk needs mlx-lm's own classes and is asked of the worker (`describe`).
Called by folder and by the `models` command.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

# mlx affine quantization with group size 64 keeps two 16-bit numbers a group: 0.5 bit a weight on top of the 8 or 4.
BYTES_PER_WEIGHT: Final[Mapping[str, float]] = {"fp32": 4.0, "bf16": 2.0, "q8": 8.5 / 8, "q4": 4.5 / 8}
_MAX_HEADER: Final = 100 << 20
"""The safetensors format's own bound."""


def parameters(files: Iterable[Path], config: Mapping[str, Any]) -> int:
    """Weights in these safetensors files. Packed matrices count what they hold: scales and biases are no weights."""
    total = 0
    for file in files:
        header = read_header(file)
        for name, entry in header.items():
            if name == "__metadata__" or name.endswith((".scales", ".biases")):
                continue
            base = name.removesuffix(".weight")
            packed = f"{base}.scales" in header
            total += math.prod(entry["shape"]) * 32 // _bits(base, config) if packed else math.prod(entry["shape"])
    return total


def _bits(name: str, config: Mapping[str, Any]) -> int:
    """Bits of one packed matrix: its own entry under `quantization`, else the model's."""
    quantization = config.get("quantization") or config.get("quantization_config") or {}
    own = quantization.get(name)
    bits = own.get("bits") if isinstance(own, dict) else quantization.get("bits")
    return int(bits or 8)


def read_header(file: Path) -> dict[str, Any]:
    """The JSON header of a safetensors file. Raises ValueError on a file that is none."""
    with file.open("rb") as stream:
        raw = stream.read(8)
        length = struct.unpack("<Q", raw)[0] if len(raw) == 8 else 0
        if not 2 <= length <= _MAX_HEADER:
            raise ValueError(f"{file} is no safetensors file (header length {length})")
        header = json.loads(stream.read(length))
    if not isinstance(header, dict):
        raise ValueError(f"{file} is no safetensors file (header is no object)")
    return header


def kv_bytes_per_token(config: Mapping[str, Any]) -> int:
    """Keys and values of one token over all layers, in the dtype the model runs in. 0 = unknown architecture."""
    layers = config.get("num_hidden_layers")
    if not isinstance(layers, int) or (heads := _heads(config)) is None:
        return 0
    _, kv_heads, head_dim = heads
    return 2 * layers * kv_heads * head_dim * _width(config)


def work_bytes(config: Mapping[str, Any], fused_attention: bool) -> tuple[int, int, int]:
    """What a step computes beside KV: bytes of a prompt token, of a pair of prompt token and key, of a row's logits.
    `fused_attention`: scores are never written down."""
    text = config.get("text_config")  # multimodal models keep the language part here
    config = {**config, **text} if isinstance(text, dict) else config
    width, heads, hidden = _width(config), _heads(config), int(config.get("hidden_size") or 0)
    experts = int(config.get("num_experts_per_tok") or 0)
    inner = int(config.get("moe_intermediate_size") or 0) * experts or int(
        config.get("intermediate_size") or 4 * hidden
    )
    queries, scored = (heads[0] * heads[2], heads[0]) if heads else (hidden, 1)
    token = width * (_HIDDEN_AT_ONCE * hidden + _INNER_AT_ONCE * inner + _INNER_AT_ONCE * queries)
    return token, 0 if fused_attention else 3 * 4 * scored, _LOGITS_AT_ONCE * 4 * int(config.get("vocab_size") or 0)


_HIDDEN_AT_ONCE: Final = 6
_INNER_AT_ONCE: Final = 4
"""Arrays of that width that are alive at one moment of a layer, generously: residual, norm, projections, products."""

_LOGITS_AT_ONCE: Final = 8
"""Logits, log-probabilities of this step and the one before, masked ones, and the sampler's own."""


def _heads(config: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """(heads of queries, heads of keys, width of one)."""
    heads = config.get("num_attention_heads")
    if not isinstance(heads, int) or heads <= 0:
        return None
    width = int(config.get("head_dim") or config.get("hidden_size", 0) // heads)
    return heads, int(config.get("num_key_value_heads") or heads), width


def _width(config: Mapping[str, Any]) -> int:
    """Bytes of a number that is computed with. Quantized models compute, and cache, in 16 bits."""
    named = str(config.get("torch_dtype") or config.get("dtype"))
    return 4 if named == "float32" and "quantization" not in config else 2
