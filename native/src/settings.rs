//! Settings of one run, as they come through the door from Python as JSON: typed, checked for unknown keys, immutable.
//!
//! The Python side (runner/config) has already checked values against the machine; here only shape and type are checked.
//! No defaults live here: numbers belong to conf/ and profiles/ alone.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub run_id: String,
    /// Absolute folder of this run; exists already.
    pub run_dir: String,
    /// Absolute path of index.sqlite, shared by all runs of one outputs folder.
    pub index_path: String,
    pub durability: Durability,
    pub reuse: Reuse,
    pub ingest: IngestSettings,
    pub job: JobSettings,
    pub model: ModelSettings,
    pub schedule: ScheduleSettings,
    pub channel: ChannelSettings,
    /// Cap of the `rust` pool: bytes of text and tokens held between discovery and commit.
    pub rust_budget_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Survives kill -9: write(2) without fdatasync.
    Process,
    /// Survives power loss: fdatasync (F_FULLFSYNC on macOS) per group.
    Power,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reuse {
    Finished,
    Never,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IngestSettings {
    /// Absolute paths, files or folders, in the user's order; `-` = standard input.
    pub inputs: Vec<String>,
    /// The copy of standard input; its type is told by this name and by its content.
    pub stdin: Option<String>,
    /// Paths are read from a file, one at a time; `inputs` is empty then.
    pub list: Option<ListSettings>,
    /// gitignore-style globs; empty include = everything.
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    pub hidden: bool,
    pub follow_links: bool,
    /// Honour .gitignore and .ignore files inside the inputs.
    pub ignore_files: bool,
    /// Walk zip and tar archives like folders.
    pub archives: bool,
    /// Always hash, never trust size, mtime and inode.
    pub paranoid: bool,
    pub threads: usize,
    pub max_file_bytes: u64,
    pub max_text_bytes: u64,
    pub max_inflate_ratio: u64,
    pub max_zip_entries: usize,
    /// Inflated, as all sizes inside an archive.
    pub max_zip_entry_bytes: u64,
    pub max_zip_total_bytes: u64,
    pub max_pdf_pages: u32,
    /// Name and version of the package that reads damaged PDFs where it is installed: with it, other files are done.
    pub second_pdf_reader: Option<String>,
    pub max_xml_depth: usize,
    pub max_html_depth: usize,
    pub max_json_depth: usize,
    pub jsonl: RecordSettings,
    pub json: RecordSettings,
    pub csv: CsvSettings,
    /// Tokens of overlap between neighbouring chunks of one document.
    pub chunk_overlap_tokens: u32,
    pub isolation: IsolationSettings,
}

/// A list of paths.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ListSettings {
    pub path: String,
    /// Absolute folder that relative paths begin at.
    pub base: String,
    pub separator: Separator,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Separator {
    Newline,
    Nul,
}

/// What one file may cost an extract worker. Not part of any work's identity: a document that stays inside is the same.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IsolationSettings {
    /// Processor seconds of one file; the kernel ends the worker behind them.
    pub cpu_s: u64,
    /// Seconds by the clock of one file; the runner ends the worker behind them.
    pub wall_s: u64,
    /// Seconds until a fresh worker has to be ready.
    pub start_s: u64,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecordSettings {
    /// JSON pointer ("/body/text") or plain key of the text; null = the usual names (text, content, body, document).
    pub text_field: Option<String>,
    /// JSON pointer or key of the record's own id; null = line number.
    pub id_field: Option<String>,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CsvSettings {
    /// row: each row one document; file: the whole file one document.
    pub mode: CsvMode,
    pub text_field: Option<String>,
    pub id_field: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CsvMode {
    Row,
    File,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct JobSettings {
    pub name: String,
    /// minijinja over document, title, path, metadata.*: the user's turn for one chunk.
    pub template: String,
    /// minijinja over parts (list of strings), title, path, metadata.*; null = no reduce step.
    pub reduce_template: Option<String>,
    pub max_tokens: u32,
    /// The N smallest documents run, the rest is
    /// `skipped: job.max_documents`. null = no limit.
    pub max_documents: Option<u64>,
    /// Most chunks of one document that run; the others are counted as not covered and the input says so. null = all.
    pub max_chunks: Option<u32>,
    /// Sampling parameters that count into work_id, as canonical JSON text.
    pub decoding: String,
    /// blake3 hex of the output schema's canonical JSON; null = free text.
    pub schema_hash: Option<String>,
    /// Workers are told where the document stands in each prompt: quotes are looked for there.
    pub evidence: bool,
    pub max_attempts: u32,
    /// Wall time of one lease before the worker counts as hung.
    pub deadline_ms: u64,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    pub tokenizer_path: String,
    pub tokenizer_hash: String,
    /// Weights and precision: counts into work_id.
    pub weights_hash: String,
    /// Hash over the rendered system prompt and chat template: counts into work_id with the job's templates.
    pub prompt_hash: String,
    /// Token ids before and after the document's turn, rendered once by an exec'ed worker.
    pub prefix_ids: Vec<u32>,
    pub suffix_ids: Vec<u32>,
    pub max_model_len: u32,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSettings {
    /// Rows that decode together in one worker.
    pub max_num_seqs: u32,
    /// Most leases one worker holds (2 batches): `credits` of the channel.
    pub credits: u32,
    /// Most prompt tokens that one worker holds at once; null = no bound.
    pub max_num_batched_tokens: Option<u64>,
    pub order: Order,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    Input,
    ShortestFirst,
    LongestFirst,
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelSettings {
    /// Cap of the `ipc` pool: document segments + output arenas + control regions.
    pub ipc_budget_bytes: u64,
    pub segment_bytes: u64,
    /// Output room reserved for one lease.
    pub output_slot_bytes: u32,
    pub ring_entries: u32,
    pub spin_us: u32,
    /// Check a CRC over every payload (on in tests).
    pub checksums: bool,
}
