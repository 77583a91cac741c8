//! What a run would meet: every file (or a fair sample) read, cut and encoded as a run does it, and only counted.
//!
//! One feeder walks and chooses, several threads read; memory does not grow with the corpus but for 16 bytes a document
//! (and what similar ones are found with, up to a bound). Writes nothing, asks no model. Called by `Core::count`.

mod frame;
mod reader;
mod share;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::Deserialize;

use crate::counters::Counters;
use crate::discover::{Discovered, walk};
use crate::document::{Ordinal, Source};
use crate::error::Result;
use crate::index::Index;
use crate::pools::Pool;
use crate::prepare::Plan;
use crate::settings::{Reuse, Settings};
use crate::similar::Table;

use super::Notice;
use super::converter::{Converter, Converters};
use super::feed::smallest;
use super::turns::Turns;

use self::frame::{Frame, Reading, known};
use self::reader::{Reader, Seen};
use self::tally::Tally;

/// Files that wait for a thread.
const FILES: usize = 64;

/// How much is read.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CensusSettings {
    /// Everything, however long it takes.
    pub full: bool,
    /// So many files; None = as many as can be read in `read_s`.
    pub sample: Option<u64>,
    /// Seconds that reading everything may take before a sample is read instead, by a rough rule.
    pub read_s: f64,
    /// Look for similar documents.
    pub near: bool,
    pub near_similarity: f64,
    /// Most bytes that looking for them may take.
    pub near_bytes: usize,
}

/// What the threads share.
pub struct Census {
    settings: Arc<Settings>,
    options: CensusSettings,
    plan: Plan,
    counters: Arc<Counters>,
    pool: Arc<Pool>,
    converters: Arc<Converters>,
    turns: Turns,
    seen: Mutex<Seen>,
    tally: Mutex<Tally>,
}

impl Census {
    pub fn new(
        settings: Arc<Settings>,
        options: CensusSettings,
        plan: Plan,
        counters: Arc<Counters>,
        pool: Arc<Pool>,
        converters: Arc<Converters>,
    ) -> Census {
        let table = options
            .near
            .then(|| Table::new(options.near_similarity, options.near_bytes));
        Census {
            settings,
            options,
            plan,
            counters,
            pool,
            converters,
            turns: Turns::default(),
            seen: Mutex::new(Seen::new(table)),
            tally: Mutex::default(),
        }
    }

    /// What is counted so far, as JSON; `complete` once the last file is in it.
    pub fn to_json(&self) -> String {
        self.tally().to_json().to_string()
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.pool.is_closed()
    }

    fn converter(&self, seat: usize) -> Converter {
        Converter::new(
            u32::try_from(seat).unwrap_or(u32::MAX),
            Arc::clone(&self.converters),
            Arc::clone(&self.pool),
            self.settings.ingest.clone(),
            Arc::clone(&self.counters),
        )
    }

    /// Earlier runs; None where there are none, or none that count. Nothing is created just to look.
    fn index(&self) -> Result<Option<Index>> {
        let path = Path::new(&self.settings.index_path);
        if self.settings.reuse == Reuse::Never || !path.exists() {
            return Ok(None);
        }
        Ok(Some(Index::open(path, None)?.0))
    }
}

/// Starts the census; `Finished` or `Stopped` is noticed at its end.
///
/// # Errors
/// `Storage` when a thread cannot be started.
pub fn start(census: Arc<Census>, notices: Sender<Notice>) -> Result<JoinHandle<()>> {
    super::spawn("census", move || {
        let end = match take(&census) {
            Ok(()) => Notice::Finished,
            Err(error) => Notice::Stopped(error),
        };
        let _nobody_waits = notices.send(end);
    })
}

fn take(census: &Arc<Census>) -> Result<()> {
    let index = census.index()?;
    let frame = Frame::of(census, index.as_ref())?;
    let threads = census.settings.ingest.threads.max(1);
    let reading = frame.choose(&census.options, threads);
    let left = match (&reading, census.settings.job.max_documents) {
        (Reading::All, Some(most)) => {
            let mut converter = census.converter(threads);
            let ingest = &census.settings.ingest;
            Some(Arc::new(smallest(ingest, &mut converter, most)?))
        }
        _ => None,
    };
    if let Reading::Some(files) = &reading {
        census.tally().chosen = Some(files.len() as u64);
    }
    let whole = matches!(reading, Reading::All);
    let (files, queue) = bounded::<(u64, Source)>(FILES);
    let mut readers = Vec::new();
    for seat in 0..threads {
        let (census, queue, chosen) = (Arc::clone(census), queue.clone(), left.clone());
        let name = format!("census-{seat}");
        readers.push(super::spawn(&name, move || {
            read(&census, seat, &queue, chosen, whole)
        })?);
    }
    drop(queue);
    let sent = send(census, index.as_ref(), reading, &files);
    drop(files);
    for reader in readers {
        super::join(reader)??;
    }
    sent?;
    if !census.stopped() {
        census.tally().complete = true;
        census.counters.discovery_done.set(1);
    }
    Ok(())
}

fn send(
    census: &Census,
    index: Option<&Index>,
    reading: Reading,
    files: &Sender<(u64, Source)>,
) -> Result<()> {
    let mut turn = 0;
    let mut send = |source: Source| {
        let sent = !census.stopped() && files.send((turn, source)).is_ok();
        turn += 1;
        sent
    };
    match reading {
        Reading::Some(sources) => {
            let _all_sent = sources.into_iter().all(&mut send);
        }
        Reading::All => {
            for found in walk(&census.settings.ingest)? {
                let Discovered::File(source) = found else {
                    continue; // counted by the first walk
                };
                if known(census, index, &source)?.is_none() && !send(source) {
                    break;
                }
            }
        }
    }
    Ok(())
}

fn read(
    census: &Census,
    seat: usize,
    queue: &Receiver<(u64, Source)>,
    chosen: Option<Arc<HashSet<Ordinal>>>,
    whole: bool,
) -> Result<()> {
    let mut reader = Reader {
        census,
        plan: census.plan.clone(),
        index: census.index()?,
        converter: census.converter(seat),
        chosen,
    };
    for (turn, source) in queue {
        reader.read(&source, turn, whole)?;
    }
    Ok(())
}
