"""The JSON that the Rust core is opened with (native/src/settings.rs), built from the frozen configuration and the model's facts.

Shapes must stay equal to settings.rs, which refuses unknown keys. Called by `run`. Decides nothing: numbers come in.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from runner.config.checks import credits_of
from runner.config.schema import RunnerConfig


class ModelFacts(Protocol):
    """What `models.resolve` returns, as far as the core needs it."""

    @property
    def tokenizer_path(self) -> str | Path: ...
    @property
    def tokenizer_hash(self) -> str: ...
    @property
    def weights_hash(self) -> str: ...
    @property
    def max_position_embeddings(self) -> int: ...


class PromptFacts(Protocol):
    """What `models.render_prompt` returns."""

    @property
    def prefix_ids(self) -> Sequence[int]: ...
    @property
    def suffix_ids(self) -> Sequence[int]: ...
    @property
    def prompt_hash(self) -> str: ...


def max_model_len(config: RunnerConfig, model: ModelFacts) -> int:
    """The smaller of what the user allows and what the model was made for."""
    wanted = config.model.max_model_len
    return model.max_position_embeddings if wanted is None else min(wanted, model.max_position_embeddings)


def decoding_json(config: RunnerConfig) -> str:
    """Everything about decoding that changes an output; counts into work_id."""
    sampling = config.sampling
    values: dict[str, Any] = {"temperature": sampling.temperature, "max_tokens": config.job.max_tokens}
    if sampling.temperature > 0:  # greedy decoding ignores the others: they must not cause a rerun
        values |= {
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "seed": sampling.seed,
        }
    if config.job.output_schema is not None:
        values["schema_repair"] = config.job.schema_repair
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def settings_json(
    config: RunnerConfig, *, run_id: str, run_dir: Path, index_path: Path, model: ModelFacts, prompt: PromptFacts
) -> str:
    """Settings of one run for `_native.Core`."""
    return json.dumps(
        {
            "run_id": run_id,
            "run_dir": str(run_dir),
            "index_path": str(index_path),
            "durability": config.output.durability,
            "reuse": config.output.reuse,
            "ingest": ingest_settings(config),
            "job": _job(config),
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
            "channel": {
                "ipc_budget_bytes": config.memory.ipc_bytes,
                "segment_bytes": config.channel.segment_bytes,
                "output_slot_bytes": config.channel.output_slot_bytes,
                "ring_entries": config.channel.ring_entries,
                "spin_us": config.channel.spin_us,
                "checksums": config.channel.checksums,
            },
            "rust_budget_bytes": config.memory.rust_bytes,
        }
    )


def ingest_settings(config: RunnerConfig) -> dict[str, Any]:
    ingest = config.ingest
    return {
        "inputs": list(config.inputs),
        "include": list(ingest.include),
        "exclude": list(ingest.exclude),
        "hidden": ingest.hidden,
        "follow_links": ingest.follow_links,
        "ignore_files": ingest.ignore_files,
        "paranoid": ingest.paranoid,
        "threads": config.cores.rust_threads,
        "max_file_bytes": ingest.max_file_bytes,
        "max_text_bytes": ingest.max_text_bytes,
        "max_inflate_ratio": ingest.max_inflate_ratio,
        "max_html_depth": ingest.max_html_depth,
        "max_json_depth": ingest.max_json_depth,
        "jsonl": {"text_field": ingest.jsonl.text_field, "id_field": ingest.jsonl.id_field},
        "json": {"text_field": ingest.json.text_field, "id_field": ingest.json.id_field},
        "csv": {"mode": ingest.csv.mode, "text_field": ingest.csv.text_field, "id_field": ingest.csv.id_field},
        "chunk_overlap_tokens": ingest.chunk_overlap_tokens,
    }


def _job(config: RunnerConfig) -> dict[str, Any]:
    job = config.job
    schema = job.output_schema
    return {
        "name": job.name,
        "template": job.template,
        "reduce_template": job.reduce_template,
        "max_tokens": job.max_tokens,
        "max_documents": job.max_documents,
        "max_chunks": job.max_chunks,
        "decoding": decoding_json(config),
        "schema_hash": None if schema is None else hashlib.sha256(schema.encode()).hexdigest(),
        "max_attempts": job.max_attempts,
        "deadline_ms": job.deadline_ms,
    }
