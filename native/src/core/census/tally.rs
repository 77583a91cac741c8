//! What the census has counted: sums, not documents. Files of one kind and about one size make a stratum, and what each
//! file gave is kept as moments, so that a sample can be scaled up with the error that it has.
//!
//! Bounded: strata, classes of reasons and histograms are few whatever the corpus holds. Arithmetic over it (totals,
//! intervals) is the caller's.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::{Value, json};

use crate::document::{Ordinal, RejectedStatus};
use crate::histogram::Histogram;
use crate::index::Unchanged;

/// Classes of reasons that are kept apart; a corpus has a dozen.
const MOST_REASONS: usize = 256;

/// What is counted of a file, by position in its numbers.
pub const QUANTITIES: [&str; 11] = [
    "documents",
    "skipped",
    "failed",
    "duplicates",
    "near_duplicates",
    "text_bytes",
    "covered_bytes",
    "tokens",
    "chunks",
    "requests",
    "tokens_to_send",
];
pub const DOCUMENTS: usize = 0;
pub const SKIPPED: usize = 1;
pub const FAILED: usize = 2;
pub const DUPLICATES: usize = 3;
pub const NEAR_DUPLICATES: usize = 4;
pub const TEXT_BYTES: usize = 5;
/// The rest is known of documents that were cut and encoded only.
pub const ENCODED: std::ops::Range<usize> = 6..9;
/// Of these, what is new: no duplicate, and not answered by an earlier run.
pub const NEW: std::ops::Range<usize> = 9..11;

pub type Numbers = [f64; QUANTITIES.len()];

/// Files of one kind (by name) whose sizes lie within a factor of four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stratum {
    pub kind: &'static str,
    pub size_class: u8,
}

impl Stratum {
    pub fn of(kind: &'static str, bytes: u64) -> Stratum {
        let doublings = bytes.max(1).ilog2().clamp(10, 30) - 10;
        Stratum {
            kind,
            size_class: u8::try_from(doublings / 2).unwrap_or(0),
        }
    }
}

/// One file, read.
#[derive(Debug, Default)]
pub struct FileTally {
    pub numbers: Numbers,
    /// Variance that comes from encoding only some of the file's documents.
    pub variance: Numbers,
    /// Prompt tokens of its documents, and chunks of those that have several.
    pub tokens: Histogram,
    pub chunks: Histogram,
    pub longest: Option<(u64, String)>,
    pub reasons: BTreeMap<(RejectedStatus, String), Reason>,
    pub near: Option<NearPair>,
    /// Only some of its documents were encoded.
    pub partly: bool,
    /// Documents that the table of similar ones had no room for.
    pub not_compared: u64,
    /// More documents than duplicates are looked for in.
    pub too_many: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Reason {
    pub count: u64,
    /// The earliest one in input order.
    pub first: (Ordinal, String, String),
}

/// An example of two similar documents.
#[derive(Debug, Clone, PartialEq)]
pub struct NearPair {
    pub ordinal: Ordinal,
    pub source: String,
    pub like: String,
    pub similarity: f64,
}

impl FileTally {
    pub fn reject(
        &mut self,
        status: RejectedStatus,
        reason: &str,
        ordinal: Ordinal,
        source: String,
    ) {
        let quantity = match status {
            RejectedStatus::Skipped => SKIPPED,
            RejectedStatus::Failed => FAILED,
        };
        self.numbers[quantity] += 1.0;
        let first = (ordinal, source, reason.to_owned());
        let reason = Reason { count: 1, first };
        add_reason(
            &mut self.reasons,
            (status, class(&reason.first.2).to_owned()),
            reason,
        );
    }

    pub fn measure(&mut self, tokens: u64, chunks: u64, source: &str) {
        self.tokens.add(tokens, 1.0);
        if chunks > 1 {
            self.chunks.add(chunks, 1.0);
        }
        if self.longest.as_ref().is_none_or(|(most, _)| tokens > *most) {
            self.longest = Some((tokens, source.to_owned()));
        }
    }
}

/// The class is what stands before the first colon or bracket, as runner.store.reasons has it.
fn class(reason: &str) -> &str {
    let end = reason.find(':').unwrap_or(reason.len());
    let end = reason[..end].find(" (").unwrap_or(end);
    &reason[..end]
}

fn add_reason<K: Ord>(reasons: &mut BTreeMap<K, Reason>, key: K, more: Reason) {
    let room = reasons.len() < MOST_REASONS;
    match reasons.entry(key) {
        Entry::Occupied(mut entry) => {
            let known = entry.get_mut();
            known.count += more.count;
            if more.first.0 < known.first.0 {
                known.first = more.first;
            }
        }
        Entry::Vacant(entry) if room => {
            entry.insert(more);
        }
        Entry::Vacant(_) => {} // the totals of the stratum hold it all the same
    }
}

/// Sums over the files of one stratum; x is a file's size, y its number.
#[derive(Debug, Default, Clone)]
pub struct StratumTally {
    /// All files that have to be read, known from the walk.
    pub files: u64,
    pub bytes: u64,
    /// Those that were.
    pub read: u64,
    pub read_bytes: u64,
    pub bytes_squared: f64,
    pub sums: Numbers,
    pub squares: Numbers,
    pub products: Numbers,
    pub variance: Numbers,
    pub tokens: Histogram,
    pub chunks: Histogram,
    pub partly: bool,
}

/// Everything counted so far.
#[derive(Debug, Default)]
pub struct Tally {
    /// Of all files found, by kind: how many and how large.
    pub kinds: BTreeMap<&'static str, (u64, u64)>,
    pub strata: BTreeMap<Stratum, StratumTally>,
    /// Per stratum; paths that the walk rejects have none.
    pub reasons: BTreeMap<(Option<Stratum>, RejectedStatus, String), Reason>,
    /// Inputs of files that have not changed since a run answered them, by how they ended.
    pub unchanged_files: u64,
    pub unchanged: BTreeMap<&'static str, u64>,
    pub longest: Option<(u64, String)>,
    pub near: Option<NearPair>,
    /// How many files were to be read when only some were chosen.
    pub chosen: Option<u64>,
    /// Documents that the table of similar ones had no room for.
    pub not_compared: u64,
    /// More documents than duplicates are looked for in.
    pub duplicates_cut: bool,
    pub complete: bool,
}

impl Tally {
    pub fn found(&mut self, kind: &'static str, bytes: u64) {
        let (files, size) = self.kinds.entry(kind).or_default();
        *files += 1;
        *size += bytes;
    }

