//! How an input ended: derived from the results of its parts and of the reduce steps over them.
//!
//! Pure; part of `RunState`. Read by dispatch (is it finished?), publish (what is its line?) and index (may it be reused?).

use serde::Serialize;

use super::record::{InputOutcome, Part, Reduced, ResultStatus};
use super::state::{ResultMeta, RunState};
use crate::document::{Ordinal, RejectedStatus};
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
    pub reason: String,
    pub final_work: Option<WorkId>,
    /// The reduce steps it rests on, level by level, each with what it was built from here.
    pub steps: Vec<Reduced>,
}

impl RunState {
    /// How an input ended, or None while a part or its reduction is missing. A bad part (or reduce step) ends it once all
    /// of its level are there.
    pub fn verdict(&self, ordinal: Ordinal) -> Option<Verdict> {
        let input = self.inputs.get(&ordinal)?;
        let (parts, reduce) = match &input.outcome {
            InputOutcome::Rejected { status, reason } => {
                return Some(Verdict {
                    status: (*status).into(),
                    reason: reason.clone(),
                    final_work: None,
                    steps: Vec::new(),
                });
            }
            InputOutcome::Pending { parts, reduce } => (parts, *reduce),
        };
        let mut level: Vec<WorkId> = parts.iter().map(|part: &Part| part.work_id).collect();
        let mut steps = Vec::new();
        let mut what = "part";
        loop {
            if level.is_empty() {
                return Some(Verdict {
                    status: InputStatus::Failed,
                    reason: "no part of the text reached the model".into(),
                    final_work: None,
                    steps,
                });
            }
            let (status, reason) = self.end_of(&level, what)?;
            if status != InputStatus::Ok || !reduce || level.len() == 1 {
                // A failed validation keeps its text: the only work of a level is the output that is shown, good or bad.
                let final_work = (level.len() == 1).then(|| level[0]);
                return Some(Verdict {
                    status,
                    reason,
                    final_work,
                    steps,
                });
            }
            let next = self.next_level(&level)?;
            level = next.iter().map(|step| step.work_id).collect();
            steps.extend(next);
            what = "reduce step";
        }
    }

    /// The worst status of a level and the first reason for it; None while a result is missing.
    fn end_of(&self, level: &[WorkId], what: &str) -> Option<(InputStatus, String)> {
        let mut worst: Option<(usize, &ResultMeta)> = None;
        for (index, work_id) in level.iter().enumerate() {
            let meta = self.results.get(work_id)?;
            let is_worse = match (worst, meta.status) {
                (_, ResultStatus::Ok) | (Some(_), ResultStatus::Failed) => false,
                (None, _) => true,
                (Some((_, so_far)), ResultStatus::Quarantined) => {
                    so_far.status != ResultStatus::Quarantined
                }
            };
            if is_worse {
                worst = Some((index, meta));
            }
        }
        Some(match worst {
            None => (InputStatus::Ok, String::new()),
            Some((_, meta)) if level.len() == 1 => (meta.status.into(), meta.reason.clone()),
            Some((index, meta)) => (
                meta.status.into(),
                format!("{} ({what} {} of {})", meta.reason, index + 1, level.len()),
            ),
        })
    }

    /// The reduce steps that together cover a level in order; None while one of them is missing. A step joins at least two
    /// works, so each level is at most half as long as the one below.
    fn next_level(&self, level: &[WorkId]) -> Option<Vec<Reduced>> {
        let mut steps = Vec::new();
        let mut rest = level;
        while let Some(first) = rest.first() {
            let candidates = self.reduced.get(first).into_iter().flatten();
            let step = candidates
                .filter(|step| step.from.len() >= 2 && rest.starts_with(&step.from))
                .filter(|step| self.results.contains_key(&step.work_id))
                .max_by_key(|step| step.from.len())?;
            rest = &rest[step.from.len()..];
            steps.push(step.clone());
        }
        Some(steps)
    }
}

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
