//! The state of a run as a pure function of its records: inputs and how they ended, results and where they lie, who is suspected.
//!
//! No I/O and no time. `Journal::open` folds the log into it; dispatch goes on applying each record once it is durable. What
//! has ended is kept as rows of a few bytes (`table.rs`), what is open as a whole: texts, reasons and names are read from the
//! journal again when they are asked for.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::attempts::{Attempts, Suspicion};
use super::brief::{InputBrief, ResultBrief};
use super::by_id::{ById, remove_from};
use super::planted::{Bug, planted};
use super::record::{
    Input, InputOutcome, Life, LifeEvent, Part, Record, Reduced, ResultRecord, Setting, Vanished,
    parts_of,
};
use super::table::{Found, Inputs, Row, Works};
use super::verdict::{Blocked, InputStatus};
use crate::document::{Digest, Ordinal};
use crate::request::WorkId;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunState {
    pub run_id: String,
    pub plan_key: Option<Digest>,
    pub boot_id: String,
    pub incarnation: u32,
    /// The last life wrote its `closed` record.
    pub closed: bool,
    /// The machine went down since the life before this one: what was not synced may be gone.
    pub rebooted: bool,
    pub settings: Vec<Setting>,
    inputs: Inputs,
    works: Works,
    open: HashMap<Row, Open>,
    /// Open inputs by the parts that they wait for.
    waiting: ById<Vec<Row>>,
    /// Open inputs whose parts are all there, by the works that could move their reduction on.
    blocked: ById<Vec<Row>>,
    /// Why, for inputs that discovery has not met again.
    vanished: HashMap<Ordinal, String>,
    /// Reduce steps by the first work they join.
    reduced: ById<Vec<Reduced>>,
    /// Where `reused` records lie whose results have not been looked at.
    unresolved: Vec<u64>,
    attempts: Attempts,
    /// Results that came again and were ignored: the first one wins (G3).
    pub duplicates: u64,
}

/// An input without a verdict.
#[derive(Debug, Clone, PartialEq)]
struct Open {
    parts: Vec<WorkId>,
    reduce: bool,
    /// Parts without a result, each once.
    missing: usize,
    blocked_on: Vec<WorkId>,
}

impl RunState {
    /// Folds one durable record in; `offset` is its frame's place in this run's journal.
    pub fn apply(&mut self, record: &Record, offset: u64) {
        match record {
            Record::Life(life) => self.live(life),
            Record::Input(input) => {
                let (parts, reduce) = parts_of(input);
                let end = match &input.outcome {
                    InputOutcome::Rejected { status, .. } => Some((*status).into()),
                    InputOutcome::Pending { .. } => None,
                };
                let parts = parts.iter().map(|part| part.work_id).collect();
                self.add_input(input.ordinal, offset, parts, reduce, end);
            }
            Record::Start(start) => self.start(&start.work_ids),
            Record::Release(release) => self.attempts.release(&release.work_ids, release.charged),
            Record::Result(result) => {
                let found = Found::here(result.status, offset);
                self.add_result(&result.work_id, found, &result.reduced_from);
            }
            Record::Reused(reused) => {
                if !self.is_done(&reused.work_id) {
                    self.unresolved.push(offset);
                }
            }
            Record::Setting(setting) => self.settings.push(setting.clone()),
            Record::Reduced(step) => self.add_step(step.clone()),
            Record::Vanished(vanished) => self.end_vanished(vanished),
        }
    }

    /// As `apply`, from what replay has read of the record. True for a new input: it has the next row.
    pub(super) fn add_brief_input(
        &mut self,
        input: &InputBrief<'_>,
        parts: Vec<WorkId>,
        offset: u64,
    ) -> bool {
        let end = input.rejected.map(InputStatus::from);
        self.add_input(input.ordinal, offset, parts, input.reduce, end)
    }

    pub(super) fn add_brief_result(&mut self, result: &ResultBrief, offset: u64) {
        let found = Found::here(result.status, offset);
        self.add_result(&result.work_id, found, &result.reduced_from);
    }

