//! Which texts say nearly the same: MinHash signatures of five-word shingles, and a table that finds the similar ones.
//!
//! Pure, one text at a time, bounded: 256 bytes a signature, some 200 more in the table. A signature has 128 bins filled by
//! one hash a shingle (one-permutation hashing, Li et al. 2012), empty ones by optimal densification (Shrivastava 2017), so
//! that reading costs one pass whatever the number of bins. What is similar to what does not depend on threads: the caller
//! asks in the order of the inputs. Called by core.

mod shingles;
mod table;

pub use self::shingles::shingles;
pub use self::table::{Found, Table};

/// Numbers of a signature. The standard error of an estimate is `sqrt(J (1 - J) / 128)`: 0.03 at 0.85.
pub const BINS: usize = 128;

/// What is kept of a text: equal bins, as a share of all, estimate the Jaccard similarity of the sets of shingles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature(Box<[u16; BINS]>);

impl Signature {
    #[must_use]
    pub fn of(text: &str) -> Signature {
        let mut least = Box::new([u64::MAX; BINS]);
        shingles(text, |shingle| {
            // The top seven bits choose the bin, the others compete in it.
            let (bin, rest) = (
                usize::try_from(shingle >> 57).unwrap_or(0),
                shingle & (u64::MAX >> 7),
            );
            least[bin] = least[bin].min(rest);
        });
        let mut bins = Box::new([0u16; BINS]);
        for (bin, number) in bins.iter_mut().enumerate() {
            *number = short(least[filled(&least, bin)]);
        }
        Signature(bins)
    }

    /// 0 to 1.
    #[must_use]
    pub fn similarity(&self, other: &Signature) -> f64 {
        let equal = self.0.iter().zip(other.0.iter()).filter(|(a, b)| a == b);
        let equal = u32::try_from(equal.count()).unwrap_or(0);
        f64::from(equal) / f64::from(u32::try_from(BINS).unwrap_or(1))
    }

    fn bins(&self) -> &[u16; BINS] {
        &self.0
    }
}

/// The bin itself, or the one it borrows from: which one depends on the bin's number alone, so that two texts borrow alike.
fn filled(least: &[u64; BINS], bin: usize) -> usize {
    let mut at = bin;
    let mut tries: u64 = 0;
    while least[at] == u64::MAX {
        tries += 1;
        if tries > 10_000 {
            return bin; // no shingle at all
        }
        let drawn = mix((bin as u64) << 32 | tries);
        at = usize::try_from(drawn % BINS as u64).unwrap_or(0);
    }
    at
}

/// 16 bits are enough: two different minima look equal once in 65,536.
fn short(least: u64) -> u16 {
    u16::try_from(mix(least) >> 48).unwrap_or(0)
}

/// The finalizer of MurmurHash3: every bit in changes half of the bits out.
pub(crate) fn mix(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests;
