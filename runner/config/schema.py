"""The configuration of a run as frozen dataclasses: what conf/ and profiles/ may say (`Tree`) and what the rest of
the product gets after the door (`RunnerConfig`), where sizes are bytes, templates are text and cores are chosen.

No defaults live here: numbers belong to conf/ and profiles/ alone. Imports next to nothing, so that every room can name
these types; those of the group `monitor` are in monitor.py. Classes that end in `Tree` exist only before the door; the
others are the same on both sides.
"""

from dataclasses import dataclass
from typing import Any, Literal

from runner.config.monitor import MonitorConfig

# ---- both sides of the door ----


@dataclass(frozen=True, slots=True)
class MachineConfig:
    """The machine a profile was written for; null = any. `strict` refuses another one instead of fitting the
    profile."""

    name: str
    os: str | None
    arch: str | None
    chip: str | None
    memory: str | None
    performance_cores: int | None
    efficiency_cores: int | None
    numa_nodes: int | None
    battery: bool | None
    strict: bool


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Which weights, in which precision, driven by which engine."""

    name: str
    engine: Literal["mlx", "scripted"]
    source: Literal["embedded", "hub", "path", "tiny"]
    repo: str | None
    bits: int | None
    revision: str | None
    path: str | None
    enable_thinking: bool
    max_model_len: int | None
    script: str | None


@dataclass(frozen=True, slots=True)
class SamplingConfig:
    """Decoding parameters; all of them count into work_id."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    seed: int
    ignore_eos: bool
    thinking_tokens: int


@dataclass(frozen=True, slots=True)
class BatchingConfig:
    """Rows that run together. `max_num_batched_tokens` null = no bound but memory."""

    max_num_seqs: int
    prefill_batch_size: int
    prefill_step_size: int
    share_prefix: bool
    max_num_batched_tokens: int | None
    order: Literal["input", "shortest_first", "longest_first"]


@dataclass(frozen=True, slots=True)
class RecordConfig:
    """Where text and id stand in a JSON record; null = the usual names."""

    text_field: str | None
    id_field: str | None


@dataclass(frozen=True, slots=True)
class CsvConfig:
    """How a CSV file becomes documents."""

    mode: Literal["row", "file"]
    text_field: str | None
    id_field: str | None


@dataclass(frozen=True, slots=True)
class IsolationConfig:
    """What one file may cost the extract worker that parses it."""

    cpu_s: int
    wall_s: int
    start_s: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class IngestConfig:
    """What is read and its limits. `files_from` and `files0_from` are absolute past the door, or `-`."""

    files_from: str | None
    files0_from: str | None
    stdin_name: str | None
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    hidden: bool
    follow_links: bool
    ignore_files: bool
    archives: bool
    paranoid: bool
    max_file_bytes: int
    max_text_bytes: int
    max_inflate_ratio: int
    max_zip_entries: int
    max_zip_entry_bytes: int
    max_zip_total_bytes: int
    max_pdf_pages: int
    max_xml_depth: int
    max_html_depth: int
    max_json_depth: int
    chunk_overlap_tokens: int
    jsonl: RecordConfig
    json: RecordConfig
    csv: CsvConfig
    isolation: IsolationConfig


@dataclass(frozen=True, slots=True)
class ChannelConfig:
    """Shape of the shared-memory channel; its size is the ipc pool."""

    segment_bytes: int
    output_slot_bytes: int
    ring_entries: int
    spin_us: int
    checksums: bool


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Life of a model worker as supervise sees it."""

    recycle_documents: int
    recycle_bytes: int
    max_restarts: int
    backoff_ms: int
    backoff_max_ms: int
    drain_ms: int
    start_timeout_ms: int


@dataclass(frozen=True, slots=True)
class LogConfig:
    """What is logged."""

    level: Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class TuningConfig:
    """What is set before workers start. `environment` is the workers' own; `steps` are scripts of tuning/ and their
    values; `keep` says which of these two are set: all, those with live evidence that they help, or none."""

    name: str
    scopes: tuple[str, ...]
    strict: bool
    keep: Literal["always", "proven", "never"]
    blas: Literal["auto", "scipy", "system", "none"]
    kernels: Literal["auto", "off"]
    environment: dict[str, str]
    steps: dict[str, str]


@dataclass(frozen=True, slots=True)
class Output:
    """Where a run goes and what it takes over. Folders are as written before the door and absolute past it; `run_dir`
    is set for a job of a sweep."""

    dir: str
    run_dir: str | None
    reuse: Literal["finished", "never"]
    report: bool
    unchanged: Literal["skip", "publish"]
    durability: Literal["process", "power"]


# ---- before the door ----


@dataclass(frozen=True, slots=True)
class MemoryTree:
    """Sizes as written: "60GiB", "45%", "auto". This is the exception to the unit in the key."""

    total: str
    rust: str
    mlx: str
    ipc: str
    system: str
    mlx_cache: str
    wired: Literal["off", "fit", "max"]


@dataclass(frozen=True, slots=True)
class CoresTree:
    """null = from this machine's facts."""

    workers: int | None
    threads_per_worker: int | None
    rust_threads: int | None
    kinds: Literal["all", "performance"]
    spare: int
    pin: Literal["auto", "off"]


