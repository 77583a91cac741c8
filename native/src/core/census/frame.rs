//! What there is to read, from a walk over names and sizes; and when that is too much, which files stand for the others.
//!
//! A sample is drawn in each stratum by a hash of the path: the same corpus gives the same sample. No file is opened here.

use std::collections::BTreeMap;
use std::path::Path;

use crate::discover::{Discovered, walk};
use crate::document::{Digest, Source};
use crate::error::Result;
use crate::extract::kind_by_name;
use crate::index::{Index, Unchanged};

use super::tally::Stratum;
use super::{Census, CensusSettings};

/// Files of all strata that are remembered for a sample.
const REMEMBERED: usize = 65_536;
const LEAST_REMEMBERED: usize = 64;
/// Files of each stratum that are read whatever they cost, so that there is a spread to see.
const ALWAYS: usize = 2;
/// Text of one file of records that is encoded when not everything is read.
pub const RECORD_BYTES: u64 = 4 << 20;
/// Bytes of text that one core cuts and encodes in a second, rendering included; measured on a slow one.
const ENCODED_BYTES_S: f64 = 0.5e6;
/// Seconds of one core for each file, however small.
const FILE_S: f64 = 200e-6;

/// The files of one stratum.
#[derive(Default)]
struct Files {
    count: u64,
    bytes: u64,
    /// Those with the lowest hashes: a fair sample of any size, in an order that is as good as drawn.
    lowest: BTreeMap<(u64, u32), Source>,
}

/// Everything that has to be read, by stratum.
#[derive(Default)]
pub struct Frame {
    strata: BTreeMap<Stratum, Files>,
}

/// What will be read.
pub enum Reading {
    All,
    /// In input order.
    Some(Vec<Source>),
}

impl Frame {
    /// Walks the inputs. Paths that are no files, and files that have not changed since they were answered, are counted here
    /// and not read.
    ///
    /// # Errors
    /// `Config` for an input that does not exist, `Storage` for the index.
    pub fn of(census: &Census, index: Option<&Index>) -> Result<Frame> {
        let mut frame = Frame::default();
        for found in walk(&census.settings.ingest)? {
            if census.stopped() {
                break;
            }
            census.counters.files_seen.add(1);
            let source = match found {
                Discovered::Rejected(rejected) => {
                    let mut tally = census.tally();
                    tally.unread(
                        rejected.status,
                        &rejected.reason,
                        rejected.ordinal,
                        rejected.uri,
                    );
                    continue;
                }
                Discovered::File(source) => source,
            };
            let (kind, size) = (kind_by_name(&source.path), source.stamp.size);
            census.tally().found(kind, size);
            if let Some(ends) = known(census, index, &source)? {
                census.tally().unchanged(ends);
                continue;
            }
            frame.add(kind, source);
        }
        let mut tally = census.tally();
        for (stratum, files) in &frame.strata {
            let sums = tally.strata.entry(*stratum).or_default();
            (sums.files, sums.bytes) = (files.count, files.bytes);
        }
        Ok(frame)
    }

    fn add(&mut self, kind: &'static str, source: Source) {
        let stratum = Stratum::of(kind, source.stamp.size);
        let room = (REMEMBERED / (self.strata.len() + 1)).max(LEAST_REMEMBERED);
        let files = self.strata.entry(stratum).or_default();
        files.count += 1;
        files.bytes += source.stamp.size;
        files
            .lowest
            .insert((drawn(&source.path), source.file), source);
        while files.lowest.len() > room {
            files.lowest.pop_last();
        }
    }

    /// Everything when it can be read in the time allowed, else a sample: files of each stratum in proportion to the text
    /// that is in it.
    pub fn choose(self, settings: &CensusSettings, threads: usize) -> Reading {
        #[expect(clippy::cast_precision_loss)] // a handful
        let budget_s = settings.read_s * threads as f64;
        let all = self
            .strata
            .iter()
            .map(|(stratum, files)| cost_of_stratum(stratum.kind, files));
        if settings.full || (settings.sample.is_none() && all.sum::<f64>() <= budget_s) {
            return Reading::All;
        }
        let mut queue: Vec<(f64, usize, &Source, f64)> = Vec::new();
        for (stratum, files) in &self.strata {
            let weight = weight(stratum.kind, files);
            for (place, source) in files.lowest.values().enumerate() {
                #[expect(clippy::cast_precision_loss)]
                let turn = if place < ALWAYS {
                    0.0
                } else {
                    (place + 1) as f64 / weight
                };
                let cost = cost(stratum.kind, source.stamp.size, true);
                queue.push((turn, place, source, cost));
            }
        }
        queue.sort_by(|one, other| {
            one.0
                .total_cmp(&other.0)
                .then(one.2.file.cmp(&other.2.file))
        });
        let mut spent_s = 0.0;
        let mut chosen: Vec<Source> = Vec::new();
        for (_, place, source, cost) in queue {
            let fits = match settings.sample {
                Some(most) => (chosen.len() as u64) < most,
                None => spent_s + cost <= budget_s || place < ALWAYS && spent_s <= budget_s,
            };
            if fits {
                spent_s += cost;
                chosen.push(source.clone());
            }
        }
        chosen.sort_by_key(|source| source.file);
        Reading::Some(chosen)
    }
}

/// How the inputs of a file ended that has not changed since a run answered it.
pub fn known(census: &Census, index: Option<&Index>, source: &Source) -> Result<Option<Unchanged>> {
    match index {
        Some(index) if !census.settings.ingest.paranoid => {
            index.unchanged(&source.uri, source.stamp, &census.plan.plan_key)
        }
        _ => Ok(None),
    }
}

/// A number that has nothing to do with the order of the files, and is the same every time.
fn drawn(path: &Path) -> u64 {
    let digest = Digest::of(path.as_os_str().as_encoded_bytes());
    u64::from_le_bytes(std::array::from_fn(|at| digest.0[at]))
}

/// Megabytes of one kind that one core reads in a second, and bytes of text in a byte of file: rough, to decide how much is
/// read and never shown.
fn speed(kind: &str) -> (f64, f64) {
    match kind {
        "html" => (25.0, 0.6),
        "pdf" => (2.0, 0.2),
        "docx" | "xlsx" | "pptx" | "ods" | "odt" | "epub" => (2.0, 1.0),
        "eml" | "mbox" => (20.0, 0.8),
        "markdown" | "text" | "code" | "json" | "jsonl" | "csv" | "no ending" | "other" => {
            (80.0, 1.0)
        }
        _ => (500.0, 0.0),
    }
}

pub fn is_records(kind: &str) -> bool {
    matches!(kind, "jsonl" | "csv" | "json")
}

#[expect(clippy::cast_precision_loss)] // rough anyway
fn cost(kind: &str, bytes: u64, sampled: bool) -> f64 {
    let (megabytes_s, text) = speed(kind);
    let mut encoded = bytes as f64 * text;
    if sampled && is_records(kind) {
        encoded = encoded.min(RECORD_BYTES as f64);
    }
    FILE_S + bytes as f64 / (megabytes_s * 1e6) + encoded / ENCODED_BYTES_S
}

fn cost_of_stratum(kind: &str, files: &Files) -> f64 {
    #[expect(clippy::cast_precision_loss)]
    let overhead = FILE_S * files.count as f64;
    cost(kind, files.bytes, false) + overhead
}

/// Mostly the text that is in it; a little for files without any, since they too are counted.
#[expect(clippy::cast_precision_loss)]
fn weight(kind: &str, files: &Files) -> f64 {
    files.bytes as f64 * speed(kind).1.max(0.01) + files.count as f64 * 1000.0
}
