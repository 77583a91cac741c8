//! The leases' half of dispatch: who gets what, what came back, and whom a dead worker is charged to.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::journal::record::{Made, Record, Release, ResultRecord, ResultStatus, Start, Timings};
use crate::request::{Completion, CompletionStatus, FinishReason, WorkId};
use crate::scheduler::{Care, Item, Seat};

use super::{Action, Dispatch, Ledger, Stage, Ticket};

/// What a worker's death cost.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Toll {
    pub requeued: usize,
    pub quarantined: usize,
}

impl Dispatch {
    pub fn worker_ready(&mut self, seat: Seat, incarnation: u32, now_ms: u64) {
        self.incarnations.insert(seat, incarnation);
        self.scheduler.worker_ready(seat, now_ms);
    }

    /// Decides everything that may move now. Called once after a batch of events.
    pub fn pump(&mut self, now_ms: u64) {
        while !self.draining && !self.paused {
            let Some((seat, items)) = self.scheduler.next(now_ms) else {
                return;
            };
            let handles: Vec<u64> = items.iter().map(|item| item.handle).collect();
            let mut work_ids = Vec::with_capacity(handles.len());
            for &handle in &handles {
                if let Some(work) = self.works.get_mut(&handle) {
                    work.stage = Stage::Starting(seat);
                    work_ids.push(work.request.work_id);
                }
            }
            let start = Start {
                work_ids,
                worker: seat,
                worker_incarnation: self.incarnations.get(&seat).copied().unwrap_or(0),
            };
            self.append(
                Record::Start(start),
                Some(Ticket::Started { seat, handles }),
                true,
            );
        }
    }

    /// A record is durable.
    ///
    /// # Errors
    /// `Storage` when an output that a reduce step stands on cannot be read back.
    pub fn acknowledged(&mut self, ticket: Ticket, ledger: &dyn Ledger, now_ms: u64) -> Result<()> {
        debug_assert!(
            self.unacknowledged > 0,
            "an acknowledgement nobody waits for"
        );
        self.unacknowledged -= 1;
        match ticket {
            Ticket::InputLogged(ordinal) => self.count_down(ordinal, 1, ledger, now_ms),
            Ticket::Started { seat, handles } => {
                self.started(seat, handles, now_ms);
                Ok(())
            }
            Ticket::Committed { work_id, handle } => {
                self.committed(work_id, handle, ledger, now_ms)
            }
        }
    }

    /// A worker that died between the mark and its acknowledgement has given these back already.
    fn started(&mut self, seat: Seat, mut handles: Vec<u64>, now_ms: u64) {
        handles.retain(|handle| {
            let work = self.works.get_mut(handle);
            work.is_some_and(|work| {
                let mine = work.stage == Stage::Starting(seat);
                if mine {
                    work.stage = Stage::Leased(seat);
                    work.leased_ms = now_ms;
                }
                mine
            })
        });
        if !handles.is_empty() {
            self.actions.push(Action::Submit { seat, handles });
        }
    }

    fn committed(
        &mut self,
        work_id: WorkId,
        handle: Option<u64>,
        ledger: &dyn Ledger,
        now_ms: u64,
    ) -> Result<()> {
        self.tally.reused += u64::from(self.reusing.remove(&work_id));
        let mut waiting = self.recorded.remove(&work_id).unwrap_or_default();
        if let Some(work) = handle.and_then(|handle| self.works.remove(&handle)) {
            self.handles.remove(&work_id);
            self.tally.prompt_tokens_done += work.request.token_ids.len() as u64;
            self.actions.push(Action::FreeBytes(work.bytes));
            waiting.extend(work.waiting);
        }
        for ordinal in waiting {
            self.count_down(ordinal, 1, ledger, now_ms)?;
        }
        Ok(())
    }

