//! What replay reads of a record: enough for the fold. Texts, names and numbers stay in the file until they are asked for.
//!
//! Pure. A body is checked for what is read here; what else it holds is looked at when the record itself is loaded.

use std::borrow::Cow;

use serde::Deserialize;

use super::frame::{self, Frame};
use super::record::{Record, ResultStatus};
use crate::document::{Digest, Ordinal, RejectedStatus};
use crate::request::WorkId;

pub enum Brief<'a> {
    Input(InputBrief<'a>),
    Result(ResultBrief),
    Other(Record),
}

pub struct InputBrief<'a> {
    pub ordinal: Ordinal,
    pub source: Cow<'a, str>,
    pub doc_id: Option<Digest>,
    pub parts: Vec<WorkId>,
    pub reduce: bool,
    /// It ended where it stands.
    pub rejected: Option<RejectedStatus>,
}

#[derive(Deserialize)]
pub struct ResultBrief {
    pub work_id: WorkId,
    pub status: ResultStatus,
    #[serde(default)]
    pub reduced_from: Vec<WorkId>,
}

#[derive(Deserialize)]
struct Input<'a> {
    ordinal: Ordinal,
    #[serde(borrow)]
    source: Cow<'a, str>,
    doc_id: Option<Digest>,
    outcome: Outcome,
}

/// `InputOutcome` without the buffering that a tagged enum costs.
#[derive(Deserialize)]
struct Outcome {
    state: State,
    parts: Option<Vec<Part>>,
    reduce: Option<bool>,
    status: Option<RejectedStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Pending,
    Rejected,
}

#[derive(Deserialize)]
struct Part {
    work_id: WorkId,
}

/// As `frame::decode`, for the fold alone.
pub fn decode<'a>(frame: &Frame<'a>) -> Result<Brief<'a>, String> {
    frame::check_version(frame)?;
    let wrong = |error| frame::wrong_body(frame.kind, &error);
    match frame.kind {
        frame::INPUT => {
            let input: Input<'a> = serde_json::from_slice(frame.body).map_err(wrong)?;
            let lacks = |field| format!("body of record kind {}: no {field}", frame.kind);
            let Outcome {
                state,
                parts,
                reduce,
                status,
            } = input.outcome;
            let (parts, reduce, rejected) = match state {
                State::Pending => {
                    let parts = parts.ok_or_else(|| lacks("parts"))?;
                    let parts = parts.into_iter().map(|part| part.work_id).collect();
                    (parts, reduce.ok_or_else(|| lacks("reduce"))?, None)
                }
                State::Rejected => {
                    let status = status.ok_or_else(|| lacks("status"))?;
                    (Vec::new(), false, Some(status))
                }
            };
            Ok(Brief::Input(InputBrief {
                ordinal: input.ordinal,
                source: input.source,
                doc_id: input.doc_id,
                parts,
                reduce,
                rejected,
            }))
        }
        frame::RESULT => {
            let result = serde_json::from_slice(frame.body).map_err(wrong)?;
            Ok(Brief::Result(result))
        }
        _ => frame::decode(frame).map(Brief::Other),
    }
}
