//! The dispatcher's workers: a channel for each, what they have answered, what is handed to them, and their burial.

use std::collections::VecDeque;

use crate::channel::port::{ChildEnds, RunnerPort, Submit};
use crate::dispatch::Toll;
use crate::document::Circumstance;
use crate::error::{Error, Result};
use crate::request::{Completion, CompletionStatus, FinishReason};
use crate::scheduler::Seat;

use super::{Dispatcher, Notice, Worker};

impl Dispatcher {
    pub(super) fn attach(&mut self, seat: Seat) -> Result<(u32, ChildEnds)> {
        if self.workers.contains_key(&seat) {
            return Err(Error::Channel(format!("worker {seat} is attached already")));
        }
        let credits = self.settings.schedule.credits;
        let (port, ends) = RunnerPort::open(&self.settings.channel, credits, &mut self.arena)?;
        let incarnation = self.incarnations.entry(seat).or_insert(0);
        *incarnation += 1;
        let worker = Worker {
            port,
            incarnation: *incarnation,
            staged: VecDeque::new(),
            given_up: false,
            broken: false,
        };
        if self.draining {
            worker.port.request_drain();
        }
        self.workers.insert(seat, worker);
        Ok((*incarnation, ends))
    }

    /// Takes what the workers have published.
    pub(super) fn collect(&mut self, now: u64) {
        let seats: Vec<Seat> = self.workers.keys().copied().collect();
        for seat in seats {
            self.collect_from(seat, now);
        }
    }

    fn collect_from(&mut self, seat: Seat, now: u64) {
        let Some(worker) = self.workers.get_mut(&seat) else {
            return;
        };
        if worker.broken {
            return;
        }
        let mut completions = Vec::new();
        let drained = worker.port.drain(&mut self.arena, &mut completions);
        let mut problem = drained.err().map(|error| error.to_string());
        for (handle, completion) in completions {
            if !self.dispatch.completed(seat, handle, completion, now) {
                problem = Some(format!(
                    "it answered request {handle}, which it does not hold"
                ));
            }
        }
        if let Some(problem) = problem {
            if let Some(worker) = self.workers.get_mut(&seat) {
                worker.given_up = true;
                worker.broken = true;
            }
            self.tell(Notice::ChannelBroken { seat, problem });
        }
    }

    /// The worker is reaped: its last completions, then its leases.
    pub(super) fn bury(&mut self, seat: Seat, cause: &str, charged: bool, now: u64) -> Toll {
        self.collect_from(seat, now);
        if let Some(worker) = self.workers.remove(&seat) {
            self.dispatch.not_sent(seat, &worker.staged);
            worker.port.close(&mut self.arena);
        }
        self.dispatch.worker_gone(seat, cause, charged, now)
    }

    /// Puts what is staged into the channels, as far as rings and memory have room; the rest waits for completions.
    /// True when a request was refused: dispatch has decided something since.
    pub(super) fn submit_staged(&mut self) -> bool {
        let now = self.now_ms();
        let mut refused = Vec::new();
        for (&seat, worker) in &mut self.workers {
            if worker.staged.is_empty() || worker.given_up {
                continue;
            }
            let requests = worker.staged.iter().filter_map(|&handle| {
                let request = self.dispatch.request(handle)?;
                Some(Submit {
                    handle,
                    token_ids: &request.token_ids,
                    max_tokens: request.max_tokens,
                    source: request.source,
                })
            });
            let leases: Vec<Submit<'_>> = requests.collect();
            match worker.port.submit(&mut self.arena, &leases) {
                Ok(accepted) => drop(worker.staged.drain(..accepted)),
                // No room although nothing is out: the first request can never be handed over, and it alone is at fault.
                Err(Error::Config { problem, .. }) => {
                    let first = worker.staged.pop_front();
                    refused.extend(first.map(|handle| (seat, handle, problem)));
                }
                Err(error) => {
                    worker.given_up = true;
                    let problem = error.to_string();
                    let _gone = self.notices.send(Notice::ChannelBroken { seat, problem });
                }
            }
        }
        let any = !refused.is_empty();
        for (seat, handle, problem) in refused {
            let refused = failed(Circumstance::Memory.reason(problem));
            let held = self.dispatch.completed(seat, handle, refused, now);
            debug_assert!(held, "a staged request is leased to its worker");
        }
        any
    }
}

fn failed(reason: String) -> Completion {
    Completion {
        status: CompletionStatus::Failed,
        output: String::new(),
        reason,
        finish_reason: FinishReason::None,
        tokens_in: 0,
        tokens_out: 0,
        repairs: 0,
        admitted_ns: 0,
        first_token_ns: 0,
        finished_ns: 0,
    }
}
