//! One file of the census: extracted, its documents told from duplicates in input order, cut and encoded as a run would.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::document::{Circumstance, Document, Ordinal, RejectedStatus, Source};
use crate::error::{Error, Result};
use crate::extract::{Extracted, extract, kind_by_name};
use crate::index::Index;
use crate::prepare::{Plan, Planned, too_large};
use crate::request::{ChunkRequest, WorkId};
use crate::similar::{Signature, Table};

use super::super::converter::Converter;
use super::super::turns::Turn;
use super::Census;
use super::frame::{RECORD_BYTES, is_records};
use super::share::Share;
use super::tally::{
    DOCUMENTS, DUPLICATES, FileTally, NEAR_DUPLICATES, NearPair, Stratum, TEXT_BYTES,
};

/// Documents among which duplicates are looked for: 16 bytes each.
const MOST_SEEN: usize = 16 << 20;

/// What was met before, in input order.
pub struct Seen {
    /// First eight bytes of the work id of each document's first part.
    works: HashSet<u64, BuildHasherDefault<AsItIs>>,
    similar: Option<Table>,
}

/// Hashes are spread already.
#[derive(Default)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

impl Seen {
    pub fn new(similar: Option<Table>) -> Seen {
        let works = HashSet::default();
        Seen { works, similar }
    }

    /// Whether no document before it was the same; None when there are too many to tell.
    fn first(&mut self, work: &WorkId) -> Option<bool> {
        let short = u64::from_le_bytes(std::array::from_fn(|at| work.0[at]));
        if self.works.len() >= MOST_SEEN && !self.works.contains(&short) {
            return None;
        }
        Some(self.works.insert(short))
    }
}

/// What one thread reads with.
pub struct Reader<'a> {
    pub census: &'a Census,
    pub plan: Plan,
    pub index: Option<Index>,
    pub converter: Converter,
    /// The documents that run under `job.max_documents`; None = all.
    pub chosen: Option<Arc<HashSet<Ordinal>>>,
}

impl Reader<'_> {
    /// Reads one file and adds what it gave; nothing of a file that a stop has broken off. `whole`: every document is
    /// encoded, also of large files of records.
    ///
    /// # Errors
    /// `Storage` for the index.
    pub fn read(&mut self, source: &Source, turn: u64, whole: bool) -> Result<()> {
        let census = self.census;
        let (kind, size) = (kind_by_name(&source.path), source.stamp.size);
        let partly = !whole && is_records(kind) && size > RECORD_BYTES;
        let mut reading = Reading {
            census,
            plan: &self.plan,
            index: self.index.as_ref(),
            chosen: self.chosen.as_deref(),
            turn: census.turns.join(turn),
            waited: false,
            broken_off: None,
            tally: FileTally::default(),
            last: None,
            share: Share::of(partly.then_some(size)),
        };
        let converter = &mut self.converter;
        extract(
            source,
            &census.settings.ingest,
            converter,
            &mut |extracted| match reading.take(extracted) {
                Ok(()) => ControlFlow::Continue(()),
                Err(why) => {
                    reading.broken_off = Some(why);
                    ControlFlow::Break(())
                }
            },
        );
        let Some(tally) = reading.end()? else {
            return Ok(());
        };
        census.counters.bytes_read.add(size);
        census.tally().read(Stratum::of(kind, size), size, tally);
        Ok(())
    }
}

/// Why a file is not read to its end.
enum BrokenOff {
    Stopped,
    Failed(Error),
}

impl From<Error> for BrokenOff {
    fn from(error: Error) -> BrokenOff {
        BrokenOff::Failed(error)
    }
}

/// A document whose place among the others is decided; encoded once the next one has had its say, so that other files do
/// not wait for the encoder.
struct Decided {
    document: Document,
    new: bool,
}

/// One file on its way.
struct Reading<'r> {
    census: &'r Census,
    plan: &'r Plan,
    index: Option<&'r Index>,
    chosen: Option<&'r HashSet<Ordinal>>,
    turn: Turn<'r>,
    waited: bool,
    broken_off: Option<BrokenOff>,
    tally: FileTally,
    last: Option<Decided>,
    share: Share,
}

