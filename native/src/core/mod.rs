//! The running core: its threads, their start, drain and stop. Feeder -> extract threads -> dispatcher <-> workers.
//!
//! It decides nothing about documents: `dispatch` does. It starts no process: `supervise` (Python) does, with the
//! descriptors that `attach` hands out. `py` is its only caller.

mod books;
mod census;
mod converter;
mod dispatcher;
mod feed;
mod mailbox;
mod reading;
mod survey;
#[cfg(test)]
mod tests;
mod turns;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};

use crate::channel::conversion::ConversionEnds;
use crate::channel::port::ChildEnds;
use crate::counters::Counters;
use crate::dispatch::Toll;
use crate::error::{Error, Result};
use crate::journal::NewLife;
use crate::pools::Pool;
use crate::prepare::Plan;
use crate::publish::Counts;
use crate::settings::{Order, Settings};

pub use self::census::CensusSettings;
pub use self::dispatcher::Notice;
pub use self::reading::Reading;
pub use self::survey::Survey;

use self::books::Books;
use self::census::Census;
use self::converter::Converters;
use self::dispatcher::Dispatcher;
use self::mailbox::{Command, Mailbox, Post};

/// Bytes of requests that are read ahead of the model where their order is that of the input: some ten thousand short ones,
/// or a thousand of 8,000 tokens. More would fill memory and save no time.
const AHEAD_BYTES: u64 = 32 << 20;

/// Who runs: what the journal's life record says of this process.
#[derive(Debug, Clone)]
pub struct Life {
    pub boot_id: String,
    pub pid: u32,
    pub unix_ms: u64,
}

/// What opening the journal has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// 1 on a fresh run, more on a resume.
    pub incarnation: u32,
    pub inputs_logged: u64,
    pub inputs_finished: u64,
}

/// One run, from opening its journal to the last published line.
pub struct Core {
    settings: Arc<Settings>,
    plan: Plan,
    counters: Arc<Counters>,
    pool: Arc<Pool>,
    post: Post,
    mailbox: Option<Mailbox>,
    notices: Option<Receiver<Notice>>,
    converters: Option<Arc<Converters>>,
    census: Option<Arc<Census>>,
    /// Behind a lock only because its readers are not shareable; used before the threads start.
    books: Mutex<Option<Books>>,
    threads: Vec<JoinHandle<()>>,
    dispatcher: Option<JoinHandle<Dispatcher>>,
}

impl Core {
    /// Compiles the plan: templates, tokenizer, room for text.
    ///
    /// # Errors
    /// `Config` with the cure.
    pub fn new(settings: Settings) -> Result<Core> {
        let plan = Plan::new(&settings)?;
        let (post, mailbox) = mailbox::open()?;
        Ok(Core {
            plan,
            counters: Arc::default(),
            pool: Arc::new(pool(&settings)),
            settings: Arc::new(settings),
            post,
            mailbox: Some(mailbox),
            notices: None,
            converters: None,
            census: None,
            books: Mutex::new(None),
            threads: Vec::new(),
            dispatcher: None,
        })
    }

    fn outputs(&self) -> PathBuf {
        let index = Path::new(&self.settings.index_path);
        index.parent().unwrap_or(Path::new(".")).to_path_buf()
    }

    /// What a run would have to do, from the file system's stamps and the index alone. Reads no document.
    ///
    /// # Errors
    /// `Config` for an input that does not exist, `Storage` for an index that cannot be used.
    pub fn survey(&self) -> Result<Survey> {
        survey::survey(&self.settings, &self.plan)
    }

    /// Reads what a run would read, or a sample of it, and only counts. No folder, no worker, no `open` or `start` is needed;
    /// `Finished` is noticed at the end, extract workers are asked for as in a run, `close` breaks it off.
    ///
    /// # Errors
    /// `Storage` when a thread cannot be started.
    pub fn count(&mut self, options: CensusSettings) -> Result<()> {
        let (notify, notices) = unbounded();
        self.notices = Some(notices);
        let converters = Arc::new(Converters::new(notify.clone()));
        self.converters = Some(Arc::clone(&converters));
        let census = Arc::new(Census::new(
            Arc::clone(&self.settings),
            options,
            self.plan.clone(),
            Arc::clone(&self.counters),
            Arc::clone(&self.pool),
            converters,
        ));
        self.census = Some(Arc::clone(&census));
        self.threads = vec![census::start(census, notify)?];
        Ok(())
    }

