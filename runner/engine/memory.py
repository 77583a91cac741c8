"""What the adapter does to memory: limits of mlx, what a token costs, what a worker takes, and giving back.

mlx's limits stop nothing on a CPU; what holds is admission by `predict.footprint`, which this room fills with what the
loaded model tells. Does not decide about rows. Used by mlx_lm_adapter, in its thread.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping
from typing import Any, Literal

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from runner.engine import kernels
from runner.models.sizes import work_bytes
from runner.predict.footprint import PROCESS_BYTES, Footprint, Work

Wired = Literal["off", "fit", "max"]


def measure(model: Any) -> tuple[int, int]:
    """(KV bytes of a token, size of the vocabulary). Measured, not derived: one token through a fresh cache tells the
    dtype, the layers that keep state, and the width of the logits, which may be more than the tokenizer knows."""
    cache = make_prompt_cache(model)
    logits = model(mx.array([[0]]), cache=cache)
    mx.eval([layer.state for layer in cache])
    arrays = [part for layer in cache for part in layer.state if isinstance(part, mx.array) and part.ndim == 4]
    return sum(array.nbytes // array.shape[2] for array in arrays), int(logits.shape[-1])


def footprint(
    config: Mapping[str, Any], weights: int, kv_bytes: int, vocab: int, rows: int, tokens: int, cache: int, held: int
) -> Footprint:
    """Of this process. `held`: what it holds with the model loaded, 0 = not known; `rows`, `tokens`: of one prefill."""
    fused = bool(mx.metal.is_available()) or kernels.opened()
    work = Work(*work_bytes({**config, "vocab_size": vocab}, fused))
    return Footprint(held or weights + PROCESS_BYTES, cache, kv_bytes, work, rows, tokens)


def apply_limits(memory: int, cache: int, wired: Wired) -> int:
    """The wired limit that is set; 0 bytes of memory = no limit."""
    if memory > 0:
        mx.set_memory_limit(memory)
    mx.set_cache_limit(cache)
    recommended = int(mx.device_info().get("max_recommended_working_set_size", 0))
    limit = recommended if wired == "max" else 0
    if recommended:
        mx.set_wired_limit(limit)
    return limit


def fit_wired(weights: int, kv: int) -> int:
    """weights + the batch's KV + 8 GiB, never above what the system recommends (more is an error)."""
    recommended = int(mx.device_info().get("max_recommended_working_set_size", 0))
    wired = min(weights + kv + (8 << 30), recommended)
    if recommended:
        mx.set_wired_limit(wired)
    return wired


def give_back() -> None:
    """Freed buffers of mlx and free pages of the C heap go to the system: glibc keeps chunks below its mmap threshold,
    and what a large batch left there counts as ours. Costs page faults, so only for those who are short."""
    mx.clear_cache()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:  # not in musl
            trim(0)