    /// Ordinals of all inputs in discovery order.
    pub fn inputs(&self) -> impl Iterator<Item = Ordinal> + '_ {
        let rows = self.inputs.in_order().into_iter();
        rows.map(|row| self.inputs.ordinal(row))
    }

    pub fn input_count(&self) -> usize {
        self.inputs.len()
    }

    /// Number of the input in order of arrival, for who keeps a note of each.
    pub fn row(&self, ordinal: Ordinal) -> Option<Row> {
        self.inputs.find(ordinal)
    }

    pub fn ordinal(&self, row: Row) -> Ordinal {
        self.inputs.ordinal(row)
    }

    /// Where the input's record lies.
    pub fn offset(&self, ordinal: Ordinal) -> Option<u64> {
        Some(self.inputs.offset(self.inputs.find(ordinal)?))
    }

    /// How an input ended; None while it has not, or is not known.
    pub fn end(&self, ordinal: Ordinal) -> Option<InputStatus> {
        self.inputs.end(self.inputs.find(ordinal)?)
    }

    /// How the inputs ended, in order of arrival.
    pub fn ends(&self) -> impl Iterator<Item = Option<InputStatus>> + '_ {
        self.inputs.rows().map(|row| self.inputs.end(row))
    }

    pub fn result(&self, work_id: &WorkId) -> Option<Found> {
        self.works.result(self.works.find(work_id)?)
    }

    pub fn result_count(&self) -> usize {
        self.works.results()
    }

    /// Has a result, its own or a resolved one of another run.
    pub fn is_done(&self, work_id: &WorkId) -> bool {
        self.result(work_id).is_some()
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
        let open = self.unfinished();
        open.into_iter()
            .filter_map(|ordinal| self.open.get(&self.inputs.find(ordinal)?))
            .flat_map(|open| &open.parts)
            .filter(|work_id| !self.is_done(work_id) && seen.insert(**work_id))
            .copied()
            .collect()
    }

    /// Inputs that have no verdict yet, in order.
    pub fn unfinished(&self) -> Vec<Ordinal> {
        let rows = self.open.keys();
        let mut open: Vec<Ordinal> = rows.map(|row| self.inputs.ordinal(*row)).collect();
        open.sort_unstable();
        open
    }

    /// The first of the inputs that have this work among their parts: of equal bytes at two paths, the original.
    pub fn first_user(&self, work_id: &WorkId) -> Option<Ordinal> {
        let work = self.works.find(work_id)?;
        let counts = |row| !self.vanished.contains_key(&self.inputs.ordinal(row));
        let user = self.works.first_user(work, &self.inputs, counts)?;
        Some(self.inputs.ordinal(user))
    }

    /// The parts that an input ended with: none for one that was rejected or has vanished.
    pub fn parts<'i>(&self, input: &'i Input) -> &'i [Part] {
        if self.vanished.contains_key(&input.ordinal) {
            return &[];
        }
        parts_of(input).0
    }

    /// Highest number of a file that has an input.
    pub fn last_file(&self) -> Option<u32> {
        let files = self.inputs.rows().map(|row| self.inputs.ordinal(row).file);
        files.max()
    }

    /// Why an input that was logged ended without its parts.
    pub(super) fn why_vanished(&self, ordinal: Ordinal) -> Option<&str> {
        self.vanished.get(&ordinal).map(String::as_str)
    }

    pub(super) fn steps_from(&self, first: &WorkId) -> &[Reduced] {
        self.reduced.get(first).map_or(&[], Vec::as_slice)
    }

    pub(super) fn take_unresolved(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.unresolved)
    }

    /// `offset` is that of the `reused` record.
    pub(super) fn take_over(&mut self, result: &ResultRecord, offset: u64) {
        let found = Found {
            status: result.status,
            offset,
            reused: true,
        };
        self.add_result(&result.work_id, found, &result.reduced_from);
    }

    fn live(&mut self, life: &Life) {
        match life.event {
            LifeEvent::Opened => {
                self.rebooted = self.incarnation > 0 && life.boot_id != self.boot_id;
                if self.incarnation > 0 && !self.closed {
                    self.attempts.died(self.rebooted);
                }
                self.closed = false;
            }
            LifeEvent::Closed => {
                self.attempts.closed();
                self.closed = true;
            }
        }
        self.incarnation = life.incarnation;
        self.boot_id.clone_from(&life.boot_id);
        self.plan_key = Some(life.plan_key);
        self.run_id.clone_from(&life.run_id);
    }

    /// The first record of an input wins. True when it was new.
    fn add_input(
        &mut self,
        ordinal: Ordinal,
        offset: u64,
        parts: Vec<WorkId>,
        reduce: bool,
        end: Option<InputStatus>,
    ) -> bool {
        if self.inputs.find(ordinal).is_some() {
            return false;
        }
        let row = self.inputs.insert(ordinal, offset);
        if let Some(end) = end {
            self.inputs.set_end(row, end);
            return true;
        }
        let mut missing = 0;
        for part in &parts {
            let work = self.works.find_or_insert(part);
            self.works.add_user(work, row, &self.inputs);
            if self.works.result(work).is_none() {
                let waiting = self.waiting.entry(*part).or_default();
                if waiting.last() != Some(&row) {
                    waiting.push(row);
                    missing += 1;
                }
            }
        }
        let open = Open {
            parts,
            reduce,
            missing,
            blocked_on: Vec::new(),
        };
        self.open.insert(row, open);
        if missing == 0 {
            self.settle(row);
        }
        true
    }

    /// All parts of an input are there: it has ended, or a reduce step is missing.
    fn settle(&mut self, row: Row) {
        let Some(open) = self.open.get(&row) else {
            return;
        };
        match self.judge(&open.parts, open.reduce) {
            Ok(verdict) => {
                self.inputs.set_end(row, verdict.status);
                self.open.remove(&row);
            }
            Err(Blocked(works)) => {
                for work_id in &works {
                    self.blocked.entry(*work_id).or_default().push(row);
                }
                if let Some(open) = self.open.get_mut(&row) {
                    open.blocked_on = works;
                }
            }
        }
    }

    /// Something is known of this work: who waited for it looks again.
    fn wake_blocked(&mut self, work_id: &WorkId) {
        let rows = self.blocked.remove(work_id).unwrap_or_default();
        for row in rows {
            let open = self.open.get_mut(&row);
            let blocked_on = open.map(|open| std::mem::take(&mut open.blocked_on));
            for other in blocked_on.unwrap_or_default() {
                remove_from(&mut self.blocked, &other, row);
            }
            self.settle(row);
        }
    }

    /// Also of an input that has got its results meanwhile, as another one's.
    fn end_vanished(&mut self, vanished: &Vanished) {
        let Some(row) = self.inputs.find(vanished.ordinal) else {
            return;
        };
        if let Some(open) = self.open.remove(&row) {
            for part in &open.parts {
                remove_from(&mut self.waiting, part, row);
            }
            for work_id in &open.blocked_on {
                remove_from(&mut self.blocked, work_id, row);
            }
        }
        self.inputs.set_end(row, InputStatus::Failed);
        self.vanished
            .insert(vanished.ordinal, vanished.reason.clone());
    }

    fn add_result(&mut self, work_id: &WorkId, found: Found, from: &[WorkId]) {
        self.attempts.finish(work_id);
        let work = self.works.find_or_insert(work_id);
        if self.works.result(work).is_some() {
            self.duplicates += 1;
            if !planted(Bug::LastResultWins) {
                return;
            }
        }
        self.works.set_result(work, found);
        if !from.is_empty() {
            self.add_step(Reduced {
                work_id: *work_id,
                from: from.to_vec(),
            });
        }
        for row in self.waiting.remove(work_id).unwrap_or_default() {
            let Some(open) = self.open.get_mut(&row) else {
                continue;
            };
            open.missing -= 1;
            if open.missing == 0 {
                self.settle(row);
            }
        }
        self.wake_blocked(work_id);
    }

    fn add_step(&mut self, step: Reduced) {
        let Some(first) = step.from.first().copied() else {
            return;
        };
        let known = self.reduced.entry(first).or_default();
        if !known.contains(&step) {
            known.push(step);
            self.wake_blocked(&first);
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