    /// What `count` has counted so far, as JSON.
    ///
    /// # Errors
    /// `Config` before `count`.
    pub fn counted(&self) -> Result<String> {
        let census = self.census.as_deref();
        let census = census.ok_or_else(|| Error::config("nothing is counted", "this is a bug"))?;
        Ok(census.to_json())
    }

    /// Opens the journal and the published files of the run's folder. The folder's lock is the caller's.
    ///
    /// # Errors
    /// `Storage`, `CorruptJournal`, or `Config` when the run was started with other settings.
    pub fn open(&mut self, life: Life) -> Result<Opened> {
        let life = NewLife {
            run_id: self.settings.run_id.clone(),
            boot_id: life.boot_id,
            pid: life.pid,
            unix_ms: life.unix_ms,
            plan_key: self.plan.plan_key,
        };
        let books = Books::open(
            &self.settings,
            &self.plan,
            &self.outputs(),
            life,
            self.post.clone(),
        )?;
        let opened = books.opened();
        self.books = Mutex::new(Some(books));
        Ok(opened)
    }

    fn take_books(&mut self) -> Option<Books> {
        let books = self.books.get_mut().unwrap_or_else(PoisonError::into_inner);
        books.take()
    }

    /// Starts discovery, extraction and dispatch. Workers may attach from here on.
    ///
    /// # Errors
    /// `Config` when called before `open` or twice; `Storage` when a thread cannot be started.
    pub fn start(&mut self) -> Result<()> {
        let (Some(books), Some(mailbox)) = (self.take_books(), self.mailbox.take()) else {
            return Err(Error::config(
                "the core was started twice or before open",
                "this is a bug",
            ));
        };
        let (notify, notices) = unbounded(); // a handful of notices a run, read by the supervisor's loop
        self.notices = Some(notices);
        let converters = Arc::new(Converters::new(notify.clone()));
        self.converters = Some(Arc::clone(&converters));
        let earlier = books.earlier();
        let dispatcher = Dispatcher::new(
            Arc::clone(&self.settings),
            self.plan.clone(),
            books,
            mailbox,
            notify,
            Arc::clone(&self.counters),
            Arc::clone(&self.pool),
        )?;
        self.dispatcher = Some(spawn("dispatch", move || dispatcher.run())?);
        self.threads = feed::start(feed::Line {
            settings: Arc::clone(&self.settings),
            plan: self.plan.clone(),
            counters: Arc::clone(&self.counters),
            pool: Arc::clone(&self.pool),
            post: self.post.clone(),
            converters,
            earlier,
        })?;
        Ok(())
    }

    /// A fresh channel for a worker on this seat: the descriptors that its process inherits, and its incarnation.
    ///
    /// # Errors
    /// `Channel` or `Storage` when the region cannot be made within the ipc pool.
    pub fn attach(&self, seat: u32) -> Result<(u32, ChildEnds)> {
        self.ask(|reply| Command::Attach { seat, reply })?
    }

    /// The worker on this seat has loaded its model and takes leases.
    ///
    /// # Errors
    /// `Channel` when the core has stopped.
    pub fn ready(&self, seat: u32) -> Result<()> {
        self.post.send(Command::Ready { seat })
    }

    /// The worker on this seat is dead and reaped (only then can no more stores arrive).
    ///
    /// # Errors
    /// `Channel` when the core has stopped.
    pub fn died(&self, seat: u32, cause: String, charged: bool) -> Result<Toll> {
        self.ask(|reply| Command::Died {
            seat,
            cause,
            charged,
            reply,
        })
    }

    fn converters(&self) -> Result<&Converters> {
        let converters = self.converters.as_deref();
        converters.ok_or_else(|| Error::Channel("the core was not started".into()))
    }

    /// What the extract worker inherits that `Notice::ConverterWanted` asked for.
    ///
    /// # Errors
    /// `Channel` when nobody asked for it.
    pub fn attach_converter(&self, seat: u32) -> Result<ConversionEnds> {
        self.converters()?.attach(seat)
    }

