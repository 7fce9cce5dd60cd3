//! What the columns of Jetty's table, and ours beside them, hold. Pure functions; the SQL is
//! elsewhere.

use std::time::Duration;

use crate::clock::{Timestamp, millis};

/// The width of an expiry bucket. Accesses move the expiry all the time and the bucket hardly
/// ever, so the index on it is rarely written.
const BUCKET_MILLIS: i64 = 300_000;

/// What `maxInterval` holds when a session never expires by itself. Jetty reads any value that is
/// not positive like this.
const IMMORTAL: i64 = -1;

/// The times of a stored row that a commit depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredTimes {
    /// `None` when the column holds no number; such a row equals no expected version.
    pub(crate) version: Option<i64>,
    pub(crate) access: i64,
    pub(crate) expiry: i64,
    pub(crate) deadline: Option<i64>,
}

impl StoredTimes {
    /// The expiry after an access at `access`: it moves along, up to the deadline.
    pub(crate) fn expiry_after(self, access: i64) -> i64 {
        if self.expiry == 0 {
            return 0;
        }
        let moved = self
            .expiry
            .saturating_add(access.saturating_sub(self.access));
        self.deadline
            .map_or(moved, |deadline| moved.min(deadline))
            .max(1)
    }
}

/// What `expiryTime` holds: 0 means never, so an expiry is at least 1.
pub(crate) fn expiry_column(expiry: Option<Timestamp>) -> i64 {
    expiry.map_or(0, |expiry| expiry.as_millis().max(1))
}

/// What `maxInterval` holds.
pub(crate) fn interval_column(idle_timeout: Option<Duration>) -> i64 {
    idle_timeout.map_or(IMMORTAL, |timeout| millis(timeout).max(1))
}

/// What `expirybucket` holds for an expiry: the expiry rounded up, nothing when it is never.
pub(crate) fn bucket_column(expiry: i64) -> Option<i64> {
    (expiry > 0).then(|| bucket(expiry))
}

/// The bucket that a point in time falls into.
pub(crate) fn bucket(time: i64) -> i64 {
    match time.rem_euclid(BUCKET_MILLIS) {
        0 => time,
        rest => time.saturating_add(BUCKET_MILLIS - rest),
    }
}

/// What a record is made from.
pub(crate) const RECORD_COLUMNS: &str = "lastSavedTime, createTime, accessTime, expiryTime, \
    maxInterval, deadline, principal, lastNode, map, origin";

/// The key's columns.
pub(crate) const KEY_COLUMNS: &str = "sessionId, contextPath, virtualHost";

/// What `maxInterval` means.
pub(crate) fn idle_timeout(interval: i64) -> Option<Duration> {
    u64::try_from(interval)
        .ok()
        .filter(|&millis| millis > 0)
        .map(Duration::from_millis)
}

/// What the stored expiry allows on top of the idle timeout.
pub(crate) fn slack(expiry: i64, access: i64, interval: i64) -> Duration {
    if expiry == 0 || interval <= 0 {
        return Duration::ZERO;
    }
    let slack = expiry.saturating_sub(access).saturating_sub(interval);
    Duration::from_millis(u64::try_from(slack).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_round_up() {
        assert_eq!(bucket(0), 0);
        assert_eq!(bucket(1), BUCKET_MILLIS);
        assert_eq!(bucket(BUCKET_MILLIS), BUCKET_MILLIS);
        assert_eq!(bucket(BUCKET_MILLIS + 1), 2 * BUCKET_MILLIS);
        assert_eq!(bucket(i64::MAX), i64::MAX);
        assert_eq!(bucket_column(0), None);
    }

    #[test]
    fn the_expiry_moves_with_the_access_up_to_the_deadline() {
        let times = StoredTimes {
            version: Some(1),
            access: 100,
            expiry: 600,
            deadline: None,
        };
        assert_eq!(times.expiry_after(150), 650);
        assert_eq!(times.expiry_after(i64::MAX), i64::MAX);
        let limited = StoredTimes {
            deadline: Some(620),
            ..times
        };
        assert_eq!(limited.expiry_after(110), 610);
        assert_eq!(limited.expiry_after(150), 620);
        assert_eq!(StoredTimes { expiry: 0, ..times }.expiry_after(150), 0);
    }

    #[test]
    fn slack_is_what_the_expiry_allows_beyond_the_interval() {
        assert_eq!(slack(660, 100, 500), Duration::from_millis(60));
        assert_eq!(
            slack(550, 100, 500),
            Duration::ZERO,
            "the deadline comes first"
        );
        assert_eq!(slack(900, 100, IMMORTAL), Duration::ZERO);
        assert_eq!(slack(0, 100, 500), Duration::ZERO);
    }

    #[test]
    fn intervals_that_are_not_positive_never_end() {
        assert_eq!(idle_timeout(interval_column(None)), None);
        assert_eq!(idle_timeout(0), None);
        let second = Some(Duration::from_secs(1));
        assert_eq!(idle_timeout(interval_column(second)), second);
    }
}