    pub fn unread(
        &mut self,
        status: RejectedStatus,
        reason: &str,
        ordinal: Ordinal,
        source: String,
    ) {
        let first = (ordinal, source, reason.to_owned());
        let key = (None, status, class(reason).to_owned());
        add_reason(&mut self.reasons, key, Reason { count: 1, first });
    }

    pub fn unchanged(&mut self, ends: Unchanged) {
        self.unchanged_files += 1;
        let counts = [
            ("ok", ends.ok),
            ("failed", ends.failed),
            ("skipped", ends.skipped),
            ("quarantined", ends.quarantined),
        ];
        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            *self.unchanged.entry(name).or_default() += count;
        }
    }

    /// A file was read to its end.
    #[expect(clippy::cast_precision_loss)] // sizes and counts far below 2^53
    pub fn read(&mut self, stratum: Stratum, bytes: u64, file: FileTally) {
        let sums = self.strata.entry(stratum).or_default();
        sums.read += 1;
        sums.read_bytes += bytes;
        let x = bytes as f64;
        sums.bytes_squared += x * x;
        for (at, y) in file.numbers.iter().enumerate() {
            sums.sums[at] += y;
            sums.squares[at] += y * y;
            sums.products[at] += x * y;
            sums.variance[at] += file.variance[at];
        }
        sums.tokens.merge(&file.tokens);
        sums.chunks.merge(&file.chunks);
        sums.partly |= file.partly;
        for ((status, class), reason) in file.reasons {
            add_reason(&mut self.reasons, (Some(stratum), status, class), reason);
        }
        if let Some(longest) = file.longest
            && self.longest.as_ref().is_none_or(|most| {
                longest.0 > most.0 || (longest.0 == most.0 && longest.1 < most.1)
            })
        {
            self.longest = Some(longest);
        }
        self.not_compared += file.not_compared;
        self.duplicates_cut |= file.too_many;
        if let Some(pair) = file.near
            && self
                .near
                .as_ref()
                .is_none_or(|first| pair.ordinal < first.ordinal)
        {
            self.near = Some(pair);
        }
    }

    /// For `runner.predict`.
    pub fn to_json(&self) -> Value {
        json!({
            "complete": self.complete,
            "quantities": QUANTITIES,
            "kinds": self.kinds,
            "strata": self.strata.iter().map(|(stratum, sums)| stratum_json(*stratum, sums)).collect::<Vec<_>>(),
            "reasons": self.reasons.iter().map(|(key, reason)| reason_json(key, reason)).collect::<Vec<_>>(),
            "unchanged_files": self.unchanged_files,
            "unchanged": self.unchanged,
            "longest": self.longest,
            "near_example": self.near.as_ref().map(|pair| json!({
                "source": pair.source, "like": pair.like, "similarity": pair.similarity,
            })),
            "chosen": self.chosen,
            "not_compared": self.not_compared,
            "duplicates_cut": self.duplicates_cut,
        })
    }
}

fn stratum_json(stratum: Stratum, sums: &StratumTally) -> Value {
    json!({
        "kind": stratum.kind,
        "size_class": stratum.size_class,
        "files": sums.files,
        "bytes": sums.bytes,
        "read": sums.read,
        "read_bytes": sums.read_bytes,
        "bytes_squared": sums.bytes_squared,
        "sums": sums.sums,
        "squares": sums.squares,
        "products": sums.products,
        "variance": sums.variance,
        "tokens": sums.tokens.pairs().collect::<Vec<_>>(),
        "chunks": sums.chunks.pairs().collect::<Vec<_>>(),
        "partly": sums.partly,
    })
}

fn reason_json(key: &(Option<Stratum>, RejectedStatus, String), reason: &Reason) -> Value {
    let (stratum, status, class) = key;
    let (_, source, text) = &reason.first;
    json!({
        "kind": stratum.map(|stratum| stratum.kind),
        "size_class": stratum.map(|stratum| stratum.size_class),
        "status": status,
        "class": class,
        "count": reason.count,
        "example": source,
        "reason": text,
    })
}
