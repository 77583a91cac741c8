//! Which documents of a large file of records are encoded when only some are, and what they say of the others.
//!
//! Tokens follow bytes closely, so the rest is estimated by its bytes (a ratio estimate) with the variance that this has.

use super::tally::{ENCODED, FileTally, NEW};
use crate::similar::mix;

use super::frame::RECORD_BYTES;

/// Numbers that one set of sums holds.
const MOST: usize = ENCODED.end - ENCODED.start;
const SEED: u64 = 0x6365_6e73_7573_0001;

/// Sums over the documents that were encoded: x their bytes, y what was counted of them.
#[derive(Default)]
struct Sums {
    /// Bytes of all documents that these stand for, and how many they are.
    all: f64,
    all_bytes: f64,
    encoded: f64,
    x: f64,
    xx: f64,
    y: [f64; MOST],
    xy: [f64; MOST],
    yy: [f64; MOST],
}

impl Sums {
    fn add(&mut self, x: f64, y: [f64; MOST]) {
        self.encoded += 1.0;
        self.x += x;
        self.xx += x * x;
        for (at, y) in y.into_iter().enumerate() {
            self.y[at] += y;
            self.xy[at] += x * y;
            self.yy[at] += y * y;
        }
    }

    /// Totals and their variances.
    fn totals(&self) -> [(f64, f64); MOST] {
        std::array::from_fn(|at| {
            let (sum, count) = (self.y[at], self.encoded);
            if count >= self.all || self.x <= 0.0 {
                return (sum, 0.0);
            }
            let ratio = sum / self.x;
            let residuals =
                (self.yy[at] - 2.0 * ratio * self.xy[at] + ratio * ratio * self.xx).max(0.0);
            let left_out = 1.0 - count / self.all;
            let variance =
                self.all * self.all * left_out / count * residuals / (count - 1.0).max(1.0);
            (ratio * self.all_bytes, variance)
        })
    }
}

/// One file's share.
pub struct Share {
    /// Of 2^64 documents, how many are encoded; None = all.
    threshold: Option<u64>,
    documents: Sums,
    new: Sums,
}

impl Share {
    /// `bytes`: of a file that is read only in part.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    pub fn of(bytes: Option<u64>) -> Share {
        let share = |bytes: u64| RECORD_BYTES as f64 / bytes as f64;
        Share {
            threshold: bytes.map(|bytes| (share(bytes) * u64::MAX as f64) as u64),
            documents: Sums::default(),
            new: Sums::default(),
        }
    }

    /// Counts a document, and whether it is to be encoded: the first always, the others by their number.
    pub fn takes(&mut self, record: u32, bytes: f64, new: bool) -> bool {
        self.documents.all += 1.0;
        self.documents.all_bytes += bytes;
        if new {
            self.new.all += 1.0;
            self.new.all_bytes += bytes;
        }
        let first = self.documents.all <= 1.0;
        self.threshold
            .is_none_or(|threshold| first || mix(SEED ^ u64::from(record)) <= threshold)
    }

    pub fn add(&mut self, bytes: f64, encoded: [f64; MOST], new: Option<[f64; 2]>) {
        self.documents.add(bytes, encoded);
        if let Some(new) = new {
            self.new.add(bytes, [new[0], new[1], 0.0]);
        }
    }

    /// Scales what was encoded to the whole file.
    pub fn fill(&self, tally: &mut FileTally) {
        for (quantities, sums) in [(ENCODED, &self.documents), (NEW, &self.new)] {
            for (at, (total, variance)) in quantities.zip(sums.totals()) {
                tally.numbers[at] = total;
                tally.variance[at] = variance;
            }
        }
        if self.threshold.is_some() && self.documents.encoded > 0.0 {
            let each = self.documents.all / self.documents.encoded;
            tally.tokens.scale(each);
            tally.chunks.scale(each);
            tally.partly = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(record: u32, below: u64) -> u32 {
        u32::try_from(mix(u64::from(record)) % below).expect("small")
    }

    #[test]
    fn a_whole_file_is_exact() {
        let mut share = Share::of(None);
        for record in 0..10 {
            assert!(share.takes(record, 100.0, true));
            share.add(100.0, [100.0, 20.0, 1.0], Some([1.0, 30.0]));
        }
        let mut tally = FileTally::default();
        share.fill(&mut tally);
        assert_eq!(tally.numbers[ENCODED], [1000.0, 200.0, 10.0]);
        assert_eq!(tally.numbers[NEW], [10.0, 300.0]);
        assert!(tally.variance.iter().all(|variance| *variance == 0.0));
        assert!(!tally.partly);
    }

    #[test]
    fn a_part_of_a_file_stands_for_the_rest_within_its_own_error() {
        let mut share = Share::of(Some(64 * RECORD_BYTES));
        let mut tally = FileTally::default();
        let mut truth = 0.0;
        for record in 0..100_000u32 {
            let bytes = f64::from(100 + drawn(record, 300));
            let counted = u64::from(100 + drawn(record, 300)) / 4;
            let tokens = (bytes / (3.5 + f64::from(drawn(record + 7, 100)) / 100.0)).round();
            truth += tokens;
            if share.takes(record, bytes, record % 2 == 0) {
                tally.measure(counted, 1, "x");
                share.add(
                    bytes,
                    [bytes, tokens, 1.0],
                    (record % 2 == 0).then_some([1.0, tokens]),
                );
            }
        }
        share.fill(&mut tally);
        let off = tally.numbers[ENCODED.start + 1] - truth;
        let error = tally.variance[ENCODED.start + 1].sqrt();
        assert!(error > 0.0 && error < 0.02 * truth, "{error} of {truth}");
        assert!(off.abs() < 4.0 * error, "{off} off, error {error}");
        let counted: f64 = tally.tokens.pairs().map(|(_, weight)| weight).sum();
        assert!((counted - 100_000.0).abs() < 1e-6);
        assert!((tally.numbers[NEW.start] / 50_000.0 - 1.0).abs() < 0.1);
    }
}
