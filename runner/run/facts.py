"""Facts of a run beside its configuration: versions, machine and model, and what its speed and its answers depend on.

Reads versions of installed distributions; imports none of them. Called by run and the plan command.
"""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict
from importlib import metadata
from typing import Any

from runner.config.schema import RunnerConfig
from runner.machine import Machine
from runner.models import ModelFolder, Prompt
from runner.run.settings import decoding, schema_hash


def runner_version() -> str:
    """Of the installed distribution; a bare checkout has none."""
    return _version("mlx-runner") or "checkout"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def environment(config: RunnerConfig, machine: Machine, model: ModelFolder, workers: int) -> dict[str, object]:
    """environment.json."""
    return {
        "version": 1,
        "os": machine.os,
        "arch": machine.arch,
        "chip": machine.chip,
        "kernel": platform.release(),
        "physical_bytes": machine.physical_bytes,
        "memory_bytes": machine.memory_bytes,
        "memory_limit": machine.memory_limit,
        "physical_cores": machine.physical_cores,
        "boot_id": machine.boot_id,
        "python": platform.python_version(),
        "model": {
            "name": model.name,
            "path": str(model.path),
            "weights_hash": model.weights_hash,
            "tokenizer_hash": model.tokenizer_hash,
            "bytes": model.bytes,
            "max_position_embeddings": model.max_position_embeddings,
        },
        "workers": workers,
        "threads_per_worker": config.cores.threads_per_worker,
        "pools": {key: value for key, value in asdict(config.memory).items() if key != "wired"},
        "profile": asdict(config.profile),
    }


def pace_setting(config: RunnerConfig, machine: Machine, model: ModelFolder, workers: int) -> dict[str, Any]:
    """What decides how fast a request is served: runs that agree in it are as fast as each other."""
    batching = config.batching
    return {
        "chip": machine.chip,
        "physical_cores": machine.physical_cores,
        "engine": config.model.engine + (config.model.script or ""),
        "mlx": _version("mlx"),
        "mlx-lm": _version("mlx-lm"),
        "weights": model.weights_hash,
        "workers": workers,
        "threads_per_worker": config.cores.threads_per_worker,
        "blas": config.tuning.blas,
        "kernels": config.tuning.kernels,
        "constrained": config.job.grammar is not None,
        "max_num_seqs": batching.max_num_seqs,
        "prefill_batch_size": batching.prefill_batch_size,
        "prefill_step_size": batching.prefill_step_size,
    }


def live_facts(config: RunnerConfig, machine: Machine, model: ModelFolder) -> dict[str, Any]:
    """What evidence about a tuning step holds for: it expires when one of these changes (docs/tuning-evidence.md)."""
    return {
        "os": machine.os,
        "arch": machine.arch,
        "chip": machine.chip,
        "physical_cores": machine.physical_cores,
        "memory_gib": round(machine.memory_bytes / 2**30, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("mlx", "mlx-lm", "numpy", "scipy-openblas32")},
        "weights": model.weights_hash,
        "bits": config.model.bits,
    }


def answers_key(config: RunnerConfig, model: ModelFolder, prompt: Prompt) -> str:
    """Runs that agree in it ask the same of the same model: their answers are about as long."""
    asked = [
        model.weights_hash, prompt.prompt_hash, config.job.template, config.job.reduce_template, decoding(config),
        schema_hash(config),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
