//! The state of a run as a pure function of its records: inputs, results, what is outstanding, who is suspected.
//!
//! No I/O and no time. `Journal::open` folds the log into it; dispatch goes on applying each record once it is durable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::attempts::{Attempts, Suspicion};
use super::planted::{Bug, planted};
use super::record::{
    Input, InputOutcome, LifeEvent, Part, Record, ResultRecord, ResultStatus, Reused, Setting,
};
use crate::document::{Digest, Ordinal, RejectedStatus};
use crate::request::WorkId;

/// A durable result without its text: enough to decide, and where to load the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultMeta {
    pub status: ResultStatus,
    pub reason: String,
    /// Run folder (relative to the outputs folder) of reused work; None = this run's journal.
    pub run: Option<Arc<str>>,
    pub offset: u64,
    pub crc: u32,
    pub output_hash: Digest,
    pub tokens_in: u32,
    pub tokens_out: u32,
    pub attempts: u32,
    pub reduced_from: Vec<WorkId>,
}

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
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunState {
    pub run_id: String,
    pub plan_key: Option<Digest>,
    pub boot_id: String,
    pub incarnation: u32,
    /// The last life wrote its `closed` record.
    pub closed: bool,
    pub settings: Vec<Setting>,
    inputs: BTreeMap<Ordinal, Input>,
    results: HashMap<WorkId, ResultMeta>,
    users: HashMap<WorkId, Vec<Ordinal>>,
    /// Reduce results by the first work they were built from.
    reduced: HashMap<WorkId, Vec<WorkId>>,
    reused: HashMap<WorkId, Reused>,
    unresolved: Vec<WorkId>,
    attempts: Attempts,
    /// Results that came again and were ignored: the first one wins (G3).
    pub duplicates: u64,
}

impl RunState {
    /// Folds one durable record in; `offset` and `crc` are its frame's place in this run's journal.
    pub fn apply(&mut self, record: Record, offset: u64, crc: u32) {
        match record {
            Record::Life(life) => {
                match life.event {
                    LifeEvent::Opened => {
                        if self.incarnation > 0 && !self.closed {
                            self.attempts.died(life.boot_id != self.boot_id);
                        }
                        self.closed = false;
                    }
                    LifeEvent::Closed => {
                        self.attempts.closed();
                        self.closed = true;
                    }
                }
                self.incarnation = life.incarnation;
                self.boot_id = life.boot_id;
                self.plan_key = Some(life.plan_key);
                self.run_id = life.run_id;
            }
            Record::Input(input) => self.add_input(input),
            Record::Start(start) => self.start(&start.work_ids),
            Record::Release(release) => self.attempts.release(&release.work_ids, release.charged),
            Record::Result(result) => {
                let meta = ResultMeta::of(&result, None, offset, crc);
                self.add_result(result.work_id, meta);
            }
            Record::Reused(reused) => {
                let work_id = reused.work_id;
                if !self.is_done(&work_id) && self.reused.insert(work_id, reused).is_none() {
                    self.unresolved.push(work_id);
                }
            }
            Record::Setting(setting) => self.settings.push(setting),
        }
    }

    /// Inputs in discovery order.
    pub fn inputs(&self) -> impl Iterator<Item = &Input> {
        self.inputs.values()
    }

    pub fn input(&self, ordinal: Ordinal) -> Option<&Input> {
        self.inputs.get(&ordinal)
    }

    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    pub fn result(&self, work_id: &WorkId) -> Option<&ResultMeta> {
        self.results.get(work_id)
    }

    pub fn results(&self) -> impl Iterator<Item = (&WorkId, &ResultMeta)> {
        self.results.iter()
    }

    pub fn reused(&self) -> impl Iterator<Item = &Reused> {
        self.reused.values()
    }

    /// Has a result, its own or a resolved one of another run.
    pub fn is_done(&self, work_id: &WorkId) -> bool {
        self.results.contains_key(work_id)
    }

    /// Attempts charged so far: worker deaths, and machine deaths while it ran alone.
    pub fn attempts(&self, work_id: &WorkId) -> u32 {
        self.attempts.charged(work_id)
    }

