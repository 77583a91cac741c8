"""Exact size of a model from its config.json alone: mlx-lm's own classes built lazily, nothing evaluated, no weights
read.

Does not download. Called by the worker verb `describe` for models that are not on disk, and by the `models` command.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.utils
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import _get_classes

_GROUP = 64


class UnknownArchitectureError(Exception):
    """mlx-lm has no class for this model_type."""


def describe(config: dict[str, Any]) -> dict[str, Any]:
    """Bytes of the weights at each precision and of one token's KV in 16 bits; `parameters` counts every weight."""
    try:
        model_class, args_class = _get_classes(config)
        model = model_class(args_class.from_dict(config))
    except (ValueError, TypeError, KeyError) as error:
        raise UnknownArchitectureError(str(error)) from error
    count = sum(array.size for _, array in mlx.utils.tree_flatten(model.parameters()))
    sizes = {"fp32": count * 4, "bf16": count * 2}
    for bits in (8, 4):
        quantized = model_class(args_class.from_dict(config))
        quantized.set_dtype(mx.bfloat16)
        nn.quantize(quantized, group_size=_GROUP, bits=bits)
        sizes[f"q{bits}"] = sum(array.nbytes for _, array in mlx.utils.tree_flatten(quantized.parameters()))
    return {
        "parameters": count,
        "memory_bytes": sizes,
        "layers_with_cache": len(make_prompt_cache(model)),
        "max_position_embeddings": config.get("max_position_embeddings"),
    }
