//! What a batcher counts. Only the lane's task writes to most of it, once for a batch.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::{
    statistics::{Committed, Counter, Histogram, LaneStatistics},
    store::{Commit, CommitOutcome, Read},
};

/// How many requests a batch has, up to …
const SIZES: [u64; 10] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// How long a batch takes, in microseconds, up to …
const MICROS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000,
];

/// What both lanes count.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    pub(super) reads: LaneMetrics,
    pub(super) commits: LaneMetrics,
    pub(super) loads: Counter,
    pub(super) validations: Counter,
    pub(super) committed: Committed<Counter>,
    pub(super) conflicts: Counter,
}

/// What one lane counts.
#[derive(Debug)]
pub(super) struct LaneMetrics {
    /// How many requests the lane has taken out of its queue and not answered yet.
    pub(super) held: AtomicUsize,
    pub(super) batch_sizes: Histogram,
    pub(super) answer_micros: Histogram,
    pub(super) failures: Counter,
    pub(super) refused: Counter,
    pub(super) timed_out: Counter,
}

impl Default for LaneMetrics {
    fn default() -> Self {
        Self {
            held: AtomicUsize::new(0),
            batch_sizes: Histogram::new(&SIZES),
            answer_micros: Histogram::new(&MICROS),
            failures: Counter::default(),
            refused: Counter::default(),
            timed_out: Counter::default(),
        }
    }
}

impl LaneMetrics {
    pub(super) fn snapshot(&self, queued: usize) -> LaneStatistics {
        LaneStatistics {
            waiting: (self.held.load(Relaxed) + queued) as u64,
            batch_sizes: self.batch_sizes.snapshot(),
            answer_micros: self.answer_micros.snapshot(),
            failures: self.failures.total(),
            refused: self.refused.total(),
            timed_out: self.timed_out.total(),
        }
    }
}

impl Metrics {
    pub(super) fn count_reads(&self, reads: &[Read]) {
        let validations = reads.iter().filter(|read| read.known.is_some()).count();
        self.validations.add(validations as u64);
        self.loads.add((reads.len() - validations) as u64);
    }

    pub(super) fn count_commit(&self, commit: &Commit, outcome: CommitOutcome) {
        if outcome == CommitOutcome::Conflict {
            self.conflicts.increment();
        }
        if outcome != CommitOutcome::Done {
            return;
        }
        let committed = &self.committed;
        let counter = match commit {
            Commit::Create { .. } => &committed.creates,
            Commit::Delete { .. } => &committed.deletes,
            Commit::Rename { .. } => &committed.renames,
            Commit::Touch { .. } => &committed.touches,
            Commit::Update { .. } => &committed.updates,
        };
        counter.increment();
    }

    pub(super) fn committed(&self) -> Committed<u64> {
        let committed = &self.committed;
        Committed {
            creates: committed.creates.total(),
            deletes: committed.deletes.total(),
            renames: committed.renames.total(),
            touches: committed.touches.total(),
            updates: committed.updates.total(),
        }
    }
}