    pub fn suspicion(&self, work_id: &WorkId) -> Suspicion {
        self.attempts.suspicion(work_id)
    }

    /// Unfinished work that must not run in the common crowd, by id.
    pub fn suspects(&self) -> BTreeMap<WorkId, Suspicion> {
        self.attempts
            .suspects()
            .filter(|(work_id, _)| !self.is_done(work_id))
            .collect()
    }

    /// Parts without a result, each once, in input order. Reduce steps are not in it: they follow from the parts.
    pub fn outstanding(&self) -> Vec<WorkId> {
        let mut seen = HashSet::new();
        self.inputs
            .values()
            .flat_map(|input| parts_of(input).0)
            .map(|part| part.work_id)
            .filter(|work_id| !self.is_done(work_id) && seen.insert(*work_id))
            .collect()
    }

    /// Inputs that have no verdict yet, in order.
    pub fn unfinished(&self) -> impl Iterator<Item = &Input> {
        self.inputs
            .values()
            .filter(|input| self.verdict(input.ordinal).is_none())
    }

    /// The inputs that a result of `work_id` may finish: those with it among their parts, or under a reduce step.
    pub fn affected(&self, work_id: &WorkId) -> &[Ordinal] {
        let mut leaf = *work_id;
        // A reduce id hashes its parts' outputs, so a chain can't be longer than the results there are.
        for _ in 0..=self.results.len() {
            if let Some(users) = self.users.get(&leaf) {
                return users;
            }
            match self
                .results
                .get(&leaf)
                .and_then(|meta| meta.reduced_from.first())
            {
                Some(first) => leaf = *first,
                None => break,
            }
        }
        &[]
    }

    /// How an input ended, or None while a part or its reduction is missing. A bad part ends it once all parts are there.
    pub fn verdict(&self, ordinal: Ordinal) -> Option<Verdict> {
        let input = self.inputs.get(&ordinal)?;
        let (parts, reduce) = match &input.outcome {
            InputOutcome::Rejected { status, reason } => {
                let status = match status {
                    RejectedStatus::Skipped => InputStatus::Skipped,
                    RejectedStatus::Failed => InputStatus::Failed,
                };
                return Some(Verdict {
                    status,
                    reason: reason.clone(),
                    final_work: None,
                });
            }
            InputOutcome::Pending { parts, reduce } => (parts, *reduce),
        };
        let mut worst: Option<(usize, &ResultMeta)> = None;
        for (index, part) in parts.iter().enumerate() {
            let meta = self.results.get(&part.work_id)?;
            let worse = match worst {
                None => meta.status != ResultStatus::Ok,
                Some((_, so_far)) => {
                    meta.status == ResultStatus::Quarantined
                        && so_far.status != ResultStatus::Quarantined
                }
            };
            if worse {
                worst = Some((index, meta));
            }
        }
        if let Some((index, meta)) = worst {
            let reason = match parts.len() {
                1 => meta.reason.clone(),
                count => format!("{} (part {} of {count})", meta.reason, index + 1),
            };
            // A failed validation keeps its text: with one part it is the output that is shown.
            let only = (parts.len() == 1).then(|| parts[0].work_id);
            return Some(Verdict {
                status: meta.status.into(),
                reason,
                final_work: only,
            });
        }
        if reduce {
            let last = self.reduction(parts)?;
            let meta = self.results.get(&last)?;
            return Some(Verdict {
                status: meta.status.into(),
                reason: meta.reason.clone(),
                final_work: Some(last),
            });
        }
        if parts.is_empty() {
            return Some(Verdict {
                status: InputStatus::Failed,
                reason: "no part of the text reached the model".into(),
                final_work: None,
            });
        }
        let only = (parts.len() == 1).then(|| parts[0].work_id);
        Some(Verdict {
            status: InputStatus::Ok,
            reason: String::new(),
            final_work: only,
        })
    }

