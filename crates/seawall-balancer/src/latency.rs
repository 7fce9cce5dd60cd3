//! How long answers take, as a histogram of fixed buckets.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// The upper bounds of the buckets, in µs; there is one more bucket without a bound.
pub(crate) const BOUNDS: [u64; 12] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];

/// Counts of answers by how long they took.
#[derive(Debug, Default)]
pub(crate) struct Latency {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Latency {
    pub(crate) fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < micros);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.micros.fetch_add(micros, Relaxed);
    }

    /// How many answers took at most so many µs, for each bound; then how many there were.
    pub(crate) fn cumulated(&self) -> ([u64; BOUNDS.len()], u64) {
        let mut sum = 0;
        let mut add = |bucket: &AtomicU64| {
            sum += bucket.load(Relaxed);
            sum
        };
        let bounded = std::array::from_fn(|index| add(&self.buckets[index]));
        let all = add(&self.buckets[BOUNDS.len()]);
        (bounded, all)
    }

    /// The sum of all times, in µs.
    pub(crate) fn micros(&self) -> u64 {
        self.micros.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_up_to_their_bound() {
        let latency = Latency::default();
        for micros in [500, 501, 9_000_000] {
            latency.record(Duration::from_micros(micros));
        }
        let (bounded, all) = latency.cumulated();
        assert_eq!((bounded[0], bounded[1], bounded[11], all), (1, 2, 2, 3));
        assert_eq!(latency.micros(), 9_001_001);
    }
}
