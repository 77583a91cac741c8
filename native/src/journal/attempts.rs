//! The attempt rule: which deaths are charged to a document, and how a suspect must run. A pure fold over the log.
//!
//! A worker's death while the runner lived is charged by a `release` record. The runner's own death is charged to nobody:
//! with the same boot id the unfinished starts become suspects that run last; with a new boot id the machine went down
//! under them, so they run alone, one in flight, and a further machine death is charged to a suspect that was alone.
//! Called by `state.rs` only.

use std::collections::{BTreeSet, HashMap};

use super::planted::{Bug, planted};
use crate::request::WorkId;

/// How a piece of work has to be run next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suspicion {
    None,
    /// Was in flight when the runner was killed: after everything that is not suspect.
    Last,
    /// Was in flight when the machine went down or when a worker died: nothing else in flight on the whole machine.
    Alone,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attempts {
    charged: HashMap<WorkId, u32>,
    suspects: HashMap<WorkId, Suspicion>,
    /// Started in this life and neither finished nor released.
    in_flight: BTreeSet<WorkId>,
}

impl Attempts {
    pub fn charged(&self, work_id: &WorkId) -> u32 {
        self.charged.get(work_id).copied().unwrap_or(0)
    }

    /// Charged work runs alone too: in a shared batch its neighbours would be charged for its deaths.
    pub fn suspicion(&self, work_id: &WorkId) -> Suspicion {
        if self.charged(work_id) > 0 {
            return Suspicion::Alone;
        }
        self.suspects
            .get(work_id)
            .copied()
            .unwrap_or(Suspicion::None)
    }

    /// Suspects and charged work, unordered.
    pub fn suspects(&self) -> impl Iterator<Item = (WorkId, Suspicion)> + '_ {
        let uncharged = self
            .suspects
            .iter()
            .filter(|(work_id, _)| self.charged(work_id) == 0)
            .map(|(work_id, suspicion)| (*work_id, *suspicion));
        uncharged.chain(
            self.charged
                .keys()
                .map(|work_id| (*work_id, Suspicion::Alone)),
        )
    }

    pub fn in_flight(&self) -> impl Iterator<Item = &WorkId> {
        self.in_flight.iter()
    }

    pub fn start(&mut self, work_ids: &[WorkId]) {
        self.in_flight.extend(work_ids);
    }

    pub fn release(&mut self, work_ids: &[WorkId], charged: bool) {
        for work_id in work_ids {
            let was_in_flight = self.in_flight.remove(work_id);
            if charged && was_in_flight {
                *self.charged.entry(*work_id).or_insert(0) += 1;
            }
        }
    }

    /// A result is the end of the story: whatever was suspected is forgotten.
    pub fn finish(&mut self, work_id: &WorkId) {
        self.in_flight.remove(work_id);
        self.charged.remove(work_id);
        self.suspects.remove(work_id);
    }

    /// A new life begins on a log whose last life did not close.
    pub fn died(&mut self, machine_went_down: bool) {
        let in_flight = std::mem::take(&mut self.in_flight);
        let alone = in_flight.len() == 1;
        for work_id in in_flight {
            if planted(Bug::ChargeRunnerDeaths) {
                *self.charged.entry(work_id).or_insert(0) += 1;
            }
            if machine_went_down {
                if alone && self.suspicion(&work_id) == Suspicion::Alone {
                    *self.charged.entry(work_id).or_insert(0) += 1;
                }
                self.suspects.insert(work_id, Suspicion::Alone);
            } else {
                self.suspects.entry(work_id).or_insert(Suspicion::Last);
            }
        }
    }

    /// A clean close leaves nothing in flight, whatever the records before it forgot to release.
    pub fn closed(&mut self) {
        self.in_flight.clear();
    }
}