    /// The reduce result that is built from exactly these parts, or the first one on the way there that did not succeed.
    fn reduction(&self, parts: &[Part]) -> Option<WorkId> {
        let leaves: Vec<WorkId> = parts.iter().map(|part| part.work_id).collect();
        let mut open: Vec<WorkId> = leaves.clone();
        let mut seen: HashSet<WorkId> = HashSet::new();
        while let Some(first) = open.pop() {
            for candidate in self.reduced.get(&first).into_iter().flatten() {
                if !seen.insert(*candidate) {
                    continue;
                }
                let built_from = self.leaves_of(candidate, leaves.len());
                let whole = built_from == leaves;
                let failed = self
                    .results
                    .get(candidate)
                    .is_some_and(|meta| meta.status != ResultStatus::Ok);
                let inside = || {
                    !built_from.is_empty()
                        && leaves
                            .windows(built_from.len())
                            .any(|run| run == built_from)
                };
                if whole || (failed && inside()) {
                    return Some(*candidate);
                }
                open.push(*candidate);
            }
        }
        None
    }

    /// The map works under a result, in order; empty when there are more than `most`.
    fn leaves_of(&self, work_id: &WorkId, most: usize) -> Vec<WorkId> {
        let mut leaves = Vec::new();
        let mut open = vec![*work_id];
        while let Some(next) = open.pop() {
            match self.results.get(&next) {
                Some(meta) if !meta.reduced_from.is_empty() => {
                    open.extend(meta.reduced_from.iter().rev());
                }
                _ => leaves.push(next),
            }
            if leaves.len() > most || open.len() > most {
                return Vec::new();
            }
        }
        leaves
    }

    pub(super) fn take_unresolved(&mut self) -> Vec<Reused> {
        let waiting = std::mem::take(&mut self.unresolved);
        let results = &self.results;
        let reused = &mut self.reused;
        waiting
            .into_iter()
            .filter(|work_id| !results.contains_key(work_id))
            .filter_map(|work_id| reused.remove(&work_id))
            .collect()
    }

    pub(super) fn take_over(&mut self, reused: &Reused, result: &ResultRecord) {
        let meta = ResultMeta::of(
            result,
            Some(reused.run.as_str().into()),
            reused.offset,
            reused.crc,
        );
        self.reused.insert(reused.work_id, reused.clone());
        self.add_result(reused.work_id, meta);
    }

    fn add_input(&mut self, input: Input) {
        if self.inputs.contains_key(&input.ordinal) {
            return;
        }
        for part in parts_of(&input).0 {
            let users = self.users.entry(part.work_id).or_default();
            if users.last() != Some(&input.ordinal) {
                users.push(input.ordinal);
            }
        }
        self.inputs.insert(input.ordinal, input);
    }

    fn add_result(&mut self, work_id: WorkId, meta: ResultMeta) {
        self.attempts.finish(&work_id);
        if self.is_done(&work_id) {
            self.duplicates += 1;
            if !planted(Bug::LastResultWins) {
                return;
            }
        }
        if let Some(first) = meta.reduced_from.first() {
            self.reduced.entry(*first).or_default().push(work_id);
        }
        self.results.insert(work_id, meta);
    }

    fn start(&mut self, work_ids: &[WorkId]) {
        let open: Vec<WorkId> = work_ids
            .iter()
            .filter(|work_id| !self.is_done(work_id))
            .copied()
            .collect();
        self.attempts.start(&open);
    }
}

impl ResultMeta {
    fn of(result: &ResultRecord, run: Option<Arc<str>>, offset: u64, crc: u32) -> ResultMeta {
        ResultMeta {
            status: result.status,
            reason: result.reason.clone(),
            run,
            offset,
            crc,
            output_hash: Digest::of(result.output.as_bytes()),
            tokens_in: result.tokens_in,
            tokens_out: result.tokens_out,
            attempts: result.attempts,
            reduced_from: result.reduced_from.clone(),
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

/// The parts of an input and whether they are reduced; none for a rejected one.
pub fn parts_of(input: &Input) -> (&[Part], bool) {
    match &input.outcome {
        InputOutcome::Pending { parts, reduce } => (parts, *reduce),
        InputOutcome::Rejected { .. } => (&[], false),
    }
}
