//! The dispatcher thread: one order of events, one writer of state. Letters, acknowledgements and completions go into
//! `Dispatch`; its actions go to the journal and to the workers' channels. Then it sleeps in poll(2) until something rings.

mod counting;
mod workers;

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use crate::channel::arena::DocumentArena;
use crate::channel::poll;
use crate::channel::port::RunnerPort;
use crate::counters::Counters;
use crate::dispatch::{Action, Dispatch, Toll};
use crate::error::{Error, Result};
use crate::journal::record::{Record, Setting};
use crate::pools::Pool;
use crate::prepare::Plan;
use crate::publish::Counts;
use crate::scheduler::Seat;
use crate::settings::Settings;

use super::books::Books;
use super::feed::unix_ms;
use super::mailbox::{Command, Mailbox};

/// Longest sleep: deadlines are looked at this often.
const TICK: Duration = Duration::from_millis(100);
/// Letters handled before the workers are looked at again.
const LETTERS_A_TURN: usize = 64;

/// What the supervisor has to know.
#[derive(Debug)]
pub enum Notice {
    /// This worker has shown no result for the deadline: stop it.
    Deadline {
        seat: Seat,
        work_id: String,
        elapsed_ms: u64,
    },
    /// Every input has an answer and every answer is durable.
    Finished,
    /// Nothing is in a worker any more, after `drain`.
    Drained,
    /// This worker's channel holds what no healthy worker writes: treat it as crashed.
    ChannelBroken { seat: Seat, problem: String },
    /// An extract thread needs a process on this seat: start one with the descriptors of `attach_converter`.
    ConverterWanted { seat: u32 },
    /// The extract worker on this seat is too slow, or sends what cannot be true: end it.
    ConverterGivenUp { seat: u32 },
    /// The run cannot go on.
    Stopped(Error),
}

struct Worker {
    port: RunnerPort,
    incarnation: u32,
    /// Started (their mark is durable) and not yet in the channel: no ring or arena room.
    staged: VecDeque<u64>,
    /// The supervisor is stopping it, or it is dying: nothing is handed to it and nothing is told twice.
    given_up: bool,
    /// What it writes cannot be believed: it is not read any more either.
    broken: bool,
}

pub struct Dispatcher {
    settings: Arc<Settings>,
    dispatch: Dispatch,
    books: Books,
    mailbox: Mailbox,
    notices: Sender<Notice>,
    counters: Arc<Counters>,
    pool: Arc<Pool>,
    arena: DocumentArena,
    workers: BTreeMap<Seat, Worker>,
    incarnations: BTreeMap<Seat, u32>,
    begun: Instant,
    draining: bool,
    stopping: bool,
    /// `Finished` or `Drained` has been told.
    told_end: bool,
    failed: bool,
}

