"""The verb `serve`: from a spec to a loaded model, `ready`, the loop, and a clean exit. Called by `runner.worker`.

Order matters: cores, threads and BLAS before mlx is imported; the channel before the model, so that a runner that died
while the model loads is noticed. Does not restart anything: supervise does.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runner.answer.evidence import Evidence
from runner.channel import Channel, ChannelClosed
from runner.config.worker_spec import WorkerSpec
from runner.engine import blas, kernels
from runner.engine.protocol import Engine, Pace
from runner.monitor.processes import open_reader
from runner.structured import OutputSchema, SchemaError
from runner.worker import process
from runner.worker.events import emit
from runner.worker.loop import Loop, LoopSettings
from runner.worker.problem import WorkerError


def serve(line: str) -> int:
    """0 = drained, recycled, or the runner is gone. Raises WorkerError for what the user can cure."""
    spec = WorkerSpec.from_json(line)
    started = time.monotonic()
    process.die_with_parent()
    process.private_tmpdir()
    process.quiet_libraries()
    placement = process.pin(spec.cpus)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _signal, _frame: stop.set())
    schema = _schema(spec)
    evidence = Evidence(spec.output_schema) if spec.evidence and spec.output_schema else None
    channel = Channel.inherit(spec.channel_fd, spec.control_fd, spec.document_fds, spec.spin_us)
    resident = _resident()
    engine, facts = _engine(spec, resident)
    if shortfall := engine.shortfall():
        raise WorkerError(shortfall, "raise memory.mlx, lower cores.workers or model.max_model_len, or a smaller model")
    settings = LoopSettings(
        spec.max_num_seqs,
        spec.schema_repair,
        spec.keep_whole_items,
        spec.answer_prefix,
        spec.recycle_documents,
        min(filter(None, (spec.recycle_bytes, spec.memory_limit_bytes)), default=0),
    )
    loop = Loop(
        channel, engine, settings, schema, evidence, stop, lambda: max(resident(), engine.memory_bytes), tell=_tell
    )
    emit("ready", load_seconds=round(time.monotonic() - started, 2), placement=placement, **facts)
    try:
        reason = loop.run()
    except ChannelClosed:
        return 0  # the runner is gone: nobody waits for an answer
    if reason != "drained":
        emit("recycle", reason=reason)
    engine.close()
    return 0


def _resident() -> Callable[[], int]:
    """What the system counts as this process's memory."""
    reader = open_reader(os.getpid())
    assert reader is not None, "this process is there"

    def read() -> int:
        seen = reader.read()
        assert seen is not None
        return seen[0]

    return read


def _tell(pace: Pace, seconds: float, held_tokens: int, window: bool) -> None:
    emit("pace", **asdict(pace), seconds=round(seconds, 3), held_tokens=held_tokens, window=window)


def _schema(spec: WorkerSpec) -> OutputSchema | None:
    if spec.output_schema is None:
        return None
    try:
        return OutputSchema(spec.output_schema)
    except SchemaError as error:
        raise WorkerError(f"the output schema is no JSON schema: {error}", "correct job.output_schema") from error


def _engine(spec: WorkerSpec, resident: Callable[[], int]) -> tuple[Engine, dict[str, Any]]:
    """The loaded engine and the facts of `ready`."""
    if spec.kind == "scripted":
        from runner.engine.scripted import Script, ScriptedEngine

        try:
            script = Script.from_json(spec.script)
        except (ValueError, TypeError) as error:
            raise WorkerError(f"model.script: {error}", "correct model.script") from error
        scripted = ScriptedEngine(Path(spec.model_path), script, spec.max_num_seqs, spec.max_model_len)
        return scripted, {"blas": "not applicable", **_shown(scripted)}
    try:
        active = blas.activate(spec.blas, spec.threads)
    except blas.BlasError as error:
        raise WorkerError(error.problem, error.cure) from error
    own = kernels.activate(spec.kernels)
    from runner.engine.mlx_lm_adapter import EngineSettings, MlxEngine  # imports mlx: after both

    engine = MlxEngine(
        Path(spec.model_path),
        EngineSettings(
            max_num_seqs=spec.max_num_seqs,
            prefill_batch_size=spec.prefill_batch_size,
            prefill_step_size=spec.prefill_step_size,
            max_model_len=spec.max_model_len,
            temperature=spec.temperature,
            top_p=spec.top_p,
            top_k=spec.top_k,
            min_p=spec.min_p,
            seed=spec.seed,
            ignore_eos=spec.ignore_eos,
            thinking_tokens=spec.thinking_tokens,
            share_prefix=spec.share_prefix,
            cache_limit_bytes=spec.cache_limit_bytes,
            memory_limit_bytes=spec.memory_limit_bytes,
            wired=spec.wired,
            grammar=spec.grammar,
            answer_prefix=spec.answer_prefix,
            threads=spec.threads,
        ),
        resident,
    )
    answers = blas.which_is_active()
    facts = {
        "blas": active.name,
        "blas_core": active.core,
        "blas_threads": active.threads,
        "blas_reason": active.reason,
        **kernels.report(own),
    }
    return engine, {**facts, "blas_library": answers, **_shown(engine)}


def _shown(engine: Engine) -> dict[str, Any]:
    facts = engine.facts
    return {
        "engine": facts.engine,
        "device": facts.device,
        "weights_bytes": facts.weights_bytes,
        "kv_bytes_per_token": facts.kv_bytes_per_token,
        "eos_token_ids": list(facts.eos_token_ids),
        "memory_bytes": engine.memory_bytes,
        "settings": facts.settings,
    }
