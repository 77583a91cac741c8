"""Computes in a process of its own and saves: with our kernels ("auto") or with mlx's own ("off"). argv: choice, file,
and a JSON of {model, prompts, max_tokens} for a model's logits and answers instead of single operations.

Not a test. Started by test_kernels, since kernels are chosen before mlx is imported.
"""

import json
import sys
from typing import Any

import numpy as np

from runner.engine import blas, kernels

DRAW = np.random.default_rng(7)


def operations() -> dict[str, Any]:
    import mlx.core as mx
    from mlx import nn
    from mlx_lm.models.activations import swiglu

    def numbers(*shape: int) -> mx.array:
        return mx.array(DRAW.normal(size=shape).astype(np.float32))

    out: dict[str, mx.array] = {}
    x, y, weight = numbers(3, 7, 65), numbers(3, 7, 65), numbers(65)
    out["rms_norm"] = mx.fast.rms_norm(x, weight, 1e-5)
    out["rms_norm of a transposed array"] = mx.fast.rms_norm(x.transpose(1, 0, 2), weight, 1e-5)
    out["rms_norm of every other element"] = mx.fast.rms_norm(numbers(4, 130)[:, ::2], weight, 1e-5)
    out["rms_norm without weight"] = mx.fast.rms_norm(x, None, 1e-5)
    out["sigmoid"] = mx.sigmoid(x * 40)
    out["sigmoid in half precision"] = mx.sigmoid(x.astype(mx.float16)).astype(mx.float32)
    out["silu"] = nn.silu(x)
    out["swiglu"] = swiglu(x, y)
    out["swiglu of views"] = swiglu(x[:, ::2], y[:, 1::2]) if x[:, ::2].shape == y[:, 1::2].shape else swiglu(x.T, y.T)
    out["sigmoid times another"] = y * mx.sigmoid(x)
    out["silu times a row"] = nn.silu(x) * weight
    out["logsumexp"] = mx.logsumexp(x * 30, axis=-1, keepdims=True)
    out["logsumexp flat"] = mx.logsumexp(x, axis=2)
    out["logsumexp of another axis"] = mx.logsumexp(x, axis=1)
    q = numbers(2, 5, 9, 64).transpose(0, 2, 1, 3)
    for name, offset in (("a number", 3), ("one a row", mx.array([3, -2])), ("far", 900)):
        out[f"rope, offset {name}"] = mx.fast.rope(q, 64, traditional=False, base=1e5, scale=1.0, offset=offset)
    out["rope, traditional, part of the width"] = mx.fast.rope(q, 32, traditional=True, base=1e4, scale=0.5, offset=3)
    for length, keys in ((1, 41), (1, 300), (5, 5), (70, 70), (200, 333)):
        q = numbers(2, 9, length, 64)
        k, v = numbers(2, 3, 400, 64)[:, :, :keys], numbers(2, 3, 400, 64)[:, :, :keys]
        keep = mx.array(DRAW.random((2, 1, length, keys)) > 0.3)
        keep[1, :, 0] = False  # a query without any key, as a padded row has
        masks = {"none": None, "kept": keep, "added": mx.where(keep, 0.0, -3.0), "causal": "causal"}
        for name, mask in masks.items():
            found = mx.fast.scaled_dot_product_attention(q, k, v, scale=0.125, mask=mask)
            out[f"attention {length} x {keys}, {name}"] = found
    q, k = numbers(1, 4, 6, 48), numbers(1, 4, 6, 48)
    turned = mx.fast.scaled_dot_product_attention(q.swapaxes(2, 3), k.swapaxes(2, 3), k.swapaxes(2, 3), scale=0.2)
    out["attention over turned arrays"] = turned
    out["attention, then a reshape"] = turned.transpose(0, 2, 1, 3).reshape(1, 48, -1)
    return out


def answers(model: str, prompts: list[list[int]], max_tokens: int) -> dict[str, Any]:
    import mlx.core as mx
    from mlx_lm.generate import generate_step
    from mlx_lm.utils import load

    loaded: Any = load(model)
    out: dict[str, Any] = {}
    for number, ids in enumerate(prompts):
        out[f"logits {number}"] = loaded[0](mx.array(ids)[None])[0, -1]
        steps = generate_step(mx.array(ids), loaded[0], max_tokens=max_tokens)
        out[f"answer {number}"] = mx.array([int(token) for token, _ in steps])
    return out


if __name__ == "__main__":
    blas.activate("auto", 1)
    active = kernels.activate(sys.argv[1])  # type: ignore[arg-type]
    found = answers(**json.loads(sys.argv[3])) if len(sys.argv) > 3 else operations()
    np.savez(sys.argv[2], **{name: np.array(value) for name, value in found.items()})
    print(json.dumps(kernels.report(active)))
