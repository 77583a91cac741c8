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
    """Keys and values of one token over all layers, in the dtype the model runs in. 0 = unknown architecture.

    Quantized models compute, and cache, in 16 bits.
    """
    heads = config.get("num_attention_heads")
    layers = config.get("num_hidden_layers")
    if not isinstance(heads, int) or not isinstance(layers, int) or heads <= 0:
        return 0
    kv_heads = int(config.get("num_key_value_heads") or heads)
    head_dim = int(config.get("head_dim") or config.get("hidden_size", 0) // heads)
    width = (
        4 if str(config.get("torch_dtype") or config.get("dtype")) == "float32" and "quantization" not in config else 2
    )
    return 2 * layers * kv_heads * head_dim * width
