//! How often each size occurs, in little room: exact below 128, within 0.8 % above. Quantiles of any number of documents.
//!
//! Pure. Buckets as in HdrHistogram: 64 to each doubling. A count is a weight, so that a document of a sample can stand for
//! several. Called by core's census.

use std::collections::BTreeMap;

/// Buckets to each doubling.
const STEPS: u64 = 64;

/// Weight by bucket; only buckets that hold something take room (at most 3,776 do).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    buckets: BTreeMap<u16, f64>,
}

impl Histogram {
    pub fn add(&mut self, value: u64, weight: f64) {
        *self.buckets.entry(bucket(value)).or_default() += weight;
    }

    pub fn merge(&mut self, other: &Histogram) {
        for (bucket, weight) in &other.buckets {
            *self.buckets.entry(*bucket).or_default() += weight;
        }
    }

    /// Every weight so many times.
    pub fn scale(&mut self, factor: f64) {
        self.buckets
            .values_mut()
            .for_each(|weight| *weight *= factor);
    }

    /// `(value, weight)` in ascending order; the value is the middle of its bucket.
    pub fn pairs(&self) -> impl Iterator<Item = (u64, f64)> + '_ {
        self.buckets
            .iter()
            .map(|(bucket, weight)| (middle(*bucket), *weight))
    }
}

fn bucket(value: u64) -> u16 {
    let doublings = value.max(1).ilog2();
    let number = if doublings < 7 {
        value
    } else {
        let shift = doublings - 6;
        u64::from(shift) * STEPS + (value >> shift)
    };
    u16::try_from(number).expect("58 doublings of 64 buckets")
}

fn middle(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    ((bucket - shift * STEPS) << shift) + (1 << (shift - 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_comes_back_within_eight_per_mille(value in any::<u64>()) {
            let back = middle(bucket(value));
            prop_assert!(back.abs_diff(value) <= value / 125, "{value} came back as {back}");
        }

        #[test]
        fn buckets_ascend_with_values(low in any::<u64>(), high in any::<u64>()) {
            let (low, high) = (low.min(high), low.max(high));
            prop_assert!(bucket(low) <= bucket(high));
        }
    }

    #[test]
    fn small_values_are_exact_and_the_last_bucket_fits() {
        for value in 0..128 {
            assert_eq!(middle(bucket(value)), value);
        }
        assert_eq!(bucket(u64::MAX), 3775);
    }

    #[test]
    fn weights_of_one_value_add_up_across_a_merge() {
        let mut one = Histogram::default();
        one.add(5, 1.0);
        let mut other = Histogram::default();
        other.add(5, 2.5);
        other.add(1000, 1.0);
        one.merge(&other);
        assert_eq!(
            one.pairs().collect::<Vec<_>>(),
            [(5, 3.5), (middle(bucket(1000)), 1.0)]
        );
    }
}
