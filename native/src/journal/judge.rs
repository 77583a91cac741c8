//! The verdict on an input, derived from the results of its parts and of the reduce steps over them.
//!
//! Pure; part of `RunState`, which asks again whenever something that an input waits for is there.

use super::record::{Input, InputOutcome, Reduced, ResultStatus};
use super::state::RunState;
use super::verdict::{Blocked, Cause, InputStatus, Verdict};
use crate::request::WorkId;

impl RunState {
    /// How an input ended, or None while a part or its reduction is missing. A bad part (or reduce step) ends it once all
    /// of its level are there. `input` is its record.
    pub fn verdict(&self, input: &Input) -> Option<Verdict> {
        let said = |status, reason: &str| {
            Some(Verdict {
                status,
                cause: Cause::Said(reason.to_owned()),
                final_work: None,
                steps: Vec::new(),
            })
        };
        if let Some(reason) = self.why_vanished(input.ordinal) {
            return said(InputStatus::Failed, reason);
        }
        match &input.outcome {
            InputOutcome::Rejected { status, reason } => said((*status).into(), reason),
            InputOutcome::Pending { parts, reduce } => {
                let parts: Vec<WorkId> = parts.iter().map(|part| part.work_id).collect();
                self.judge(&parts, *reduce).ok()
            }
        }
    }

    pub(super) fn judge(&self, parts: &[WorkId], reduce: bool) -> Result<Verdict, Blocked> {
        let mut level = parts.to_vec();
        let mut steps = Vec::new();
        let mut asked = Vec::new();
        let mut what = "part";
        loop {
            if level.is_empty() {
                return Ok(Verdict {
                    status: InputStatus::Failed,
                    cause: Cause::Said("no part of the text reached the model".into()),
                    final_work: None,
                    steps,
                });
            }
            let (status, cause) = self.end_of(&level, what)?;
            if status != InputStatus::Ok || !reduce || level.len() == 1 {
                // A failed validation keeps its text: the only work of a level is the output that is shown, good or bad.
                let final_work = (level.len() == 1).then(|| level[0]);
                return Ok(Verdict {
                    status,
                    cause,
                    final_work,
                    steps,
                });
            }
            let Some(next) = self.next_level(&level, &mut asked) else {
                return Err(Blocked(asked));
            };
            level = next.iter().map(|step| step.work_id).collect();
            steps.extend(next);
            what = "reduce step";
        }
    }

    /// The worst status of a level and what is to blame for it first.
    fn end_of(
        &self,
        level: &[WorkId],
        what: &'static str,
    ) -> Result<(InputStatus, Cause), Blocked> {
        let mut worst: Option<(usize, ResultStatus)> = None;
        for (index, work_id) in level.iter().enumerate() {
            let Some(found) = self.result(work_id) else {
                return Err(Blocked(vec![*work_id]));
            };
            let is_worse = match (worst, found.status) {
                (_, ResultStatus::Ok) | (Some(_), ResultStatus::Failed) => false,
                (None, _) => true,
                (Some((_, so_far)), ResultStatus::Quarantined) => {
                    so_far != ResultStatus::Quarantined
                }
            };
            if is_worse {
                worst = Some((index, found.status));
            }
        }
        let Some((index, status)) = worst else {
            return Ok((InputStatus::Ok, Cause::None));
        };
        let place = (level.len() > 1).then_some((what, index + 1, level.len()));
        Ok((status.into(), Cause::Result(level[index], place)))
    }

    /// The reduce steps that together cover a level in order; None while one of them is missing. A step joins at least two
    /// works, so each level is at most half as long as the one below. `asked`: every work that another answer could come from,
    /// also where a shorter step was there already.
    fn next_level(&self, level: &[WorkId], asked: &mut Vec<WorkId>) -> Option<Vec<Reduced>> {
        let mut steps = Vec::new();
        let mut rest = level;
        while let Some(first) = rest.first() {
            let fitting = self.steps_from(first).iter();
            let fitting =
                fitting.filter(|step| step.from.len() >= 2 && rest.starts_with(&step.from));
            let (made, to_come): (Vec<&Reduced>, Vec<&Reduced>) =
                fitting.partition(|step| self.is_done(&step.work_id));
            asked.push(*first);
            asked.extend(to_come.iter().map(|step| step.work_id));
            let step = made.into_iter().max_by_key(|step| step.from.len())?;
            rest = &rest[step.from.len()..];
            steps.push(step.clone());
        }
        Some(steps)
    }
}
