"""What a worker is told on its stdin: one JSON line, made by `run`, read by `worker` and `extractor`.

Plain data with a strict reader: an unknown or missing key is a mistake of ours and raises at once.
"""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Final, Literal

THINKING_MARKS: Final = 8
"""Tokens around thoughts, at most: what opens them, what closes them, an empty line."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One worker's whole world. Descriptors are numbers valid in the child; sizes are bytes."""

    kind: Literal["mlx", "scripted"]
    worker: int
    incarnation: int
    channel_fd: int
    control_fd: int
    document_fds: tuple[int, ...]
    spin_us: int
    model_path: str
    max_num_seqs: int
    prefill_batch_size: int
    prefill_step_size: int
    share_prefix: bool
    max_model_len: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    seed: int
    ignore_eos: bool
    thinking_tokens: int
    """0 = answers at once; else a row's max_tokens counts these and THINKING_MARKS in."""
    output_schema: str | None
    grammar: str | None
    evidence: bool
    schema_repair: bool
    keep_whole_items: bool
    answer_prefix: str
    cpus: tuple[int, ...]
    threads: int
    cache_limit_bytes: int
    memory_limit_bytes: int
    wired: Literal["off", "fit", "max"]
    recycle_documents: int
    recycle_bytes: int
    blas: Literal["auto", "scipy", "system", "none"]
    kernels: Literal["auto", "off"]
    script: str | None

    def to_json(self) -> str:
        """One line, no newline in it."""
        return _to_json(self)

    @classmethod
    def from_json(cls, text: str) -> "WorkerSpec":
        """The other end of `to_json`; ValueError when keys differ."""
        data = _members(cls, text)
        data["document_fds"] = tuple(data["document_fds"])
        data["cpus"] = tuple(data["cpus"])
        return cls(**data)


@dataclass(frozen=True, slots=True)
class ExtractorSpec:
    """One extract worker's whole world. Descriptors are numbers valid in the child."""

    input_fd: int
    output_fd: int
    control_fd: int
    pdfium: str | None
    """Path of the PDFium library; None = PDF cannot be read here."""
    second_pdf: str | None
    """Name and version of the package that reads damaged PDFs; None = it is not installed."""
    second_pdf_folder: str | None
    """Where the runner found it: a worker has not the user's PYTHONPATH and could meet another version."""
    memory_bytes: int
    """On top of what the fresh process has mapped."""
    open_files: int

    def to_json(self) -> str:
        """One line, no newline in it."""
        return _to_json(self)

    @classmethod
    def from_json(cls, text: str) -> "ExtractorSpec":
        """The other end of `to_json`; ValueError when keys differ."""
        return cls(**_members(cls, text))


def _to_json(spec: WorkerSpec | ExtractorSpec) -> str:
    return json.dumps(dataclasses.asdict(spec), ensure_ascii=True, separators=(",", ":"))


def _members(cls: type[WorkerSpec] | type[ExtractorSpec], text: str) -> dict[str, Any]:
    data: Any = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError(f"worker spec: expected an object, got {type(data).__name__}")
    known = {field.name for field in dataclasses.fields(cls)}
    if wrong := sorted(known ^ data.keys()):
        raise ValueError(f"worker spec: missing or unknown keys {wrong}")
    return data
