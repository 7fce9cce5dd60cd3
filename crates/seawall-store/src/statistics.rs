//! Counting what a node does: plain atomics, and no registry. Whoever exports them takes a snapshot.

use std::{
    fmt,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use crate::codec::UnreadableCounts;

/// Threads are spread over so many cells.
const CELLS: usize = 8;

/// A number that only grows. Threads count in cells of their own, so they do not wait for each
/// other's cache lines.
#[derive(Default)]
pub struct Counter {
    cells: [Cell; CELLS],
}

#[derive(Default)]
#[repr(align(64))]
struct Cell(AtomicU64);

thread_local! {
    static CELL: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Relaxed) % CELLS
    };
}

impl Counter {
    /// Counts one more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts `number` more.
    pub fn add(&self, number: u64) {
        let cell = CELL.with(|cell| *cell);
        self.cells[cell].0.fetch_add(number, Relaxed);
    }

    /// How many there were so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.cells.iter().map(|cell| cell.0.load(Relaxed)).sum()
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.total()).finish()
    }
}

/// Counts of values in buckets with fixed bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One more than there are bounds.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

impl Histogram {
    /// A histogram with these upper bounds, which rise; one more bucket has none.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a value.
    pub fn record(&self, value: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
    }

    /// Counts a time, in microseconds.
    pub fn record_micros(&self, time: Duration) {
        self.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// What was counted so far.
    #[must_use]
    pub fn snapshot(&self) -> HistogramSnapshot {
        let mut count = 0;
        let mut cumulated: Vec<u64> = self
            .buckets
            .iter()
            .map(|bucket| {
                count += bucket.load(Relaxed);
                count
            })
            .collect();
        cumulated.pop();
        HistogramSnapshot {
            bounds: self.bounds,
            cumulated,
            count,
            sum: self.sum.load(Relaxed),
        }
    }
}

/// What a [`Histogram`] had counted at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// The upper bounds of the buckets.
    pub bounds: &'static [u64],
    /// For each bound, how many values were not above it.
    pub cumulated: Vec<u64>,
    /// How many values there were.
    pub count: u64,
    /// The sum of all values.
    pub sum: u64,
}

/// What a [`Batcher`](crate::Batcher) and its store had done at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStatistics {
    /// Whether the store answers, as far as it was asked.
    pub is_up: bool,
    /// How often the store went away.
    pub outages: u64,
    /// The lane that reads.
    pub reads: LaneStatistics,
    /// The lane that commits.
    pub commits: LaneStatistics,
    /// Reads of sessions of which there was no copy.
    pub loads: u64,
    /// Reads that asked whether a copy is current.
    pub validations: u64,
    /// Commits that took effect, by their kind.
    pub committed: Committed<u64>,
    /// Commits that another node's came before.
    pub conflicts: u64,
    /// The connections to the store's server.
    pub connections: ConnectionStatistics,
    /// What could not be read.
    pub unreadable: UnreadableCounts,
}

/// One lane of a [`Batcher`](crate::Batcher).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneStatistics {
    /// Requests that wait for the store now.
    pub waiting: u64,
    /// How many requests went in each batch that was answered.
    pub batch_sizes: HistogramSnapshot,
    /// How long the store took for each of them, in microseconds.
    pub answer_micros: HistogramSnapshot,
    /// Tries that failed because the store was away.
    pub failures: u64,
    /// Requests that were refused because too many waited.
    pub refused: u64,
    /// Requests that waited for as long as their patience, in vain.
    pub timed_out: u64,
}

/// Something for each kind of commit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Committed<T> {
    /// Sessions that came into being.
    pub creates: T,
    /// Sessions that were ended.
    pub deletes: T,
    /// Sessions that got another id.
    pub renames: T,
    /// Accesses that were told.
    pub touches: T,
    /// Sessions that were written.
    pub updates: T,
}

/// The connections of a store to its server; none for a store without one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionStatistics {
    /// Connections that were made.
    pub opened: u64,
    /// Connections that broke, were given up, or were found dead.
    pub lost: u64,
    /// Statements that the server undid because of another transaction, and that were sent again.
    pub undone: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_count() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..100).for_each(|_| counter.increment()));
            }
        });
        assert_eq!(counter.total(), 2_000);
    }

    #[test]
    fn values_are_counted_up_to_their_bound() {
        let histogram = Histogram::new(&[10, 100]);
        for value in [10, 11, 5_000] {
            histogram.record(value);
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.cumulated, [1, 2]);
        assert_eq!((snapshot.count, snapshot.sum), (3, 5_021));
    }
}