    /// A worker has answered. False when it was not its lease: that worker is to be treated as crashed.
    #[must_use]
    pub fn completed(
        &mut self,
        seat: Seat,
        handle: u64,
        completion: Completion,
        now_ms: u64,
    ) -> bool {
        let Some(work) = self.works.get_mut(&handle) else {
            return false;
        };
        if work.stage != Stage::Leased(seat) {
            return false;
        }
        self.scheduler.returned(seat, handle, now_ms);
        if completion.status == CompletionStatus::Released {
            // With a reason the engine failed around this row: charged, so that no row can come back for ever.
            let charged = !completion.reason.is_empty();
            let reason = if charged {
                completion.reason
            } else {
                "drained".into()
            };
            self.give_back(&[handle], charged, &reason, now_ms);
            return true;
        }
        work.stage = Stage::Committing;
        self.tally.generated_tokens += u64::from(completion.tokens_out);
        self.tally.repairs += u64::from(completion.repairs);
        let status = match completion.status {
            CompletionStatus::Ok => ResultStatus::Ok,
            _ => ResultStatus::Failed,
        };
        let record = ResultRecord {
            work_id: work.request.work_id,
            status,
            output: completion.output,
            reason: completion.reason,
            finish_reason: match completion.finish_reason {
                FinishReason::None => String::new(),
                FinishReason::Stop => "stop".into(),
                FinishReason::Length => "length".into(),
            },
            tokens_in: completion.tokens_in,
            tokens_out: completion.tokens_out,
            repairs: completion.repairs,
            attempts: work.attempts + 1,
            timings: Timings {
                queued_ms: milliseconds(work.leased_ms.saturating_sub(work.queued_ms) * 1_000_000),
                prefill_ms: milliseconds(
                    completion
                        .first_token_ns
                        .saturating_sub(completion.admitted_ns),
                ),
                decode_ms: milliseconds(
                    completion
                        .finished_ns
                        .saturating_sub(completion.first_token_ns),
                ),
            },
            reduced_from: std::mem::take(&mut work.reduced_from),
            made: Some(Made {
                worker: seat,
                ended_unix_ms: self.begun_unix_ms + now_ms,
            }),
        };
        self.commit(handle, record);
        true
    }

    fn commit(&mut self, handle: u64, record: ResultRecord) {
        let work_id = record.work_id;
        self.set_stage(handle, Stage::Committing);
        let ticket = Ticket::Committed {
            work_id,
            handle: Some(handle),
        };
        self.append(Record::Result(record), Some(ticket), false);
    }

    pub(super) fn set_stage(&mut self, handle: u64, stage: Stage) {
        if let Some(work) = self.works.get_mut(&handle) {
            work.stage = stage;
        }
    }

    /// These were staged for the worker and never reached its channel: its death is not theirs.
    pub fn not_sent<'a>(&mut self, seat: Seat, handles: impl IntoIterator<Item = &'a u64>) {
        for &handle in handles {
            self.set_stage(handle, Stage::Starting(seat));
        }
    }

    /// The worker on this seat is dead and reaped, its last completions are in. `charged`: it died of its work, not of us.
    pub fn worker_gone(&mut self, seat: Seat, cause: &str, charged: bool, now_ms: u64) -> Toll {
        self.incarnations.remove(&seat);
        let held = self.scheduler.worker_gone(seat);
        // A request whose start mark had not come back was never in the worker.
        let (leased, starting): (Vec<u64>, Vec<u64>) = held.into_iter().partition(|handle| {
            self.works
                .get(handle)
                .is_some_and(|work| work.stage == Stage::Leased(seat))
        });
        let mut toll = self.give_back(&leased, charged, cause, now_ms);
        let never_sent =
            self.give_back(&starting, false, "worker died before the hand-over", now_ms);
        toll.requeued += never_sent.requeued;
        toll
    }

    /// Leases come back without a result: written down, then queued again or put into quarantine.
    fn give_back(&mut self, handles: &[u64], charged: bool, reason: &str, now_ms: u64) -> Toll {
        let mut toll = Toll::default();
        let work_ids: BTreeMap<u64, WorkId> = handles
            .iter()
            .filter_map(|handle| Some((*handle, self.works.get(handle)?.request.work_id)))
            .collect();
        if work_ids.is_empty() {
            return toll;
        }
        let release = Release {
            work_ids: work_ids.values().copied().collect(),
            charged,
            reason: reason.to_owned(),
        };
        self.append(Record::Release(release), None, false);
        for (&handle, &work_id) in &work_ids {
            let Some(work) = self.works.get_mut(&handle) else {
                continue;
            };
            work.stage = Stage::Queued;
            work.queued_ms = now_ms;
            if charged {
                work.attempts += 1;
                work.care = work.care.max(Care::Isolated);
                self.tally.attempts_charged += 1;
            }
            if charged && work.attempts >= self.max_attempts {
                let attempts = work.attempts;
                let reduced_from = std::mem::take(&mut work.reduced_from);
                let mut record = super::inputs::failed(
                    work_id,
                    format!("{reason} ({attempts} attempts)"),
                    reduced_from,
                );
                record.status = ResultStatus::Quarantined;
                record.attempts = attempts;
                self.commit(handle, record);
                toll.quarantined += 1;
                continue;
            }
            let item = Item {
                handle,
                tokens: u32::try_from(work.request.token_ids.len()).unwrap_or(u32::MAX),
                care: work.care,
            };
            self.scheduler.requeue(item);
            self.tally.requeued += 1;
            toll.requeued += 1;
        }
        toll
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "durations of a run are far below 2^52 ns"
)]
fn milliseconds(ns: u64) -> f64 {
    (ns as f64 / 1_000.0).round() / 1_000.0
}
