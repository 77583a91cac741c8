//! The state of a run as a pure function of its records: inputs, results, what is outstanding, who is suspected.
//!
//! No I/O and no time. `Journal::open` folds the log into it; dispatch goes on applying each record once it is durable.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::attempts::{Attempts, Suspicion};
use super::planted::{Bug, planted};
use super::record::{
    Input, InputOutcome, LifeEvent, Part, Record, Reduced, ResultRecord, ResultStatus, Reused,
    Setting, Vanished,
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

#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunState {
    pub run_id: String,
    pub plan_key: Option<Digest>,
    pub boot_id: String,
    pub incarnation: u32,
    /// The last life wrote its `closed` record.
    pub closed: bool,
    pub settings: Vec<Setting>,
    pub(super) inputs: BTreeMap<Ordinal, Input>,
    pub(super) results: HashMap<WorkId, ResultMeta>,
    users: HashMap<WorkId, Vec<Ordinal>>,
    /// Reduce steps by the first work they join.
    pub(super) reduced: HashMap<WorkId, Vec<Reduced>>,
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
            Record::Reduced(step) => self.add_step(step),
            Record::Vanished(vanished) => self.end_vanished(vanished),
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

    /// The inputs that have this work among their parts: more than one when equal bytes lie at two paths.
    pub fn users(&self, work_id: &WorkId) -> &[Ordinal] {
        self.users.get(work_id).map_or(&[], Vec::as_slice)
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

    fn end_vanished(&mut self, vanished: Vanished) {
        if let Some(input) = self.inputs.get_mut(&vanished.ordinal) {
            for part in parts_of(input).0 {
                if let Some(users) = self.users.get_mut(&part.work_id) {
                    users.retain(|user| *user != vanished.ordinal);
                }
            }
            input.outcome = InputOutcome::Rejected {
                status: RejectedStatus::Failed,
                reason: vanished.reason,
            };
        }
    }

    fn add_result(&mut self, work_id: WorkId, meta: ResultMeta) {
        self.attempts.finish(&work_id);
        if self.is_done(&work_id) {
            self.duplicates += 1;
            if !planted(Bug::LastResultWins) {
                return;
            }
        }
        self.add_step(Reduced {
            work_id,
            from: meta.reduced_from.clone(),
        });
        self.results.insert(work_id, meta);
    }

    fn add_step(&mut self, step: Reduced) {
        let Some(first) = step.from.first() else {
            return;
        };
        let known = self.reduced.entry(*first).or_default();
        if !known.contains(&step) {
            known.push(step);
        }
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

/// The parts of an input and whether they are reduced; none for a rejected one.
pub fn parts_of(input: &Input) -> (&[Part], bool) {
    match &input.outcome {
        InputOutcome::Pending { parts, reduce } => (parts, *reduce),
        InputOutcome::Rejected { .. } => (&[], false),
    }
}