impl Dispatcher {
    /// # Errors
    /// `Channel` or `Storage` when the document memory cannot be made.
    pub fn new(
        settings: Arc<Settings>,
        plan: Plan,
        books: Books,
        mailbox: Mailbox,
        notices: Sender<Notice>,
        counters: Arc<Counters>,
        pool: Arc<Pool>,
    ) -> Result<Dispatcher> {
        let (unfinished, free_file) = books.unfinished();
        let mut dispatch = Dispatch::new(plan, &settings, unfinished, free_file);
        books
            .finished()
            .for_each(|status| dispatch.count_finished(status));
        dispatch.begun_unix_ms = unix_ms();
        Ok(Dispatcher {
            arena: DocumentArena::new(&settings.channel)?,
            dispatch,
            settings,
            books,
            mailbox,
            notices,
            counters,
            pool,
            workers: BTreeMap::new(),
            incarnations: BTreeMap::new(),
            begun: Instant::now(),
            draining: false,
            stopping: false,
            told_end: false,
            failed: false,
        })
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn tell(&self, notice: Notice) {
        // The supervisor has gone: then nobody wants to know, and Stop is on its way.
        let _nobody_listens = self.notices.send(notice);
    }

    /// Runs until `Stop`. After a storage error it only answers letters, so that nobody waits for ever.
    pub fn run(mut self) -> Dispatcher {
        while !self.stopping {
            let turn = if self.failed {
                self.refuse();
                Ok(())
            } else {
                self.turn()
            };
            if let Err(error) = turn {
                self.failed = true;
                self.pool.close();
                self.tell(Notice::Stopped(error));
            }
            self.publish_counters();
            if !self.stopping {
                self.sleep();
            }
        }
        self
    }

    /// Closes the books; the results get their final order when every input has ended.
    ///
    /// # Errors
    /// `Storage` of anything that did not become durable.
    pub fn close(self, unix_ms: u64) -> Result<Option<Counts>> {
        let finished = self.dispatch.is_finished() && !self.failed;
        let index_path = self.settings.index_path.clone();
        self.books.close(finished, Path::new(&index_path), unix_ms)
    }

    fn turn(&mut self) -> Result<()> {
        let now = self.now_ms();
        if !self.mailbox.letters.is_empty() {
            self.books.asked()?;
            for letter in self.mailbox.letters.clone().try_iter().take(LETTERS_A_TURN) {
                self.letter(letter, now)?;
            }
            self.books.answered()?;
        }
        self.collect(now);
        for ticket in self.books.acknowledged()? {
            self.dispatch.acknowledged(ticket, &self.books, now)?;
        }
        self.dispatch.pump(now);
        self.act()?;
        if self.submit_staged() {
            self.act()?;
        }
        self.books.flush()?;
        self.watch(now);
        Ok(())
    }

    /// After a storage error: no event is taken, every question is answered.
    fn refuse(&mut self) {
        for letter in self.mailbox.letters.clone().try_iter() {
            match letter {
                Command::Stop => self.stopping = true,
                Command::Died { seat, reply, .. } => {
                    if let Some(worker) = self.workers.remove(&seat) {
                        worker.port.close(&mut self.arena);
                    }
                    let _gone = reply.send(Toll::default());
                }
                Command::Attach { reply, .. } => {
                    let _gone = reply.send(Err(Error::Channel("the run has stopped".into())));
                }
                _ => {}
            }
        }
    }

    fn letter(&mut self, letter: Command, now: u64) -> Result<()> {
        match letter {
            Command::Prepared(input) => self.dispatch.prepared(*input, &self.books, now),
            Command::Known(inputs) => {
                let mut inputs = inputs.into_iter();
                inputs.try_for_each(|known| self.dispatch.known(known, &self.books, now))
            }
            Command::DiscoveryDone => {
                self.dispatch.discovery_done();
                Ok(())
            }
            Command::FeedFailed(error) => Err(error),
            Command::Attach { seat, reply } => {
                let _gone = reply.send(self.attach(seat));
                Ok(())
            }
            Command::Ready { seat } => {
                if let Some(worker) = self.workers.get(&seat) {
                    self.dispatch.worker_ready(seat, worker.incarnation, now);
                }
                Ok(())
            }
            Command::Died {
                seat,
                cause,
                charged,
                reply,
            } => {
                let toll = self.bury(seat, &cause, charged, now);
                let _gone = reply.send(toll);
                Ok(())
            }
            Command::Setting {
                name,
                value,
                detail,
            } => {
                let setting = Setting {
                    name,
                    value,
                    detail,
                };
                self.books.append(Record::Setting(setting), None, false)
            }
            Command::Pause(paused) => {
                self.dispatch.pause(paused);
                Ok(())
            }
            Command::Drain => {
                self.draining = true;
                self.dispatch.drain();
                self.workers
                    .values()
                    .for_each(|worker| worker.port.request_drain());
                Ok(())
            }
            Command::Stop => {
                self.stopping = true;
                Ok(())
            }
        }
    }

    fn act(&mut self) -> Result<()> {
        for action in self.dispatch.take_actions() {
            match action {
                Action::Append {
                    record,
                    ticket,
                    urgent,
                } => self.books.append(*record, ticket, urgent)?,
                Action::Submit { seat, handles } => {
                    if let Some(worker) = self.workers.get_mut(&seat) {
                        worker.staged.extend(handles);
                    }
                }
                Action::Finish { ordinal, .. } => self.books.publish(ordinal)?,
                Action::TakeBytes(bytes) => self.pool.take_requests(bytes),
                Action::FreeBytes(bytes) => self.pool.release_requests(bytes),
            }
        }
        Ok(())
    }

    fn watch(&mut self, now: u64) {
        for (seat, work_id, elapsed_ms) in self.dispatch.overdue(now) {
            let worker = self.workers.get_mut(&seat);
            if let Some(worker) = worker.filter(|worker| !worker.given_up) {
                worker.given_up = true;
                self.tell(Notice::Deadline {
                    seat,
                    work_id: work_id.to_hex(),
                    elapsed_ms,
                });
            }
        }
        let durable = self.books.all_durable();
        if self.told_end || !durable {
            return;
        }
        if self.dispatch.is_finished() {
            self.told_end = true;
            self.tell(Notice::Finished);
        } else if self.draining && self.dispatch.is_drained() {
            self.told_end = true;
            self.tell(Notice::Drained);
        }
    }

    /// Looks for a letter or a completion for at most `channel.spin_us`. True: there is one.
    fn spin(&mut self) -> bool {
        let begun = Instant::now();
        let most = Duration::from_micros(u64::from(self.settings.channel.spin_us));
        loop {
            let mut workers = self.workers.values_mut();
            let answered = workers.any(|worker| !worker.given_up && worker.port.has_completions());
            if answered || !self.mailbox.letters.is_empty() {
                return true;
            }
            if begun.elapsed() >= most {
                return false;
            }
            std::hint::spin_loop();
        }
    }

    /// Sleeps until a letter, an acknowledgement, a completion or a death; at most one tick.
    fn sleep(&mut self) {
        if self.spin() {
            return;
        }
        let mut sleeping = Vec::with_capacity(self.workers.len());
        let mut quiet = true;
        for (&seat, worker) in &self.workers {
            if worker.given_up {
                continue;
            }
            sleeping.push(seat);
            quiet &= worker.port.prepare_sleep();
        }
        let more_letters = !self.mailbox.letters.is_empty();
        let mut fds: Vec<RawFd> = vec![self.mailbox.bell().as_raw_fd()];
        fds.extend(
            sleeping
                .iter()
                .filter_map(|seat| Some(self.workers.get(seat)?.port.poll_fd())),
        );
        let wait = if quiet && !more_letters {
            TICK
        } else {
            Duration::ZERO
        };
        poll::wait_readable(&fds, wait);
        self.mailbox.hear();
        for seat in sleeping {
            // A closed channel: the worker is dying. `died` comes from the supervisor once it is reaped.
            if let Some(worker) = self.workers.get_mut(&seat)
                && !worker.port.wake()
            {
                worker.given_up = true;
            }
        }
    }
}
