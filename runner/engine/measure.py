"""Speed of fp32 matrix products at the shapes of a decode and a prefill, through mlx. Called by the worker verb
`measure-blas`.

Does not choose a BLAS (blas.py did before mlx was imported) and makes no claim about a whole model.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import mlx.core as mx

_SIDE = 1024
"""K = N of every product: about the hidden size of a small model."""


def gflops(rows: Sequence[int], seconds_each: float = 0.4) -> dict[int, float]:
    """GFLOP/s of (M, 1024) x (1024, 1024)^T for each M; the best of several blocks, so a busy machine disturbs less."""
    weight = mx.random.normal((_SIDE, _SIDE))
    return {m: _best(mx.random.normal((m, _SIDE)), weight, seconds_each) for m in rows}


def _best(left: mx.array, weight: mx.array, seconds: float) -> float:
    mx.eval(left @ weight.T, weight)
    flop = 2.0 * left.shape[0] * _SIDE * _SIDE
    best = 0.0
    deadline = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        products = [left @ weight.T for _ in range(8)]
        mx.eval(products)
        now = time.perf_counter()
        best = max(best, 8 * flop / (now - start) / 1e9)
        if now > deadline:
            return best


def touch() -> None:
    """One operation that our kernels know: whether they took it over is then counted (`kernels.report`)."""
    mx.eval(mx.fast.rms_norm(mx.ones((1, 8)), mx.ones(8), 1e-5))
