//! Decides which request enters which worker next. Pure: time comes in as an argument, nothing is read or written.
//!
//! It holds handles, never text or tokens. `dispatch` owns the requests and carries the decisions out. mlx-lm's
//! BatchGenerator decides in which step a row runs; this decides only which row is in the worker (DESIGN section 3).
//!
//! A request that was in a worker when that worker died is *isolated* from then on: it runs alone in its worker, so that
//! its next death charges nobody else. That is what keeps the neighbours of a poison document out of quarantine.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::settings::{Order, ScheduleSettings};

/// A worker seat: number of the process slot, the same across restarts.
pub type Seat = u32;

/// What the scheduler knows of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    pub handle: u64,
    /// Prompt tokens: the unit of the token budget and of the order.
    pub tokens: u32,
    pub care: Care,
}

/// How carefully a request is run, by what happened to it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Care {
    /// Nothing is known against it.
    Normal,
    /// It was in flight when the runner went down (same boot): last in the queue, not charged.
    Suspect,
    /// A worker died with it: alone in its worker.
    Isolated,
    /// The machine went down with it: the only request in flight at all.
    Solitary,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    tokens: u32,
    care: Care,
    since_ms: u64,
}

#[derive(Debug, Default)]
struct Worker {
    leases: BTreeMap<u64, Lease>,
    /// The deadline of a lease runs from here or from its start, whichever is later: rows of a second batch wait.
    last_progress_ms: u64,
    /// It has given something back. Until then it gets the rows of one batch: more would only wait in the worker that
    /// was ready first, and one that is still loading would find nothing left of a small corpus.
    answered: bool,
}

impl Worker {
    fn room(&self, credits: usize, rows: usize) -> usize {
        let most = if self.answered {
            credits
        } else {
            credits.min(rows)
        };
        most.saturating_sub(self.leases.len())
    }

    fn tokens(&self) -> u64 {
        self.leases
            .values()
            .map(|lease| u64::from(lease.tokens))
            .sum()
    }
}

/// Key of the queue: care first, then the order's rank, then arrival; `requeued` keeps its first arrival number.
type Key = (Care, Reverse<u32>, u32, u64);

#[derive(Debug)]
pub struct Scheduler {
    credits: usize,
    rows: usize,
    max_batched_tokens: Option<u64>,
    order: Order,
    queue: BTreeMap<Key, Item>,
    arrival: u64,
    workers: BTreeMap<Seat, Worker>,
}

impl Scheduler {
    #[must_use]
    pub fn new(settings: &ScheduleSettings) -> Scheduler {
        Scheduler {
            credits: settings.credits.max(1) as usize,
            rows: settings.max_num_seqs.max(1) as usize,
            max_batched_tokens: settings.max_num_batched_tokens,
            order: settings.order,
            queue: BTreeMap::new(),
            arrival: 0,
            workers: BTreeMap::new(),
        }
    }

    /// Puts a request into the queue.
    pub fn offer(&mut self, item: Item) {
        self.arrival += 1;
        let arrival = self.arrival;
        self.insert(item, arrival);
    }

    /// Puts a request back before everything of its care and order: it has waited already.
    pub fn requeue(&mut self, item: Item) {
        self.insert(item, 0);
    }

    fn insert(&mut self, item: Item, arrival: u64) {
        let (longest, shortest) = match self.order {
            Order::Input => (Reverse(0), 0),
            Order::ShortestFirst => (Reverse(0), item.tokens),
            Order::LongestFirst => (Reverse(item.tokens), 0),
        };
        // Two requeued items share arrival 0, so the handle breaks the tie through the token rank's neighbour.
        let mut key = (item.care, longest, shortest, arrival << 24);
        while self.queue.contains_key(&key) {
            key.3 += 1;
        }
        self.queue.insert(key, item);
    }

    /// A worker is up and takes leases.
    pub fn worker_ready(&mut self, seat: Seat, now_ms: u64) {
        let worker = self.workers.entry(seat).or_default();
        debug_assert!(worker.leases.is_empty(), "a fresh worker holds no lease");
        worker.last_progress_ms = now_ms;
    }

