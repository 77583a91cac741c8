//! Event in, decision by the scheduler, record for the journal, actions out: the one authority on the state of a run.
//!
//! A state machine without threads, files or clock: `core` feeds it events in one line and carries its actions out, in
//! order. The journal is the truth; what is here is what the journal says plus what is under way.

mod earlier;
mod inputs;
mod leases;

#[cfg(test)]
pub mod tests;

use std::collections::{HashMap, HashSet};

pub use self::leases::Toll;
use crate::document::{Digest, Ordinal};
use crate::error::Result;

use crate::journal::InputStatus as InputEnd;
use crate::journal::record::{Record, ResultStatus, Reused};
use crate::prepare::Plan;
use crate::request::{Request, WorkId};
use crate::scheduler::{Care, Scheduler, Seat};
use crate::settings::Settings;
use crate::template::Fields;

/// What dispatch asks of finished work; core answers from the journal and the index.
pub trait Ledger {
    /// Status of a durable result of this run, its own or one taken over.
    fn finished_here(&self, work_id: &WorkId) -> Option<ResultStatus>;
    /// A result of an earlier run that may be taken over.
    ///
    /// # Errors
    /// `Storage` when the index cannot be read.
    fn finished_elsewhere(&self, work_id: &WorkId) -> Result<Option<(Reused, ResultStatus)>>;
    /// Attempts that the journal charges to this work, and how carefully it must be run after the last life.
    fn history(&self, work_id: &WorkId) -> (u32, Care);
    /// Where the input stands in this run, if an earlier life has logged it.
    fn logged_input(&self, source: &str, doc_id: Option<&Digest>) -> Option<Ordinal>;
    /// Why an input that this run has not seen before is processed: "new", "document changed", ...
    ///
    /// # Errors
    /// `Storage` when the index cannot be read.
    fn why(&self, source: &str, doc_id: Option<&Digest>) -> Result<String>;
    /// Text of a durable result, of this run or of the run it was taken over from.
    ///
    /// # Errors
    /// `Storage` when it cannot be read back.
    fn output(&self, work_id: &WorkId) -> Result<String>;
}

/// What an acknowledgement of the journal is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ticket {
    InputLogged(Ordinal),
    Started {
        seat: Seat,
        handles: Vec<u64>,
    },
    Committed {
        work_id: WorkId,
        handle: Option<u64>,
    },
}

/// What core is to do, in this order.
#[derive(Debug, PartialEq)]
pub enum Action {
    Append {
        record: Box<Record>,
        ticket: Option<Ticket>,
        /// A start mark: written and synced at once, not with the next group.
        urgent: bool,
    },
    /// The start mark is durable: hand these to the worker.
    Submit { seat: Seat, handles: Vec<u64> },
    /// All results of this input are durable.
    Finish {
        ordinal: Ordinal,
        end: InputEnd,
        final_work: Option<WorkId>,
    },
    /// Bytes of reduce requests, built from answers and therefore never refused.
    TakeBytes(u64),
    /// Bytes that nothing waits for any more.
    FreeBytes(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Queued,
    /// Its start mark is on the way to the disk.
    Starting(Seat),
    Leased(Seat),
    /// Its result is on the way to the disk.
    Committing,
}

#[derive(Debug)]
struct Work {
    request: Request,
    bytes: u64,
    stage: Stage,
    care: Care,
    attempts: u32,
    queued_ms: u64,
    leased_ms: u64,
    /// Inputs that wait for it: more than one when equal bytes lie at two paths.
    waiting: Vec<Ordinal>,
    reduced_from: Vec<WorkId>,
}

/// An input whose answer is not complete yet.
#[derive(Debug)]
struct Pending {
    /// Of the reduce template, where there is one to be filled.
    reduce: Option<Box<Fields>>,
    /// Works of the current level, in order: the chunks first, then reduce steps.
    level: Vec<WorkId>,
    /// Works of the level without a durable result, plus one for the input's own record.
    missing: usize,
    /// Ends like this whatever the works say: rejected by ingest, its source gone, or known from an earlier run.
    rejected: Option<InputEnd>,
}

/// Numbers for progress; the core copies them into its counters.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub inputs: u64,
    pub ok: u64,
    pub failed: u64,
    pub skipped: u64,
    pub quarantined: u64,
    /// Pieces of work that an earlier run has finished.
    pub reused: u64,
    pub prompt_tokens_known: u64,
    pub prompt_tokens_done: u64,
    pub generated_tokens: u64,
    pub text_bytes: u64,
    pub covered_bytes: u64,
    pub attempts_charged: u64,
    pub requeued: u64,
    pub repairs: u64,
}