impl Reading<'_> {
    fn take(&mut self, extracted: Extracted) -> std::result::Result<(), BrokenOff> {
        self.census.counters.inputs.add(1);
        if self.census.stopped() {
            return Err(BrokenOff::Stopped);
        }
        let document = match extracted {
            Extracted::Rejected(rejected) => {
                let (status, ordinal) = (rejected.status, rejected.ordinal);
                self.tally
                    .reject(status, &rejected.reason, ordinal, rejected.uri);
                return Ok(());
            }
            Extracted::Document(document) => document,
        };
        if self
            .chosen
            .is_some_and(|chosen| !chosen.contains(&document.ordinal))
        {
            let reason = "job.max_documents: not among the smallest";
            let status = RejectedStatus::Skipped;
            self.tally
                .reject(status, reason, document.ordinal, document.uri);
            return Ok(());
        }
        if !self.waited && !self.turn.wait(|| self.census.stopped()) {
            return Err(BrokenOff::Stopped);
        }
        self.waited = true;
        let new = self.decide(&document)?;
        let before = self.last.replace(Decided { document, new });
        self.encode(before)?;
        Ok(())
    }

    /// Whether its requests would be sent: no equal document before it, and no answer in an earlier run.
    fn decide(&mut self, document: &Document) -> Result<bool> {
        let work = self.plan.first_work(document);
        let signature = self
            .census
            .options
            .near
            .then(|| Signature::of(&document.text));
        let numbers = &mut self.tally.numbers;
        numbers[DOCUMENTS] += 1.0;
        numbers[TEXT_BYTES] += float(document.text.len() as u64);
        let mut seen = self.census.seen();
        match seen.first(&work) {
            Some(true) => {}
            Some(false) => {
                numbers[DUPLICATES] += 1.0;
                return Ok(false);
            }
            None => self.tally.too_many = true,
        }
        if let (Some(signature), Some(table)) = (signature, &mut seen.similar) {
            if let Some(found) = table.find(&signature) {
                numbers[NEAR_DUPLICATES] += 1.0;
                if self.tally.near.is_none() {
                    self.tally.near = Some(NearPair {
                        ordinal: document.ordinal,
                        source: document.uri.clone(),
                        like: table.name(found.number).to_owned(),
                        similarity: found.similarity,
                    });
                }
            } else if !table.keep(signature, &document.uri) {
                self.tally.not_compared += 1;
            }
        }
        drop(seen);
        Ok(!self.answered(&work)?)
    }

    fn answered(&self, work: &WorkId) -> Result<bool> {
        match self.index {
            Some(index) => Ok(index.finished(work)?.is_some()),
            None => Ok(false),
        }
    }

    fn encode(&mut self, decided: Option<Decided>) -> Result<()> {
        let Some(Decided { document, new }) = decided else {
            return Ok(());
        };
        let text_bytes = float(document.text.len() as u64);
        if !self.share.takes(document.ordinal.record, text_bytes, new) {
            return Ok(());
        }
        let (ordinal, source) = (document.ordinal, document.uri.clone());
        let prepared = self.plan.prepare(document, None);
        let covered = prepared.covered_bytes;
        let bytes = prepared.bytes();
        let reason = match prepared.work {
            Planned::Rejected { status, reason } => Some((status, reason)),
            Planned::Requests { .. } if bytes > self.census.settings.rust_budget_bytes => {
                let status = RejectedStatus::Failed;
                let cap = self.census.settings.rust_budget_bytes;
                Some((status, Circumstance::Memory.reason(too_large(bytes, cap))))
            }
            Planned::Requests { requests, .. } => {
                let chunks = requests.len() as u64;
                let (mut tokens, mut unanswered, mut to_send) = (0, 0, 0);
                for ChunkRequest { request, .. } in &requests {
                    let length = request.token_ids.len() as u64;
                    tokens += length;
                    if new && !self.answered(&request.work_id)? {
                        unanswered += 1;
                        to_send += length;
                    }
                }
                self.tally.measure(tokens, chunks, &source);
                let encoded = [float(covered), float(tokens), float(chunks)];
                let fresh = [float(unanswered), float(to_send)];
                self.share.add(text_bytes, encoded, new.then_some(fresh));
                None
            }
        };
        if let Some((status, reason)) = reason {
            self.tally.numbers[DOCUMENTS] -= 1.0;
            self.tally.reject(status, &reason, ordinal, source);
        }
        Ok(())
    }

    /// The file's numbers; None when it was not read to its end.
    fn end(mut self) -> Result<Option<FileTally>> {
        match self.broken_off.take() {
            Some(BrokenOff::Failed(error)) => return Err(error),
            Some(BrokenOff::Stopped) => return Ok(None),
            None if self.census.stopped() => return Ok(None),
            None => {}
        }
        let last = self.last.take();
        // The next file may speak while this one's last document is encoded.
        self.turn.pass();
        self.encode(last)?;
        self.share.fill(&mut self.tally);
        Ok(Some(self.tally))
    }
}

fn float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss)] // far below 2^53
    {
        count as f64
    }
}
