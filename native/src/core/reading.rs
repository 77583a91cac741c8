//! Files to documents and nothing behind them: extract threads and extract workers as a run has them, without tokens,
//! journal or model.
//!
//! For `runner bench ingest`, which measures what a run pays for reading. It decides nothing and starts no process, as
//! `Core` does not; the events are the same. `py` is its only caller.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use crate::channel::conversion::ConversionEnds;
use crate::discover::{Discovered, walk};
use crate::document::Source;
use crate::error::Result;
use crate::extract::{Extracted, extract};
use crate::pools::Pool;
use crate::settings::IngestSettings;

use super::converter::{Converter, Converters};
use super::{Notice, notices_of};

/// Files that wait for an extract thread.
const FILES: usize = 64;

/// Reads `settings.inputs` once, with `settings.threads` threads; the notice `Finished` (or `Stopped`) says that it is done.
pub struct Reading {
    shared: Arc<Shared>,
    notices: Receiver<Notice>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    settings: IngestSettings,
    converters: Arc<Converters>,
    /// Holds nothing; its being closed says that reading stops.
    pool: Arc<Pool>,
    rows: Mutex<Vec<Extracted>>,
}

impl Reading {
    /// # Errors
    /// `Storage` when a thread cannot be started.
    pub fn start(settings: IngestSettings) -> Result<Reading> {
        let (notify, notices) = unbounded();
        let shared = Arc::new(Shared {
            settings,
            converters: Arc::new(Converters::new(notify.clone())),
            pool: Arc::new(Pool::new(0)),
            rows: Mutex::default(),
        });
        let feeder = {
            let shared = Arc::clone(&shared);
            super::spawn("reading", move || {
                let end = match feed(&shared) {
                    Ok(()) => Notice::Finished,
                    Err(error) => Notice::Stopped(error),
                };
                let _nobody_waits = notify.send(end);
            })?
        };
        Ok(Reading {
            shared,
            notices,
            threads: vec![feeder],
        })
    }

    /// As `Core::notices`.
    #[must_use]
    pub fn notices(&self, most: Duration) -> Vec<Notice> {
        notices_of(&self.notices, most)
    }

    /// # Errors
    /// `Channel` when this seat did not ask.
    pub fn attach_converter(&self, seat: u32) -> Result<ConversionEnds> {
        self.shared.converters.attach(seat)
    }

    pub fn converter_died(&self, seat: u32, cause: String) {
        self.shared.converters.died(seat, cause);
    }

    pub fn converter_cannot_start(&self, seat: u32, problem: String) {
        self.shared.converters.cannot_start(seat, problem);
    }

    /// What was read so far, in the order of the inputs.
    #[must_use]
    pub fn take_rows(&self) -> Vec<Extracted> {
        let mut rows = std::mem::take(&mut *self.shared.rows());
        rows.sort_by_key(|row| match row {
            Extracted::Document(document) => document.ordinal,
            Extracted::Rejected(rejected) => rejected.ordinal,
        });
        rows
    }
}

impl Drop for Reading {
    /// The threads hold what the processes were given: they end before it goes.
    fn drop(&mut self) {
        self.shared.pool.close();
        for thread in self.threads.drain(..) {
            let _a_panic_was_shown = thread.join();
        }
    }
}

impl Shared {
    fn rows(&self) -> std::sync::MutexGuard<'_, Vec<Extracted>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, row: Extracted) {
        self.rows().push(row);
    }
}

fn feed(shared: &Arc<Shared>) -> Result<()> {
    let (files, queue) = bounded::<Source>(FILES);
    let mut threads = Vec::new();
    let most = u32::try_from(shared.settings.threads.max(1)).unwrap_or(u32::MAX);
    for seat in 0..most {
        let (shared, queue) = (Arc::clone(shared), queue.clone());
        threads.push(super::spawn(&format!("reading-{seat}"), move || {
            read(&shared, seat, &queue);
        })?);
    }
    drop(queue);
    let walked = send(shared, &files);
    drop(files);
    for thread in threads {
        super::join(thread)?;
    }
    walked
}

fn send(shared: &Shared, files: &Sender<Source>) -> Result<()> {
    for found in walk(&shared.settings)? {
        match found {
            Discovered::File(source) => {
                if shared.pool.is_closed() || files.send(source).is_err() {
                    return Ok(());
                }
            }
            Discovered::Rejected(rejected) => shared.add(Extracted::Rejected(rejected)),
        }
    }
    Ok(())
}

fn read(shared: &Shared, seat: u32, queue: &Receiver<Source>) {
    let mut converter = Converter::new(
        seat,
        Arc::clone(&shared.converters),
        Arc::clone(&shared.pool),
        shared.settings.clone(),
        Arc::default(),
    );
    for source in queue {
        if shared.pool.is_closed() {
            continue;
        }
        extract(&source, &shared.settings, &mut converter, &mut |row| {
            shared.add(row);
            ControlFlow::Continue(())
        });
    }
}