pub struct Dispatch {
    plan: Plan,
    max_attempts: u32,
    deadline_ms: u64,
    scheduler: Scheduler,
    works: HashMap<u64, Work>,
    handles: HashMap<WorkId, u64>,
    next_handle: u64,
    pending: HashMap<Ordinal, Pending>,
    /// Results of other runs whose marks are on the way to the disk.
    reusing: HashSet<WorkId>,
    /// Inputs that wait for a result which no worker makes: reused work, a reduce that cannot be built.
    recorded: HashMap<WorkId, Vec<Ordinal>>,
    incarnations: HashMap<Seat, u32>,
    /// Inputs of an earlier life that discovery has not met again yet: closed as failed at its end.
    unmet: HashSet<Ordinal>,
    /// First file number that no earlier life has used.
    free_file: u32,
    discovery_done: bool,
    draining: bool,
    paused: bool,
    /// When the clock of `now_ms` began, for what is shown to people.
    pub begun_unix_ms: u64,
    unacknowledged: usize,
    actions: Vec<Action>,
    pub tally: Tally,
}

impl Dispatch {
    /// `unfinished`: inputs of earlier lives without an answer. `free_file`: first file number that no life has used.
    #[must_use]
    pub fn new(
        plan: Plan,
        settings: &Settings,
        unfinished: Vec<Ordinal>,
        free_file: u32,
    ) -> Dispatch {
        Dispatch {
            plan,
            max_attempts: settings.job.max_attempts.max(1),
            deadline_ms: settings.job.deadline_ms,
            scheduler: Scheduler::new(&settings.schedule),
            works: HashMap::new(),
            handles: HashMap::new(),
            next_handle: 1,
            pending: HashMap::new(),
            reusing: HashSet::new(),
            recorded: HashMap::new(),
            incarnations: HashMap::new(),
            unmet: unfinished.into_iter().collect(),
            free_file,
            discovery_done: false,
            draining: false,
            paused: false,
            begun_unix_ms: 0,
            unacknowledged: 0,
            actions: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// What the events since the last call have decided.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// The request behind a handle that `Action::Submit` named.
    #[must_use]
    pub fn request(&self, handle: u64) -> Option<&Request> {
        self.works.get(&handle).map(|work| &work.request)
    }

    /// No new lease from here on; what is leased comes back as result or release.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// No new lease until it is taken back; workers finish what they have.
    pub fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Everything has an answer and every answer is durable.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.discovery_done && self.pending.is_empty() && self.unacknowledged == 0
    }

    /// While draining: nothing is in a worker or on the way to the disk any more.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.scheduler.leased() == 0 && self.unacknowledged == 0
    }

    /// The number of inputs is final.
    #[must_use]
    pub fn discovery_is_done(&self) -> bool {
        self.discovery_done
    }

    #[must_use]
    pub fn pending_requests(&self) -> usize {
        self.works.len()
    }

    #[must_use]
    pub fn leased(&self) -> usize {
        self.scheduler.leased()
    }

    /// Workers that have shown no result for the deadline: `(seat, a work that it holds, elapsed_ms)`.
    #[must_use]
    pub fn overdue(&self, now_ms: u64) -> Vec<(Seat, WorkId, u64)> {
        let overdue = self.scheduler.overdue(now_ms, self.deadline_ms);
        overdue
            .into_iter()
            .filter_map(|(seat, handle, elapsed)| {
                Some((seat, self.works.get(&handle)?.request.work_id, elapsed))
            })
            .collect()
    }

    /// An input that an earlier life has finished: counted, so that the numbers close.
    pub fn count_finished(&mut self, end: InputEnd) {
        self.tally.inputs += 1;
        self.count_end(end);
    }

    fn count_end(&mut self, end: InputEnd) {
        match end {
            InputEnd::Ok => self.tally.ok += 1,
            InputEnd::Failed => self.tally.failed += 1,
            InputEnd::Skipped => self.tally.skipped += 1,
            InputEnd::Quarantined => self.tally.quarantined += 1,
        }
    }

    fn append(&mut self, record: Record, ticket: Option<Ticket>, urgent: bool) {
        if ticket.is_some() {
            self.unacknowledged += 1;
        }
        self.actions.push(Action::Append {
            record: Box::new(record),
            ticket,
            urgent,
        });
    }
}
