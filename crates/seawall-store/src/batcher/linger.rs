//! How long to wait for more before a batch leaves.
//!
//! Without any wait, clients of a slow disk fall into two halves that take turns, and everybody
//! waits for two commits. Waiting for about an eighth of a commit's time merges the halves; on a
//! fast disk any wait is a loss. Both were measured (see ARCHITECTURE.md, group commit).

use std::time::Duration;

/// Commits faster than this are not worth waiting for.
const SLOW_COMMIT: Duration = Duration::from_micros(1_500);

/// Remembers how long commits take and how many came together.
#[derive(Debug, Default)]
pub(super) struct Linger {
    /// Moving average of the time of a commit.
    commit_time: Duration,
    /// How many commits the last batch held.
    last_batch: usize,
}

impl Linger {
    /// Takes note of a batch that went through.
    pub(super) fn observe(&mut self, commit_time: Duration, batch: usize) {
        self.commit_time = (self.commit_time * 7 + commit_time) / 8;
        self.last_batch = batch;
    }

    /// How long to wait for company when `waiting` commits are there; `None` is not at all.
    pub(super) fn duration(&self, waiting: usize) -> Option<Duration> {
        let worth_it = self.commit_time >= SLOW_COMMIT && waiting < self.last_batch;
        worth_it.then(|| self.commit_time / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(commit_time: Duration, batch: usize) -> Linger {
        let mut linger = Linger::default();
        for _ in 0..100 {
            linger.observe(commit_time, batch);
        }
        linger
    }

    #[test]
    fn fast_commits_do_not_wait() {
        assert_eq!(after(Duration::from_micros(400), 64).duration(1), None);
    }

    #[test]
    fn slow_commits_wait_for_an_eighth_until_enough_are_there() {
        let linger = after(Duration::from_millis(8), 16);
        let wait = linger.duration(3).unwrap();
        assert!(
            wait > Duration::from_micros(900) && wait <= Duration::from_millis(1),
            "{wait:?}"
        );
        assert_eq!(linger.duration(16), None);
    }
}
