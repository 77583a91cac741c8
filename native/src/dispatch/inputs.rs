//! The inputs' half of dispatch: from a prepared input to its last durable answer, reduce steps included.

use crate::document::{Ordinal, RejectedStatus};
use crate::error::Result;
use crate::journal::record::{
    Input, InputOutcome, Part, Record, Reduced, ResultRecord, ResultStatus, Timings,
};
use crate::prepare::{Planned, Prepared, request_bytes};
use crate::request::{Request, WorkId};
use crate::scheduler::{Care, Item};

use super::{Action, Dispatch, InputEnd, Ledger, Pending, Stage, Ticket, Work};

impl Dispatch {
    /// One input from the extract threads. Bytes of requests that need not run are given back at once.
    ///
    /// # Errors
    /// `Storage` when an output that a reduce step stands on cannot be read back.
    pub fn prepared(
        &mut self,
        mut input: Prepared,
        ledger: &dyn Ledger,
        now_ms: u64,
    ) -> Result<()> {
        let logged = ledger.logged_input(&input.source, input.doc_id.as_ref());
        if let Some(logged) = &logged {
            input.ordinal = *logged;
            if !self.unmet.remove(logged) {
                // Finished in an earlier life, or met twice: nothing to do.
                self.actions.push(Action::FreeBytes(input.bytes()));
                return Ok(());
            }
        } else {
            input.ordinal.file += self.free_file;
        }
        self.tally.inputs += 1;
        self.tally.text_bytes += input.text_bytes;
        self.tally.covered_bytes += input.covered_bytes;
        if logged.is_none() {
            let why = ledger.why(&input.source, input.doc_id.as_ref())?;
            let record = Record::Input(record_of(&input, why));
            self.append(record, Some(Ticket::InputLogged(input.ordinal)), false);
        }
        let own_record = usize::from(logged.is_none());
        match input.work {
            Planned::Rejected { status, .. } => {
                let end = match status {
                    RejectedStatus::Skipped => InputEnd::Skipped,
                    RejectedStatus::Failed => InputEnd::Failed,
                };
                self.pending.insert(input.ordinal, Pending::rejected(end));
                if own_record == 0 {
                    self.close(input.ordinal, end, None);
                }
                Ok(())
            }
            Planned::Requests {
                requests,
                fields,
                reduce,
            } => {
                let level = requests.iter().map(|chunk| chunk.request.work_id).collect();
                self.pending.insert(
                    input.ordinal,
                    Pending {
                        reduce: reduce.then(|| Box::new(fields)),
                        level,
                        missing: requests.len() + own_record,
                        rejected: None,
                    },
                );
                let requests = requests
                    .into_iter()
                    .map(|chunk| (chunk.request, Vec::new()));
                self.add_level(input.ordinal, requests.collect(), ledger, now_ms)
            }
        }
    }

    /// Adds the works of one level: finished ones count at once, the rest is queued.
    fn add_level(
        &mut self,
        ordinal: Ordinal,
        requests: Vec<(Request, Vec<WorkId>)>,
        ledger: &dyn Ledger,
        now_ms: u64,
    ) -> Result<()> {
        let mut done = 0;
        for (request, reduced_from) in requests {
            let work_id = request.work_id;
            let is_done = ledger.finished_here(&work_id).is_some();
            let shared =
                !reduced_from.is_empty() && (is_done || self.handles.contains_key(&work_id));
            if shared {
                self.log_step(ordinal, work_id, reduced_from.clone());
            }
            let bytes = request_bytes(&request);
            self.tally.prompt_tokens_known += request.token_ids.len() as u64;
            if is_done {
                self.tally.prompt_tokens_done += request.token_ids.len() as u64;
                self.actions.push(Action::FreeBytes(bytes));
                done += 1;
            } else if let Some(&handle) = self.handles.get(&work_id) {
                self.actions.push(Action::FreeBytes(bytes));
                if let Some(work) = self.works.get_mut(&handle) {
                    work.waiting.push(ordinal);
                }
            } else if let Some((reused, _)) = ledger.finished_elsewhere(&work_id)? {
                if !reduced_from.is_empty() {
                    self.log_step(ordinal, work_id, reduced_from.clone());
                }
                let handle =
                    self.insert_work(request, reduced_from, ordinal, 0, Care::Normal, now_ms);
                self.set_stage(handle, Stage::Committing);
                self.reusing.insert(work_id);
                let ticket = Ticket::Committed {
                    work_id,
                    handle: Some(handle),
                };
                self.append(Record::Reused(reused), Some(ticket), false);
            } else {
                let (attempts, care) = ledger.history(&work_id);
                let tokens = u32::try_from(request.token_ids.len()).unwrap_or(u32::MAX);
                let handle =
                    self.insert_work(request, reduced_from, ordinal, attempts, care, now_ms);
                self.scheduler.offer(Item {
                    handle,
                    tokens,
                    care,
                });
            }
        }
        self.count_down(ordinal, done, ledger, now_ms)
    }

