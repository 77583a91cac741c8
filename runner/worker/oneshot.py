"""The verbs that answer once and exit: convert, describe, render, pull, measure-blas, measure-engine, measure-masks,
confine. Called by `runner.worker`.

Does not touch the channel. Each takes a JSON object and returns the fields of a `result` event.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runner.worker import process
from runner.worker.problem import WorkerError


def answer(verb: str, line: str) -> dict[str, Any]:
    """Runs `verb`. Raises WorkerError for what the user can cure."""
    spec: dict[str, Any] = json.loads(line)
    process.die_with_parent()
    if verb != "confine":  # a confined process cannot remove a folder of its own
        process.private_tmpdir()
    process.quiet_libraries()
    verbs: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "convert": _convert,
        "describe": _describe,
        "render": _render,
        "pull": _pull,
        "measure-blas": _measure_blas,
        "measure-engine": _measure_engine,
        "measure-masks": _measure_masks,
        "confine": _confine,
    }
    return verbs[verb](spec)


def _convert(spec: dict[str, Any]) -> dict[str, Any]:
    from runner.engine.folder_writer import ConversionError

    target = Path(spec["target"])
    try:
        match spec["kind"]:
            case "gguf":
                from runner.engine.gguf import convert_gguf

                convert_gguf(Path(spec["source"]), target)
            case "precision":
                from runner.engine.precision import convert_precision

                convert_precision(Path(spec["source"]), target, spec["precision"])
            case "tiny":
                from runner.engine.tiny import make_tiny

                make_tiny(target)
            case kind:
                raise ValueError(f"unknown conversion {kind!r}")
    except ConversionError as refused:
        raise WorkerError(refused.problem, refused.cure) from refused
    return {"target": str(target)}


def _describe(spec: dict[str, Any]) -> dict[str, Any]:
    """Exact bytes at each precision from config.json alone: mlx-lm's classes, built lazily, nothing evaluated."""
    from runner.engine.describe import UnknownArchitectureError, describe

    try:
        return describe(spec["config"])
    except UnknownArchitectureError as error:
        raise WorkerError(
            f"mlx-lm does not know this model: {error}", "use a model type that mlx-lm supports"
        ) from error


def _render(spec: dict[str, Any]) -> dict[str, Any]:
    from runner.engine.turns import render_turn

    try:
        prefix, suffix = render_turn(
            Path(spec["path"]), spec["system_prompt"], spec["enable_thinking"], spec["answer_prefix"]
        )
    except ValueError as error:
        cure = "model.enable_thinking=false, or " if spec["enable_thinking"] else ""
        raise WorkerError(f"{spec['path']}: {error}", f"{cure}use a model with a usual chat template") from error
    return {"prefix_ids": prefix, "suffix_ids": suffix}


def _pull(spec: dict[str, Any]) -> dict[str, Any]:
    from runner.engine.hub import UnreachableError, snapshot

    try:
        path, commit = snapshot(spec["repo"], spec["revision"], spec["fetch"])
    except UnreachableError as error:
        raise WorkerError(
            f"model {spec['repo']} at {spec['revision'] or 'main'} is not in the cache and cannot be fetched: {error}",
            "1. on a machine with a connection run `runner models pull` and copy the hub cache; "
            "2. name a mirror: HF_ENDPOINT=https://...; "
            "3. use the embedded model (model=smollm2-135m) or a local folder (model=path model.path=FOLDER)",
        ) from error
    return {"path": str(path), "commit": commit}


def _confine(spec: dict[str, Any]) -> dict[str, Any]:
    from runner.worker.confinement import confine

    return confine(spec)


def _measure_blas(spec: dict[str, Any]) -> dict[str, Any]:
    from runner.engine import blas, kernels

    status = process.pin(tuple(spec.get("cpus", ())))
    try:
        active = blas.activate(spec["blas"], int(spec["threads"]))
    except blas.BlasError as error:
        raise WorkerError(error.problem, error.cure) from error
    own = kernels.activate("auto")
    from runner.engine.measure import gflops, touch  # imports mlx: after both

    touch()
    speeds = gflops([int(m) for m in spec.get("rows", (1, 8, 64, 1024))])
    return {
        "blas": active.name,
        "library": active.library,
        "core": active.core,
        "threads": active.threads,
        "reason": active.reason,
        "answers": blas.which_is_active(),
        **kernels.report(own),
        "placement": status,
        "gflops": {str(m): round(speed, 1) for m, speed in speeds.items()},
    }


def _measure_engine(spec: dict[str, Any]) -> dict[str, Any]:
    """One contestant of `runner bench engine`; its documents come in a file, since they are many."""
    from runner.engine import blas, kernels

    status = process.pin(tuple(spec["cpus"]))
    try:
        active = blas.activate(spec["blas"], int(spec["threads"]))
    except blas.BlasError as error:
        raise WorkerError(error.problem, error.cure) from error
    own = kernels.activate(spec["kernels"])
    from runner.engine.contestant import contest  # imports mlx: after both
    from runner.engine.mlx_lm_adapter import EngineSettings

    prompts = json.loads(Path(spec["prompts"]).read_text(encoding="ascii"))
    chosen = [prompts[index] for index in spec["documents"]]
    outcome = contest(
        spec["way"],
        Path(spec["model"]),
        chosen,
        int(spec["max_tokens"]),
        EngineSettings(**spec["settings"]),
        lambda: process.wait_at_gate(Path(spec["gate"])),
    )
    return {
        **asdict(outcome),
        "blas": active.name,
        **kernels.report(own),
        "placement": status,
        "load_average": os.getloadavg()[0],
    }


def _measure_masks(spec: dict[str, Any]) -> dict[str, Any]:
    """For `runner bench structured`; the answers come in a file."""
    process.pin(tuple(spec["cpus"]))
    from runner.engine.masks import measure

    answers = json.loads(Path(spec["answers"]).read_text(encoding="utf-8"))
    counts = (int(spec[name]) for name in ("rows", "rounds", "threads"))
    return asdict(measure(Path(spec["model"]), spec["grammar"], answers, *counts))
