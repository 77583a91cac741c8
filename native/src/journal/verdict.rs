//! How an input ended, in words of its own: read by dispatch (is it finished?), publish (what is its line?) and index (may it
//! be reused?). What derives it from the records is `judge.rs`.

use serde::Serialize;

use super::record::{Reduced, ResultStatus};
use crate::document::RejectedStatus;
use crate::request::WorkId;

/// How an input ended: exactly one of four (G1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InputStatus {
    Ok,
    Failed,
    Skipped,
    Quarantined,
}

/// The end of one input. `final_work` is the result that is its output, when it is one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub status: InputStatus,
    pub cause: Cause,
    pub final_work: Option<WorkId>,
    /// The reduce steps it rests on, level by level, each with what it was built from here.
    pub steps: Vec<Reduced>,
}

/// Why an input did not end well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    None,
    /// In these words.
    Said(String),
    /// This result's own reason, and where in its level it stands if it is not alone there: what it is, number, of how many.
    Result(WorkId, Option<(&'static str, usize, usize)>),
}

impl Cause {
    /// The reason in words; `of` gives that of a result.
    ///
    /// # Errors
    /// Those of `of`.
    pub fn reason<E>(&self, of: impl FnOnce(&WorkId) -> Result<String, E>) -> Result<String, E> {
        Ok(match self {
            Cause::None => String::new(),
            Cause::Said(reason) => reason.clone(),
            Cause::Result(work_id, None) => of(work_id)?,
            Cause::Result(work_id, Some((what, number, count))) => {
                format!("{} ({what} {number} of {count})", of(work_id)?)
            }
        })
    }
}

/// There is no verdict before more is known of one of these works: steps that begin with it, or its result.
pub(super) struct Blocked(pub(super) Vec<WorkId>);

impl From<RejectedStatus> for InputStatus {
    fn from(status: RejectedStatus) -> InputStatus {
        match status {
            RejectedStatus::Skipped => InputStatus::Skipped,
            RejectedStatus::Failed => InputStatus::Failed,
        }
    }
}

impl From<ResultStatus> for InputStatus {
    fn from(status: ResultStatus) -> InputStatus {
        match status {
            ResultStatus::Ok => InputStatus::Ok,
            ResultStatus::Failed => InputStatus::Failed,
            ResultStatus::Quarantined => InputStatus::Quarantined,
        }
    }
}
