//! The front of the line: one feeder walks the inputs, several extract threads turn files into requests.
//!
//! Bounded by the file queue and by the byte account of the `rust` pool: when the model is the slow part, reading waits.

use std::collections::{BinaryHeap, HashSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::counters::Counters;
use crate::discover::{Discovered, walk};
use crate::document::{Circumstance, Document, Ordinal, Rejected, RejectedStatus, Source};
use crate::error::{Error, Result};
use crate::extract::{Extracted, extract};
use crate::index::{Index, KnownInput};
use crate::journal::record::ReadTime;
use crate::journal::{FILE_NAME, ResultReader};
use crate::pools::{Pool, Refusal};
use crate::prepare::{Plan, Planned, Prepared, too_large};
use crate::settings::{IngestSettings, Reuse, Settings};

use super::books::EarlierLives;
use super::converter::{Converter, Converters};
use super::mailbox::{Command, Post};

/// Files that wait for an extract thread.
const FILES: usize = 64;

/// What the threads of the line share.
pub struct Line {
    pub settings: Arc<Settings>,
    pub plan: Plan,
    pub counters: Arc<Counters>,
    pub pool: Arc<Pool>,
    pub post: Post,
    pub converters: Arc<Converters>,
    /// What has its answer from an earlier life is extracted again, never encoded again.
    pub earlier: Arc<EarlierLives>,
}

/// The documents that run under `job.max_documents`; None = all.
type Chosen = Option<Arc<HashSet<Ordinal>>>;

/// Starts the feeder, which starts the extract threads. The handles end when the last document is posted.
///
/// # Errors
/// `Storage` when a thread cannot be started.
pub fn start(line: Line) -> Result<Vec<JoinHandle<()>>> {
    let post = line.post.clone();
    let feeder = super::spawn("feeder", move || {
        let pool = Arc::clone(&line.pool);
        let end = match feed(line) {
            // A walk that was broken off has not met every input: the ones it missed are not gone.
            Ok(()) if pool.is_closed() => return,
            Ok(()) => Command::DiscoveryDone,
            Err(error) => Command::FeedFailed(error),
        };
        let _stopped_meanwhile = post.send(end);
    })?;
    Ok(vec![feeder])
}

fn feed(line: Line) -> Result<()> {
    let chosen = match line.settings.job.max_documents {
        Some(most) => {
            let mut converter = converter(&line, extract_threads(&line));
            let ingest = &line.settings.ingest;
            Some(Arc::new(smallest(ingest, &mut converter, most)?))
        }
        None => None,
    };
    let line = Arc::new(line);
    let (files, queue) = bounded::<Source>(FILES);
    let mut threads = Vec::new();
    for number in 0..extract_threads(&line) {
        let (line, queue, chosen) = (Arc::clone(&line), queue.clone(), chosen.clone());
        let name = format!("extract-{number}");
        threads.push(super::spawn(&name, move || {
            let mut converter = converter(&line, number);
            extract_files(&line, number, &queue, &chosen, &mut converter);
        })?);
    }
    drop(queue);
    let walked = send_files(&line, &files);
    drop(files);
    for thread in threads {
        super::join(thread)?;
    }
    walked.map(|_stopped| ())
}

/// Sends every file to the extract threads; breaks off when the run is being stopped.
fn send_files(line: &Line, files: &Sender<Source>) -> Result<ControlFlow<()>> {
    let trusted = line.settings.reuse == Reuse::Finished && !line.settings.ingest.paranoid;
    let earlier = if trusted {
        Some(Earlier::open(&line.settings)?)
    } else {
        None
    };
    for found in walk(&line.settings.ingest)? {
        line.counters.files_seen.add(1);
        let stopped = match found {
            Discovered::File(source) => match send_known(line, earlier.as_ref(), &source)? {
                Some(taken) => taken.is_break(),
                None => files.send(source).is_err(),
            },
            Discovered::Rejected(rejected) => {
                let prepared = Prepared::rejected(rejected, None);
                line.post
                    .send(Command::Prepared(Box::new(prepared)))
                    .is_err()
            }
        };
        if stopped {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Earlier runs, as the feeder asks them.
struct Earlier {
    index: Index,
    reader: ResultReader,
}

impl Earlier {
    fn open(settings: &Settings) -> Result<Earlier> {
        let path = Path::new(&settings.index_path);
        let outputs = path.parent().unwrap_or(Path::new("."));
        Ok(Earlier {
            index: Index::open(path, Some(Path::new(&settings.run_dir)))?.0,
            reader: ResultReader::open(outputs, &Path::new(&settings.run_dir).join(FILE_NAME))?,
        })
    }
}

/// Sends the inputs of an unchanged file, if every result of theirs can still be read where the index says: what has rotted
/// meanwhile is done again. None: the file has to be read.
fn send_known(
    line: &Line,
    earlier: Option<&Earlier>,
    source: &Source,
) -> Result<Option<ControlFlow<()>>> {
    let Some(earlier) = earlier else {
        return Ok(None);
    };
    let key = &line.plan.plan_key;
    let Some(known) = earlier.index.known(&source.uri, source.stamp, key)? else {
        return Ok(None);
    };
    let good = |page: &[KnownInput]| {
        let mut works = page.iter().flat_map(|known| &known.works);
        works.all(|(reused, _)| earlier.reader.load_reused(reused).is_ok())
    };
    let Some(first) = known.page(None)?.filter(|page| good(page)) else {
        return Ok(None);
    };
    // All of a file or nothing: a long one is looked through before any of it is sent.
    let mut last = name_of_last(&first);
    while let Some(name) = last {
        match known.page(Some(&name))?.filter(|page| good(page)) {
            Some(page) => last = name_of_last(&page),
            None => return Ok(None),
        }
    }
    let mut page = first;
    loop {
        let last = name_of_last(&page);
        for known in &mut page {
            // The earlier run's input at the place that it has in this one.
            known.input.ordinal.file = source.file;
        }
        if line.post.send(Command::Known(page)).is_err() {
            return Ok(Some(ControlFlow::Break(())));
        }
        let Some(name) = last else {
            return Ok(Some(ControlFlow::Continue(())));
        };
        page = known.page(Some(&name))?.ok_or_else(|| {
            let problem = format!("the index has changed while {} was taken over", source.uri);
            Error::config(problem, "start the run again")
        })?;
    }
}

fn name_of_last(page: &[KnownInput]) -> Option<String> {
    page.last().map(|known| known.input.source.clone())
}

/// The N smallest documents by bytes of text, ties by input order. Reads everything once and keeps N numbers.
pub fn smallest(
    ingest: &IngestSettings,
    converter: &mut Converter,
    most: u64,
) -> Result<HashSet<Ordinal>> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut heap: BinaryHeap<(usize, Ordinal)> = BinaryHeap::new();
    for found in walk(ingest)? {
        let Discovered::File(source) = found else {
            continue;
        };
        extract(&source, ingest, converter, &mut |extracted| {
            if let Extracted::Document(document) = extracted {
                heap.push((document.text.len(), document.ordinal));
                if heap.len() > most {
                    heap.pop();
                }
            }
            ControlFlow::Continue(())
        });
    }
    Ok(heap.into_iter().map(|(_, ordinal)| ordinal).collect())
}

fn extract_threads(line: &Line) -> u32 {
    u32::try_from(line.settings.ingest.threads.max(1)).unwrap_or(u32::MAX - 1)
}

/// The extract worker on this seat; no process exists until a file needs it.
fn converter(line: &Line, seat: u32) -> Converter {
    Converter::new(
        seat,
        Arc::clone(&line.converters),
        Arc::clone(&line.pool),
        line.settings.ingest.clone(),
        Arc::clone(&line.counters),
    )
}

fn extract_files(
    line: &Line,
    thread: u32,
    queue: &Receiver<Source>,
    chosen: &Chosen,
    converter: &mut Converter,
) {
    let mut stopped = false;
    // After a stop the queue is emptied, so that the feeder is not left waiting on a full one.
    for source in queue {
        if stopped {
            continue;
        }
        line.counters.bytes_read.add(source.stamp.size);
        let mut begun = Instant::now();
        extract(
            &source,
            &line.settings.ingest,
            converter,
            &mut |extracted| {
                let took = begun.elapsed();
                line.counters.extract_us.add(microseconds(took));
                let (uri, doc_id) = match &extracted {
                    Extracted::Rejected(rejected) => (&rejected.uri, rejected.doc_id),
                    Extracted::Document(document) => (&document.uri, Some(document.doc_id)),
                };
                if line.earlier.has_ended(uri, doc_id.as_ref()) {
                    begun = Instant::now();
                    return ControlFlow::Continue(());
                }
                let prepared = match extracted {
                    Extracted::Rejected(rejected) => {
                        Prepared::rejected(rejected, Some(source.stamp))
                    }
                    Extracted::Document(document) => {
                        let reader = (thread, took);
                        if let Ok(prepared) = prepare(line, &source, document, chosen, reader) {
                            prepared
                        } else {
                            stopped = true;
                            return ControlFlow::Break(());
                        }
                    }
                };
                if line
                    .post
                    .send(Command::Prepared(Box::new(prepared)))
                    .is_err()
                {
                    stopped = true;
                    return ControlFlow::Break(());
                }
                begun = Instant::now();
                ControlFlow::Continue(())
            },
        );
    }
}

/// The run is being stopped: nothing more is wanted.
struct Stopped;

fn prepare(
    line: &Line,
    source: &Source,
    document: Document,
    chosen: &Chosen,
    (thread, extracting): (u32, Duration),
) -> std::result::Result<Prepared, Stopped> {
    let stamp = Some(source.stamp);
    let left_out = chosen
        .as_ref()
        .is_some_and(|chosen| !chosen.contains(&document.ordinal));
    let most = line.settings.job.max_documents.unwrap_or(0);
    if left_out {
        let reason = format!("job.max_documents: not among the {most} smallest documents");
        return Ok(reject(&document, stamp, RejectedStatus::Skipped, reason));
    }
    let identity = reject(&document, stamp, RejectedStatus::Failed, String::new());
    let begun = Instant::now();
    let mut prepared = line.plan.prepare(document, stamp);
    let preparing = begun.elapsed();
    line.counters.prepare_us.add(microseconds(preparing));
    prepared.read = Some(ReadTime {
        thread,
        ended_unix_ms: unix_ms(),
        extract_ms: milliseconds(extracting),
        prepare_ms: milliseconds(preparing),
    });
    match line.pool.reserve_requests(prepared.bytes()) {
        Ok(()) => Ok(prepared),
        Err(Refusal::Closed) => Err(Stopped),
        Err(Refusal::TooLarge) => {
            let cap = line.settings.rust_budget_bytes;
            let reason = Circumstance::Memory.reason(too_large(prepared.bytes(), cap));
            let work = Planned::Rejected {
                status: RejectedStatus::Failed,
                reason,
            };
            Ok(Prepared { work, ..identity })
        }
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// With three digits behind the point: the line in results.jsonl stays short.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// The wall clock, for people; one before 1970 is a wrong one.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

fn reject(
    document: &Document,
    stamp: Option<crate::document::Stamp>,
    status: RejectedStatus,
    reason: String,
) -> Prepared {
    let rejected = Rejected {
        ordinal: document.ordinal,
        uri: document.uri.clone(),
        doc_id: Some(document.doc_id),
        status,
        reason,
        reader: document.origin.reader.clone(),
    };
    let text_bytes = document.text.len() as u64;
    Prepared {
        text_bytes,
        ..Prepared::rejected(rejected, stamp)
    }
}