    /// A reduce step that another document (or run) made also answers this one: the journal has to say so, since the step's
    /// own record names the other one's parts.
    fn log_step(&mut self, ordinal: Ordinal, work_id: WorkId, from: Vec<WorkId>) {
        if let Some(pending) = self.pending.get_mut(&ordinal) {
            pending.missing += 1;
        }
        let record = Record::Reduced(Reduced { work_id, from });
        self.append(record, Some(Ticket::InputLogged(ordinal)), false);
    }

    fn insert_work(
        &mut self,
        request: Request,
        reduced_from: Vec<WorkId>,
        ordinal: Ordinal,
        attempts: u32,
        care: Care,
        now_ms: u64,
    ) -> u64 {
        let handle = self.next_handle;
        self.next_handle += 1;
        self.handles.insert(request.work_id, handle);
        let work = Work {
            bytes: request_bytes(&request),
            request,
            stage: Stage::Queued,
            care,
            attempts,
            queued_ms: now_ms,
            leased_ms: now_ms,
            waiting: vec![ordinal],
            reduced_from,
        };
        self.works.insert(handle, work);
        handle
    }

    /// `done` more of what this input waits for is durable.
    pub(super) fn count_down(
        &mut self,
        ordinal: Ordinal,
        done: usize,
        ledger: &dyn Ledger,
        now_ms: u64,
    ) -> Result<()> {
        let Some(pending) = self.pending.get_mut(&ordinal) else {
            return Ok(());
        };
        pending.missing -= done;
        if pending.missing > 0 {
            return Ok(());
        }
        if let Some(end) = pending.rejected {
            self.close(ordinal, end, None);
            return Ok(());
        }
        self.level_done(ordinal, ledger, now_ms)
    }

    /// Every work of the level is durable: the input is finished, or the next reduce level begins.
    fn level_done(&mut self, ordinal: Ordinal, ledger: &dyn Ledger, now_ms: u64) -> Result<()> {
        let Some(pending) = self.pending.get(&ordinal) else {
            return Ok(());
        };
        let end = end_of(&pending.level, ledger);
        let one = match pending.level[..] {
            [work_id] => Some(work_id),
            _ => None,
        };
        let Some(fields) = pending
            .reduce
            .as_deref()
            .filter(|_| end == InputEnd::Ok && one.is_none())
        else {
            self.close(ordinal, end, one);
            return Ok(());
        };
        let level = pending.level.clone();
        let outputs: Vec<String> = level
            .iter()
            .map(|work_id| ledger.output(work_id))
            .collect::<Result<_>>()?;
        match self.plan.reduce(&outputs, fields) {
            Ok(steps) => {
                let requests: Vec<(Request, Vec<WorkId>)> = steps
                    .into_iter()
                    .map(|step| (step.request, level[step.from].to_vec()))
                    .collect();
                let taken = requests.iter().map(|(request, _)| request_bytes(request));
                self.actions.push(Action::TakeBytes(taken.sum()));
                if let Some(pending) = self.pending.get_mut(&ordinal) {
                    pending.level = requests
                        .iter()
                        .map(|(request, _)| request.work_id)
                        .collect();
                    pending.missing = requests.len();
                }
                self.add_level(ordinal, requests, ledger, now_ms)
            }
            Err(reason) => {
                let work_id = self.plan.failed_reduce_id(&outputs);
                self.record_failed_reduce(ordinal, work_id, reason, level, ledger);
                Ok(())
            }
        }
    }

