//! The records of the journal: what each kind says. Bodies are JSON; docs/journal.md is the format's page.
//!
//! Plain data, no I/O. `frame.rs` turns a record into bytes, `state.rs` folds records into the state of a run.

use serde::{Deserialize, Serialize};

use crate::document::{Digest, Ordinal, RejectedStatus, Stamp};
use crate::request::WorkId;

/// One journal record. The result record IS the commit; everything else a run leaves behind is derived.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    Life(Life),
    Input(Input),
    Start(Start),
    Release(Release),
    Result(ResultRecord),
    Reused(Reused),
    Setting(Setting),
    Reduced(Reduced),
    Vanished(Vanished),
}

/// One life of the runner on this folder. `opened` is the first record of a life, `closed` the last of a clean one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    pub event: LifeEvent,
    pub run_id: String,
    /// 1 for the first life, +1 for each resume.
    pub incarnation: u32,
    /// Linux: /proc/sys/kernel/random/boot_id; macOS: kern.bootsessionuuid. A new one means that the machine went down.
    pub boot_id: String,
    pub pid: u32,
    pub unix_ms: u64,
    /// WorkBasis::plan_key of the run's settings: a resume with another key is refused.
    pub plan_key: Digest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LifeEvent {
    Opened,
    Closed,
}

/// One input of the run: (source uri, doc_id). Written once, when it is first seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Input {
    pub ordinal: Ordinal,
    pub source: String,
    /// None when the bytes could not be read.
    pub doc_id: Option<Digest>,
    /// Stamp of the file at reading time; what lets the next run skip reading it.
    pub stamp: Option<Stamp>,
    pub outcome: InputOutcome,
    /// Bytes of extracted text, and how many of them lie in chunks that run (a difference is never silent).
    pub text_bytes: u64,
    pub covered_bytes: u64,
    /// Why this input is processed (again): "new", "document changed", "prompt changed", ...
    pub why: String,
    /// Library and version that read it, where an extract worker did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<String>,
    /// What of it nobody could read: "2 of 30 pages".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// Where and when it was read; none of a rejected one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<ReadTime>,
}

/// The extract thread that read a document, when it had it cut and encoded, and how long both took. For the timeline alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReadTime {
    pub thread: u32,
    pub ended_unix_ms: u64,
    pub extract_ms: f64,
    pub prepare_ms: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum InputOutcome {
    /// Needs these parts; with `reduce`, a final answer is built from them by further requests.
    Pending { parts: Vec<Part>, reduce: bool },
    /// Ends here.
    Rejected {
        status: RejectedStatus,
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub work_id: WorkId,
    /// Byte range of the document's text.
    pub span: [u64; 2],
    /// First and last page, sheet, slide or chapter in it, where the document has such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub places: Option<[String; 2]>,
}

/// Durable BEFORE its batch is dispatched, so that a document that kills the machine is known after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    pub work_ids: Vec<WorkId>,
    pub worker: u32,
    pub worker_incarnation: u32,
}

/// Leases given back without a result. `charged`: the worker died or hung while the runner lived, so the attempt counts
/// (notes: an attempt is charged for a worker's death only, never for the runner's).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub work_ids: Vec<WorkId>,
    pub charged: bool,
    /// "drained", "worker died: signal 11", "deadline 120000 ms", ...
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResultRecord {
    pub work_id: WorkId,
    pub status: ResultStatus,
    /// Text of the model; kept for a failed validation too.
    pub output: String,
    /// Empty when ok.
    pub reason: String,
    /// "stop", "length" or "".
    pub finish_reason: String,
    pub tokens_in: u32,
    pub tokens_out: u32,
    pub repairs: u32,
    pub attempts: u32,
    pub timings: Timings,
    /// For a reduce step: the works whose outputs it was built from, in order. Empty for a map step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reduced_from: Vec<WorkId>,
    /// None where no worker made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
}

/// The worker that made a result, and when its answer came in. For the timeline alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    pub worker: u32,
    pub ended_unix_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultStatus {
    Ok,
    Failed,
    Quarantined,
}

/// Milliseconds: waiting in the runner, then in the worker until the first token, then until the last.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    pub queued_ms: f64,
    pub prefill_ms: f64,
    pub decode_ms: f64,
}

/// Finished work of an earlier run that this run takes over: where its result record lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reused {
    pub work_id: WorkId,
    /// Run folder, relative to the outputs folder.
    pub run: String,
    /// Byte offset and crc32c of the frame in that run's journal.
    pub offset: u64,
    pub crc: u32,
}

/// A reduce step whose result exists already (made for another document with the same partial outputs, or taken over from
/// another run) also joins these works: what `ResultRecord::reduced_from` says for the document it was first made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reduced {
    pub work_id: WorkId,
    pub from: Vec<WorkId>,
}

/// A logged input that a later life has not met again: its file was changed or deleted before it had its answer. It ends as
/// failed with this reason; its parts are asked of nobody on its account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vanished {
    pub ordinal: Ordinal,
    pub reason: String,
}

/// A setting that was applied (or changed) during the run, so that a tuned run can be replayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    pub name: String,
    pub value: serde_json::Value,
    pub detail: String,
}

/// The parts of an input and whether they are reduced; none for a rejected one.
pub fn parts_of(input: &Input) -> (&[Part], bool) {
    match &input.outcome {
        InputOutcome::Pending { parts, reduce } => (parts, *reduce),
        InputOutcome::Rejected { .. } => (&[], false),
    }
}
