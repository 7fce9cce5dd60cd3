//! How long to wait for more before a batch leaves.
//!
//! Clients that were answered together come back together, a little later. Without any wait they
//! fall into two halves that take turns, and everybody waits for two commits, each of which costs
//! the database nearly what one of all would cost. A wait that ends as soon as everybody is there
//! merges the halves. It is measured in ARCHITECTURE.md, group commit.

use std::time::Duration;

/// Fewer commits than this are not waited for: the wait would cost more than it saves.
const CROWD: usize = 4;

/// A batch of this many shares the fixed cost of a commit among enough: it leaves at once.
const PLENTY: usize = 16;

/// Waits up to a commit's time are good where commits are fast; where they are slow, an eighth of
/// it is enough for the way to the clients and back.
const SHORT: Duration = Duration::from_millis(1);

/// Remembers how long commits take and how many come together.
#[derive(Debug, Default)]
pub(super) struct Linger {
    /// Moving average of the time of a commit.
    commit_time: Duration,
    /// How many commits are there at a time: those of the last batch, and those that came
    /// meanwhile.
    expected: usize,
}

impl Linger {
    /// Takes note of a batch that went through, and of how many commits `came` meanwhile.
    pub(super) fn observe(&mut self, commit_time: Duration, batch: usize, came: usize) {
        self.commit_time = (self.commit_time * 7 + commit_time) / 8;
        self.expected = batch + came;
    }

    /// Whether there is anything to wait for when `waiting` commits are there.
    pub(super) fn expects_more_than(&self, waiting: usize) -> bool {
        self.expected >= CROWD && waiting < self.expected.min(PLENTY)
    }

    /// The longest wait.
    pub(super) fn limit(&self) -> Duration {
        self.commit_time.min(SHORT.max(self.commit_time / 8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(commit_time: Duration, batch: usize, came: usize) -> Linger {
        let mut linger = Linger::default();
        for _ in 0..100 {
            linger.observe(commit_time, batch, came);
        }
        linger
    }

    #[test]
    fn a_crowd_is_waited_for_until_it_is_there() {
        let linger = after(Duration::from_micros(400), 5, 3);
        assert!(linger.expects_more_than(7));
        assert!(!linger.expects_more_than(8));
    }

    #[test]
    fn a_large_batch_leaves_at_once() {
        let linger = after(Duration::from_micros(400), 100, 100);
        assert!(linger.expects_more_than(15));
        assert!(!linger.expects_more_than(16));
    }

    #[test]
    fn one_or_two_clients_never_wait() {
        let linger = after(Duration::from_micros(400), 1, 1);
        assert!(!linger.expects_more_than(1));
        assert!(!Linger::default().expects_more_than(0));
    }

    #[test]
    fn slow_commits_are_waited_for_in_proportion() {
        let close_to = |micros, expected| {
            let limit = after(Duration::from_micros(micros), 8, 0).limit();
            let off = limit.abs_diff(Duration::from_micros(expected));
            assert!(off < Duration::from_micros(20), "{limit:?}");
        };
        close_to(300, 300);
        close_to(2_000, 1_000);
        close_to(16_000, 2_000);
    }
}
