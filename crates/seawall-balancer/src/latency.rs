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

/// The time within which the share `q` of answers came, from 0 to 1; `None` when there were none.
///
/// `bounds` are the buckets' upper bounds in µs, `counts` how many answers each bucket holds, and the
/// last one those beyond all bounds. Within a bucket the times are taken to be spread evenly.
#[must_use]
pub fn quantile(bounds: &[u64], counts: &[u64], q: f64) -> Option<Duration> {
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return None;
    }
    let lossy = |count: u64| {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let count = count as f64;
        count
    };
    let wanted = lossy(all) * q;
    let (mut below, mut lower) = (0, 0);
    for (count, &upper) in counts.iter().zip(bounds) {
        if *count > 0 && lossy(below + count) >= wanted {
            let share = (wanted - lossy(below)) / lossy(*count);
            let micros = lossy(lower) + lossy(upper - lower) * share.clamp(0.0, 1.0);
            return Some(Duration::from_secs_f64(micros / 1e6));
        }
        below += count;
        lower = upper;
    }
    Some(Duration::from_micros(lower))
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

    /// How many answers each bucket holds.
    pub(crate) fn counts(&self) -> [u64; BOUNDS.len() + 1] {
        std::array::from_fn(|index| self.buckets[index].load(Relaxed))
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
    fn quantiles_lie_within_their_bucket() {
        let bounds = [1_000, 2_000];
        let millis = |counts: &[u64], q| {
            quantile(&bounds, counts, q).map(|time| time.as_secs_f64() * 1_000.0)
        };
        assert_eq!(millis(&[0, 0, 0], 0.5), None);
        assert_eq!(millis(&[10, 0, 0], 0.5), Some(0.5));
        assert_eq!(millis(&[50, 50, 0], 0.5), Some(1.0));
        assert_eq!(millis(&[0, 100, 0], 0.99), Some(1.99));
        assert_eq!(millis(&[1, 0, 9], 0.99), Some(2.0), "at least that");
    }

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