    /// A worker is gone; what it held comes back to the caller, who decides on charge and care.
    pub fn worker_gone(&mut self, seat: Seat) -> Vec<u64> {
        let worker = self.workers.remove(&seat);
        worker
            .map(|worker| worker.leases.into_keys().collect())
            .unwrap_or_default()
    }

    /// The next decision: these requests go to this worker. None when nothing may move.
    pub fn next(&mut self, now_ms: u64) -> Option<(Seat, Vec<Item>)> {
        let seats = self.seats_by_room();
        for seat in seats {
            let batch = self.fill(seat, now_ms);
            if !batch.is_empty() {
                return Some((seat, batch));
            }
        }
        None
    }

    /// Seats with room, the emptiest first, so that a few long documents spread over the workers.
    fn seats_by_room(&self) -> Vec<Seat> {
        let mut seats: BTreeSet<(u64, usize, Seat)> = BTreeSet::new();
        for (&seat, worker) in &self.workers {
            if worker.room(self.credits, self.rows) > 0 {
                seats.insert((worker.tokens(), worker.leases.len(), seat));
            }
        }
        seats.into_iter().map(|(_, _, seat)| seat).collect()
    }

    fn fill(&mut self, seat: Seat, now_ms: u64) -> Vec<Item> {
        let others_busy = self
            .workers
            .iter()
            .any(|(&other, worker)| other != seat && !worker.leases.is_empty());
        let solitary_running = self
            .workers
            .values()
            .flat_map(|worker| worker.leases.values())
            .any(|lease| lease.care == Care::Solitary);
        let Some(worker) = self.workers.get_mut(&seat) else {
            return Vec::new();
        };
        let mut batch = Vec::new();
        // At most half of the credits a call: the emptiest worker is chosen again for the rest.
        let most = self.credits.div_ceil(2);
        while batch.len() < most && worker.room(self.credits, self.rows) > 0 && !solitary_running {
            let Some((&key, &item)) = self.queue.first_key_value() else {
                break;
            };
            let alone = worker.leases.is_empty();
            let isolated_here = worker
                .leases
                .values()
                .any(|lease| lease.care >= Care::Isolated);
            let fits = match self.max_batched_tokens {
                Some(most) => alone || worker.tokens() + u64::from(item.tokens) <= most,
                None => true,
            };
            let may = match item.care {
                Care::Normal | Care::Suspect => !isolated_here && fits,
                Care::Isolated => alone,
                Care::Solitary => alone && !others_busy,
            };
            if !may {
                break;
            }
            self.queue.remove(&key);
            let lease = Lease {
                tokens: item.tokens,
                care: item.care,
                since_ms: now_ms,
            };
            worker.leases.insert(item.handle, lease);
            batch.push(item);
        }
        batch
    }

    /// A lease ended (result, release): its credit is free.
    pub fn returned(&mut self, seat: Seat, handle: u64, now_ms: u64) {
        if let Some(worker) = self.workers.get_mut(&seat) {
            worker.leases.remove(&handle);
            worker.last_progress_ms = now_ms;
            worker.answered = true;
        }
    }

    /// Leases whose worker has shown no result for `deadline_ms`, one a worker: that worker counts as hung.
    #[must_use]
    pub fn overdue(&self, now_ms: u64, deadline_ms: u64) -> Vec<(Seat, u64, u64)> {
        let mut overdue = Vec::new();
        for (&seat, worker) in &self.workers {
            let oldest = worker.leases.iter().min_by_key(|(_, lease)| lease.since_ms);
            if let Some((&handle, lease)) = oldest {
                let since = lease.since_ms.max(worker.last_progress_ms);
                let elapsed = now_ms.saturating_sub(since);
                if elapsed > deadline_ms {
                    overdue.push((seat, handle, elapsed));
                }
            }
        }
        overdue
    }

    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    #[must_use]
    pub fn leased(&self) -> usize {
        self.workers
            .values()
            .map(|worker| worker.leases.len())
            .sum()
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