@dataclass(frozen=True, slots=True)
class JobTree:
    """One of `template` and `template_file`; one of `schema`, a JSON Schema as text or mapping or the path of a file,
    and `fields`, a mapping or the path of a YAML file, or neither."""

    name: str
    task: Literal["summarize", "qa", "extract", "classify", "prompt"]
    system_prompt: str | None
    template: str | None
    template_file: str | None
    reduce_template: str | None
    labels: tuple[str, ...]
    schema: Any
    fields: Any
    constrain: bool
    evidence: bool
    schema_repair: bool
    keep_whole_items: bool
    answer_prefix: str
    max_tokens: int
    max_documents: int | None
    max_chunks: int | None
    deadline_ms: int
    max_attempts: int
    max_failed: int
    export_chat: bool


@dataclass(frozen=True, slots=True)
class Tree:
    """The schema that Hydra composes into: unknown keys and wrong types are refused everywhere."""

    machine: MachineConfig
    memory: MemoryTree
    cores: CoresTree
    model: ModelConfig
    batching: BatchingConfig
    tuning: TuningConfig
    job: JobTree
    ingest: IngestConfig
    sampling: SamplingConfig
    channel: ChannelConfig
    worker: WorkerConfig
    monitor: MonitorConfig
    log: LogConfig
    output: Output
    on_busy: Literal["fail", "wait", "skip"]
    input: Any


# ---- past the door ----


@dataclass(frozen=True, slots=True)
class Fitted:
    """One value that a profile made for another machine asked for and does not get here."""

    key: str
    was: str
    now: str
    why: str


@dataclass(frozen=True, slots=True)
class Profile:
    """Which profile runs, who chose it and what was changed to fit this machine."""

    names: tuple[str, ...]
    chosen_by: Literal["user", "machine"]
    reason: str
    fitted: tuple[Fitted, ...]

    @property
    def label(self) -> str:
        """The names as one word, for folders and lists."""
        return "+".join(self.names)


@dataclass(frozen=True, slots=True)
class Memory:
    """The pools in bytes. rust + mlx + ipc + system <= total <= physical."""

    physical_bytes: int
    total_bytes: int
    rust_bytes: int
    mlx_bytes: int
    ipc_bytes: int
    system_bytes: int
    mlx_cache_bytes: int
    wired: Literal["off", "fit", "max"]


@dataclass(frozen=True, slots=True)
class Cores:
    """`worker_cpus[i]` are the logical CPUs of worker i, empty when it is not pinned. `workers` is an upper bound
    until the model's size is known: see `runner.run.fitting`."""

    workers: int
    threads_per_worker: int
    rust_threads: int
    worker_cpus: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Job:
    """`output_schema` is JSON text in the user's order of keys, which is the order of the answer; `grammar` holds
    answers to it (None: free text, or only checked); `longest_answer` is in characters, 0 when it has no end; `notes`
    say what the grammar does not hold. `template` is minijinja with labels and schema already set in it."""

    name: str
    task: Literal["summarize", "qa", "extract", "classify", "prompt"]
    system_prompt: str | None
    template: str
    reduce_template: str | None
    labels: tuple[str, ...]
    output_schema: str | None
    grammar: str | None
    longest_answer: int
    notes: tuple[str, ...]
    evidence: bool
    schema_repair: bool
    keep_whole_items: bool
    answer_prefix: str
    max_tokens: int
    max_documents: int | None
    max_chunks: int | None
    deadline_ms: int
    max_attempts: int
    max_failed: int
    export_chat: bool


@dataclass(frozen=True, slots=True)
class RunnerConfig:
    """Everything a run needs to know. `composed_yaml` is the tree with `${...}` unexpanded: the only form that may
    be saved."""

    profile: Profile
    machine: MachineConfig
    memory: Memory
    cores: Cores
    model: ModelConfig
    batching: BatchingConfig
    tuning: TuningConfig
    job: Job
    ingest: IngestConfig
    sampling: SamplingConfig
    channel: ChannelConfig
    worker: WorkerConfig
    monitor: MonitorConfig
    log: LogConfig
    output: Output
    on_busy: Literal["fail", "wait", "skip"]
    inputs: tuple[str, ...]
    example_corpus: bool
    overrides: tuple[str, ...]
    composed_yaml: str
