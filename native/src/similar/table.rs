//! Signatures that have been kept, found again by bands: 16 groups of 8 bins, each a bucket of one hash table.
//!
//! Two texts of similarity 0.85 share a band with probability 0.99, of 0.9 with 0.9999, of 0.5 with 0.06. What shares one is
//! compared bin by bin. Grows to a number of bytes that is fixed at the start, and no further.

use super::{BINS, Signature, mix};

const BANDS: usize = 16;
const ROWS: usize = BINS / BANDS;
/// Candidates of one band that are compared: a bound on the time of texts that share boilerplate with thousands.
const COMPARED: usize = 256;
/// Slots of an empty table; it doubles when it is two thirds full.
const SMALLEST: usize = 1024;

/// A text that was kept before and is similar.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Its number: how many were kept before it.
    pub number: u32,
    pub similarity: f64,
}

/// All texts kept so far, each under a name of the caller's.
#[derive(Debug)]
pub struct Table {
    least_similarity: f64,
    budget_bytes: usize,
    bytes: usize,
    kept: Vec<(Signature, Box<str>)>,
    /// Number + 1 of a kept signature above, 32 bits of its band's hash below; 0 is free. Linear probing.
    slots: Vec<u64>,
    used: usize,
}

impl Table {
    /// Bytes that one kept text takes besides its name: the signature, its place, and slots of a table that is at least one
    /// third full.
    pub const BYTES_EACH: usize = 2 * BINS + 64 + BANDS * 8 * 3;

    /// `least_similarity`: from where on two texts count as similar. `budget_bytes`: what the table may take; texts that come
    /// when it is full are compared with those in it alone.
    #[must_use]
    pub fn new(least_similarity: f64, budget_bytes: usize) -> Table {
        Table {
            least_similarity,
            budget_bytes,
            bytes: 0,
            kept: Vec::new(),
            slots: vec![0; SMALLEST],
            used: 0,
        }
    }

    /// How many texts have been kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    #[must_use]
    pub fn name(&self, number: u32) -> &str {
        &self.kept[number as usize].1
    }

    /// The most similar text kept before, the earlier one on a tie.
    #[must_use]
    pub fn find(&self, signature: &Signature) -> Option<Found> {
        let mut best: Option<Found> = None;
        for hash in bands(signature) {
            for number in self.bucket(hash).take(COMPARED) {
                let similarity = signature.similarity(&self.kept[number as usize].0);
                let better = best.is_none_or(|best| {
                    similarity > best.similarity
                        || (similarity >= best.similarity && number < best.number)
                });
                if similarity >= self.least_similarity && better {
                    best = Some(Found { number, similarity });
                }
            }
        }
        best
    }

    /// Keeps a text; false when the table is full.
    pub fn keep(&mut self, signature: Signature, name: &str) -> bool {
        let bytes = self.bytes + Table::BYTES_EACH + name.len();
        let number = u32::try_from(self.kept.len()).unwrap_or(u32::MAX);
        if bytes > self.budget_bytes || number == u32::MAX {
            return false;
        }
        if (self.used + BANDS) * 3 > self.slots.len() * 2 {
            self.grow();
        }
        for hash in bands(&signature) {
            self.put(hash, number);
        }
        self.bytes = bytes;
        self.kept.push((signature, name.into()));
        true
    }

    fn put(&mut self, hash: u32, number: u32) {
        let mask = self.slots.len() - 1;
        let mut at = home(hash, mask);
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = (u64::from(number) + 1) << 32 | u64::from(hash);
        self.used += 1;
    }

    /// From the signatures, so that the old slots are gone before the new ones are there; in order of the numbers, so that
    /// a bucket lists the earliest first whatever the table has been through.
    fn grow(&mut self) {
        let size = self.slots.len() * 2;
        self.slots = Vec::new();
        self.slots = vec![0; size];
        self.used = 0;
        for number in 0..self.kept.len() {
            for hash in bands(&self.kept[number].0) {
                self.put(hash, u32::try_from(number).unwrap_or(u32::MAX));
            }
        }
    }

    fn bucket(&self, hash: u32) -> impl Iterator<Item = u32> + '_ {
        let mask = self.slots.len() - 1;
        let start = home(hash, mask);
        let slots = (0..self.slots.len()).map(move |step| self.slots[(start + step) & mask]);
        slots
            .take_while(|slot| *slot != 0)
            .filter(move |slot| *slot & u64::from(u32::MAX) == u64::from(hash))
            .map(|slot| u32::try_from((slot >> 32) - 1).unwrap_or(0))
    }
}

fn home(hash: u32, mask: usize) -> usize {
    usize::try_from(mix(u64::from(hash))).unwrap_or(0) & mask
}

fn bands(signature: &Signature) -> [u32; BANDS] {
    std::array::from_fn(|band| {
        let rows = &signature.bins()[band * ROWS..][..ROWS];
        let hash = rows.iter().fold(band as u64 + 1, |hash, row| {
            mix(hash.rotate_left(16) ^ u64::from(*row))
        });
        u32::try_from(hash >> 32).unwrap_or(0)
    })
}
