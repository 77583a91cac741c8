"""From the config to what the core, the workers and the model sources are told. Pure but for what is installed.

Numbers are never made up here: each comes from the config, from the model's facts, or from the machine. Called by run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from runner.answer.grammar import GRAMMAR_VERSION
from runner.config.checks import credits_of
from runner.config.given import STDIN, path_list
from runner.config.schema import ModelConfig, RunnerConfig
from runner.config.worker_spec import THINKING_MARKS, WorkerSpec
from runner.layout import RunFolder
from runner.models import ModelChoice, ModelFolder, Prompt
from runner.models.choice import Precision
from runner.run.extraction import second_pdf_reader

_PRECISION: Mapping[int | None, Precision] = {None: "as_is", 4: "q4", 8: "q8", 16: "bf16", 32: "fp32"}


def decoding(config: RunnerConfig) -> str:
    """Everything about decoding that decides what an answer looks like, as canonical JSON: it counts into work_id."""
    sampling = config.sampling
    members: dict[str, Any] = {"temperature": sampling.temperature, "max_tokens": config.job.max_tokens}
    if sampling.temperature > 0:  # greedy decoding ignores the others: they must not cause a rerun
        members |= {"top_p": sampling.top_p, "top_k": sampling.top_k, "min_p": sampling.min_p, "seed": sampling.seed}
    if sampling.ignore_eos:
        members["ignore_eos"] = True
    if thinks := thinking_tokens(config):
        members["thinking_tokens"] = thinks
    if config.job.output_schema is not None:
        members["schema_repair"] = config.job.schema_repair
        members["keep_whole_items"] = config.job.keep_whole_items
    if config.job.grammar is not None:
        members["constrain"] = GRAMMAR_VERSION
    if config.job.evidence:
        members["evidence"] = True
    if config.model.engine == "scripted":  # same folder, other answers: never mistaken for those of the model
        members["script"] = config.model.script or "{}"
    return json.dumps(members, sort_keys=True, separators=(",", ":"))


def thinking_tokens(config: RunnerConfig) -> int:
    """0 = answers at once."""
    return config.sampling.thinking_tokens if config.model.enable_thinking else 0


def written_tokens(config: RunnerConfig) -> int:
    """Tokens of one request that the model writes at most: the answer, and thoughts with their marks before it."""
    thinks = thinking_tokens(config)
    return config.job.max_tokens + (thinks + THINKING_MARKS if thinks else 0)


def schema_hash(config: RunnerConfig) -> str | None:
    """Identity of the output schema, the order of its keys included: a grammar keeps it. None = free text."""
    text = config.job.output_schema
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def max_model_len(config: RunnerConfig, model: ModelFolder) -> int:
    """Tokens of one sequence, prompt and answer together: the model's own bound or the config's tighter one."""
    return min(model.max_position_embeddings, config.model.max_model_len or model.max_position_embeddings)


def ingest_settings(config: RunnerConfig, run: RunFolder | None = None) -> dict[str, Any]:
    """What reading needs to know: IngestSettings of native/src/settings.rs. `run` keeps copies of standard input and
    of a list; without one (plan, bench) the list itself is read."""
    ingest = asdict(config.ingest)
    ingest |= {name: list(ingest[name]) for name in ("include", "exclude")}
    for name in ("files_from", "files0_from", "stdin_name"):
        del ingest[name]
    listed = path_list(config.ingest)
    ingest["list"] = None
    if listed is not None:
        path = listed.source if run is None else str(run.files_list)
        separator = "nul" if listed.separator == b"\0" else "newline"
        ingest["list"] = {"path": path, "base": str(Path.cwd()), "separator": separator}
    ingest["stdin"] = None
    if run is not None and STDIN in config.inputs:
        ingest["stdin"] = str(run.stdin_file(config.ingest.stdin_name))
    del ingest["isolation"]["memory_bytes"]  # the worker's own affair: see runner.run.extraction
    second = second_pdf_reader()
    ingest["second_pdf_reader"] = None if second is None else second[0]
    return {"inputs": list(config.inputs), **ingest, "threads": config.cores.rust_threads}


def core_settings(
    config: RunnerConfig, model: ModelFolder, prompt: Prompt, *, run_id: str, run_dir: str, index_path: str
) -> dict[str, Any]:
    """The object that native/src/settings.rs reads; unknown keys are refused there."""
    job = config.job
    return {
        "run_id": run_id,
        "run_dir": run_dir,
        "index_path": index_path,
        "durability": config.output.durability,
        "reuse": config.output.reuse,
        "ingest": ingest_settings(config, RunFolder(Path(run_dir))),
        "job": {
            "name": job.name,
            "template": job.template,
            "reduce_template": job.reduce_template,
            "max_tokens": written_tokens(config),
            "max_documents": job.max_documents,
            "max_chunks": job.max_chunks,
            "decoding": decoding(config),
            "schema_hash": schema_hash(config),
            "evidence": job.evidence,
            "max_attempts": job.max_attempts,
            "deadline_ms": job.deadline_ms,
        },
        "model": {
            "tokenizer_path": str(model.tokenizer_path),
            "tokenizer_hash": model.tokenizer_hash,
            "weights_hash": model.weights_hash,
            "prompt_hash": prompt.prompt_hash,
            "prefix_ids": list(prompt.prefix_ids),
            "suffix_ids": list(prompt.suffix_ids),
            "max_model_len": max_model_len(config, model),
        },
        "schedule": {
            "max_num_seqs": config.batching.max_num_seqs,
            "credits": credits_of(config.batching.max_num_seqs),
            "max_num_batched_tokens": config.batching.max_num_batched_tokens,
            "order": config.batching.order,
        },
        "channel": {"ipc_budget_bytes": config.memory.ipc_bytes, **asdict(config.channel)},
        "rust_budget_bytes": config.memory.rust_bytes,
    }


def worker_spec(
    config: RunnerConfig, model: ModelFolder, workers: int, number: int, attachment: Mapping[str, Any]
) -> WorkerSpec:
    """What worker `number` of `workers` reads on stdin; pools are shared out evenly."""
    cpus = config.cores.worker_cpus
    return WorkerSpec(
        kind=config.model.engine,
        worker=number,
        incarnation=attachment["incarnation"],
        channel_fd=attachment["channel_fd"],
        control_fd=attachment["control_fd"],
        document_fds=tuple(attachment["document_fds"]),
        spin_us=config.channel.spin_us,
        model_path=str(model.path),
        max_num_seqs=config.batching.max_num_seqs,
        prefill_batch_size=config.batching.prefill_batch_size,
        prefill_step_size=config.batching.prefill_step_size,
        share_prefix=config.batching.share_prefix,
        max_model_len=max_model_len(config, model),
        temperature=config.sampling.temperature,
        top_p=config.sampling.top_p,
        top_k=config.sampling.top_k,
        min_p=config.sampling.min_p,
        seed=config.sampling.seed,
        ignore_eos=config.sampling.ignore_eos,
        thinking_tokens=thinking_tokens(config),
        output_schema=config.job.output_schema,
        grammar=config.job.grammar,
        evidence=config.job.evidence,
        schema_repair=config.job.schema_repair,
        keep_whole_items=config.job.keep_whole_items,
        answer_prefix=config.job.answer_prefix,
        cpus=cpus[number] if number < len(cpus) else (),
        threads=config.cores.threads_per_worker,
        cache_limit_bytes=config.memory.mlx_cache_bytes // workers,
        memory_limit_bytes=config.memory.mlx_bytes // workers,
        wired=config.memory.wired,
        recycle_documents=config.worker.recycle_documents,
        recycle_bytes=config.worker.recycle_bytes,
        blas=config.tuning.blas,
        kernels=config.tuning.kernels,
        script=config.model.script,
    )


def thread_variables(config: RunnerConfig) -> dict[str, str]:
    """Threads of the libraries in a worker follow `cores.threads_per_worker`; `tuning.environment` comes on top."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "SCIPY_OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    return dict.fromkeys(names, str(config.cores.threads_per_worker))


def model_choice(model: ModelConfig) -> ModelChoice:
    """The config's model group in the words of runner.models. A hub model's bits are part of its repository's name."""
    if model.source == "hub":
        return ModelChoice("hub", model.repo or "", model.revision)
    precision = _PRECISION[model.bits]  # config.checks has refused the others
    if model.source == "path":
        location = model.path or ""
        return ModelChoice("gguf" if location.endswith(".gguf") else "path", location, precision=precision)
    return ModelChoice(model.source, precision=precision)
