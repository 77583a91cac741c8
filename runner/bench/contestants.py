"""What each contestant of an engine bench is told: one spec a process, with the engine settings that a run would have.

Does not start anything. Called by bench.engine and bench.shapes; read by the worker verb `measure-engine`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.config.schema import RunnerConfig
from runner.models import ModelFolder
from runner.run import settings


@dataclass(frozen=True, slots=True)
class Work:
    """`prompts` is a JSON file of token ids; `shares` are the indices that each process takes."""

    prompts: Path
    shares: Sequence[Sequence[int]]
    max_tokens: int


def specs(
    config: RunnerConfig,
    model: ModelFolder,
    work: Work,
    way: str,
    threads: int | None = None,
    blas: str | None = None,
    kernels: str | None = None,
    **changed: Any,
) -> list[dict[str, Any]]:
    """One spec a share. `way` is "runner" or "stock"; `changed` are engine settings that differ from the run's."""
    processes = len(work.shares)
    pins = config.cores.worker_cpus if processes == config.cores.workers else ()
    return [
        {
            "way": way,
            "model": str(model.path),
            "prompts": str(work.prompts),
            "documents": list(share),
            "max_tokens": work.max_tokens,
            "settings": {**_engine_settings(config, model, processes), **changed},
            "blas": blas or config.tuning.blas,
            # mlx-lm as it comes has none of ours.
            "kernels": kernels or (config.tuning.kernels if way == "runner" else "off"),
            "threads": config.cores.threads_per_worker if threads is None else threads,
            "cpus": pins[number] if number < len(pins) else (),
        }
        for number, share in enumerate(work.shares)
    ]


def _engine_settings(config: RunnerConfig, model: ModelFolder, processes: int) -> dict[str, Any]:
    return {
        "max_num_seqs": config.batching.max_num_seqs,
        "prefill_batch_size": config.batching.prefill_batch_size,
        "prefill_step_size": config.batching.prefill_step_size,
        "max_model_len": settings.max_model_len(config, model),
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "seed": 0,
        "ignore_eos": True,
        "thinking_tokens": 0,
        "share_prefix": config.batching.share_prefix,
        "cache_limit_bytes": config.memory.mlx_cache_bytes // processes,
        "memory_limit_bytes": config.memory.mlx_bytes // processes,
        "wired": config.memory.wired,
        "grammar": None,
        "answer_prefix": "",
        "threads": config.cores.threads_per_worker,
    }