    /// The parts cannot be joined: said once for all inputs with the same partial answers.
    fn record_failed_reduce(
        &mut self,
        ordinal: Ordinal,
        work_id: WorkId,
        reason: String,
        level: Vec<WorkId>,
        ledger: &dyn Ledger,
    ) {
        let done = ledger.finished_here(&work_id).is_some();
        let waiting = self.recorded.contains_key(&work_id);
        if let Some(pending) = self.pending.get_mut(&ordinal) {
            pending.level = vec![work_id];
            pending.missing = usize::from(!done);
        }
        if !done {
            self.recorded.entry(work_id).or_default().push(ordinal);
        }
        if done || waiting {
            self.log_step(ordinal, work_id, level);
            return;
        }
        let record = failed(work_id, reason, level);
        let ticket = Ticket::Committed {
            work_id,
            handle: None,
        };
        self.append(Record::Result(record), Some(ticket), false);
    }

    pub(super) fn close(&mut self, ordinal: Ordinal, end: InputEnd, final_work: Option<WorkId>) {
        self.pending.remove(&ordinal);
        self.count_end(end);
        self.actions.push(Action::Finish {
            ordinal,
            end,
            final_work,
        });
    }
}

fn end_of(level: &[WorkId], ledger: &dyn Ledger) -> InputEnd {
    let statuses = level
        .iter()
        .filter_map(|work_id| ledger.finished_here(work_id));
    statuses.fold(InputEnd::Ok, |end, status| match (end, status) {
        (InputEnd::Quarantined, _) | (_, ResultStatus::Quarantined) => InputEnd::Quarantined,
        (InputEnd::Failed, _) | (_, ResultStatus::Failed) => InputEnd::Failed,
        (end, ResultStatus::Ok) => end,
    })
}

impl Pending {
    pub(super) fn rejected(end: InputEnd) -> Pending {
        Pending {
            reduce: None,
            level: Vec::new(),
            missing: 1,
            rejected: Some(end),
        }
    }
}

fn record_of(input: &Prepared, why: String) -> Input {
    let outcome = match &input.work {
        Planned::Rejected { status, reason } => InputOutcome::Rejected {
            status: *status,
            reason: reason.clone(),
        },
        Planned::Requests {
            requests, reduce, ..
        } => InputOutcome::Pending {
            parts: requests
                .iter()
                .map(|chunk| Part {
                    work_id: chunk.request.work_id,
                    span: chunk.span,
                    places: chunk.places.clone(),
                })
                .collect(),
            reduce: *reduce,
        },
    };
    Input {
        ordinal: input.ordinal,
        source: input.source.clone(),
        doc_id: input.doc_id,
        stamp: input.stamp,
        outcome,
        text_bytes: input.text_bytes,
        covered_bytes: input.covered_bytes,
        why,
        reader: input.reader.clone(),
        unread: input.unread.clone(),
        read: input.read,
    }
}

pub(super) fn failed(work_id: WorkId, reason: String, reduced_from: Vec<WorkId>) -> ResultRecord {
    ResultRecord {
        work_id,
        status: ResultStatus::Failed,
        output: String::new(),
        reason,
        finish_reason: String::new(),
        tokens_in: 0,
        tokens_out: 0,
        repairs: 0,
        attempts: 0,
        timings: Timings {
            queued_ms: 0.0,
            prefill_ms: 0.0,
            decode_ms: 0.0,
        },
        reduced_from,
        made: None,
    }
}