    /// The extract worker on this seat is reaped.
    ///
    /// # Errors
    /// `Channel` before `start`.
    pub fn converter_died(&self, seat: u32, cause: String) -> Result<()> {
        self.converters()?.died(seat, cause);
        Ok(())
    }

    /// No extract worker can be had on this seat: its files fail with this reason.
    ///
    /// # Errors
    /// `Channel` before `start`.
    pub fn converter_cannot_start(&self, seat: u32, problem: String) -> Result<()> {
        self.converters()?.cannot_start(seat, problem);
        Ok(())
    }

    /// Writes a setting record: what was applied, or changed, while the run goes on.
    ///
    /// # Errors
    /// `Channel` when the core has stopped.
    pub fn setting(&self, name: String, value: serde_json::Value, detail: String) -> Result<()> {
        self.post.send(Command::Setting {
            name,
            value,
            detail,
        })
    }

    /// No new leases until it is taken back.
    ///
    /// # Errors
    /// `Channel` when the core has stopped.
    pub fn pause(&self, paused: bool) -> Result<()> {
        self.post.send(Command::Pause(paused))
    }

    /// No new leases; workers are told to finish what they have.
    ///
    /// # Errors
    /// `Channel` when the core has stopped.
    pub fn drain(&self) -> Result<()> {
        self.pool.close();
        self.post.send(Command::Drain)
    }

    /// The next notices for the supervisor: at least one, or none after the timeout.
    #[must_use]
    pub fn notices(&self, timeout: Duration) -> Vec<Notice> {
        let notices = self.notices.as_ref();
        notices.map_or_else(Vec::new, |notices| notices_of(notices, timeout))
    }

    #[must_use]
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        self.counters.rust_bytes.set(self.pool.used());
        self.counters.snapshot()
    }

    #[must_use]
    pub fn rust_peak_bytes(&self) -> u64 {
        self.pool.peak()
    }

    /// Stops every thread and closes the books. `finished`: all inputs have ended, so the results get their final order.
    ///
    /// # Errors
    /// `Storage` of anything that did not become durable, now or earlier.
    pub fn close(&mut self, unix_ms: u64) -> Result<Option<Counts>> {
        self.pool.close();
        let _already_stopped = self.post.send(Command::Stop);
        for thread in self.threads.drain(..) {
            join(thread)?;
        }
        let Some(dispatcher) = self.dispatcher.take() else {
            return Ok(None);
        };
        join(dispatcher)?.close(unix_ms)
    }

    fn ask<T>(&self, command: impl FnOnce(crossbeam_channel::Sender<T>) -> Command) -> Result<T> {
        let (reply, answer) = crossbeam_channel::bounded(1);
        self.post.send(command(reply))?;
        answer
            .recv()
            .map_err(|_| Error::Channel("the core has stopped".into()))
    }
}

impl Drop for Core {
    /// Without a `close` the journal keeps no closing record, as after a kill; the threads end all the same.
    fn drop(&mut self) {
        self.pool.close();
        let _already_stopped = self.post.send(Command::Stop);
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
        if let Some(dispatcher) = self.dispatcher.take() {
            let _panicked = dispatcher.join();
        }
    }
}

fn notices_of(notices: &Receiver<Notice>, timeout: Duration) -> Vec<Notice> {
    let first = notices.recv_timeout(timeout).ok();
    first.into_iter().chain(notices.try_iter()).collect()
}

/// Documents are taken in the order of the input, or the whole pool is searched for the shortest or longest.
fn pool(settings: &Settings) -> Pool {
    let ahead = match settings.schedule.order {
        Order::Input => AHEAD_BYTES,
        Order::ShortestFirst | Order::LongestFirst => settings.rust_budget_bytes,
    };
    Pool::reading_ahead(settings.rust_budget_bytes, ahead)
}

fn spawn<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(Error::storage("start the thread", Path::new(name)))
}

fn join<T>(thread: JoinHandle<T>) -> Result<T> {
    let name = thread.thread().name().unwrap_or("core").to_owned();
    thread
        .join()
        .map_err(|_| Error::Channel(format!("the {name} thread has panicked; this is a bug")))
}
