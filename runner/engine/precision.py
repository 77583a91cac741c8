"""The same model at another precision, as a new folder. Called by the worker verb `convert`.

fp32 is what a Linux CPU computes fast (one matrix product with BLAS; 16-bit and 4-bit products have none there); q8 and
q4 are for Metal. Does not fetch.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlx.core as mx
import mlx.utils
from mlx_lm.utils import dequantize_model, load, quantize_model

from runner.engine.folder_writer import ConversionError, write_folder

_DTYPES = {"fp32": mx.float32, "bf16": mx.bfloat16}
_NAMES = {"fp32": "float32", "bf16": "bfloat16"}
_BITS = {"q8": 8, "q4": 4}
_GROUP = 64


def convert_precision(source: Path, target: Path, precision: str) -> None:
    """Writes the folder `target` (must exist and be empty). Raises ConversionError."""
    loaded = load(str(source), lazy=True, return_config=True)
    model, _, config = loaded
    if "quantization" in config:
        if precision in _BITS:
            raise ConversionError(
                f"{source.name} is already quantized; quantizing it again to {precision} would lose quality twice",
                "choose model.precision=as_is, or start from the bf16 model",
            )
        model = dequantize_model(model)
        config.pop("quantization")
        config.pop("quantization_config", None)
    if precision in _BITS:
        model, config = quantize_model(model, config, group_size=_GROUP, bits=_BITS[precision])
    else:
        model.set_dtype(_DTYPES[precision])
        config["torch_dtype"] = config["dtype"] = _NAMES[precision]
    weights = dict(mlx.utils.tree_flatten(model.parameters()))
    tokenizer_config = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    for extra in ("chat_template.jinja", "generation_config.json", "special_tokens_map.json"):
        if (source / extra).is_file():
            shutil.copyfile(source / extra, target / extra)
    write_folder(target, weights, config, (source / "tokenizer.json").read_text(encoding="utf-8"), tokenizer_config)
