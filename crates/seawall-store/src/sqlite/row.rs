//! How a session becomes a row, and a row a session. Pure functions; the SQL is elsewhere.

use std::{sync::Arc, time::Duration};

use rusqlite::{Row, types::ValueRef};

use crate::{
    clock::{Timestamp, millis},
    codec,
    key::SessionKey,
    record::{SessionRecord, Version},
};

/// The width of an expiry bucket. Accesses move the expiry all the time and the bucket hardly
/// ever, so the index on it is rarely written.
const BUCKET_MILLIS: i64 = 300_000;

/// What `maxInterval` holds when a session never expires by itself. Jetty reads any value that is
/// not positive like this.
const IMMORTAL: i64 = -1;

/// The times of a stored row that a commit depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StoredTimes {
    /// `None` when the column holds no number; such a row equals no expected version.
    pub(super) version: Option<i64>,
    pub(super) access: i64,
    pub(super) expiry: i64,
    pub(super) deadline: Option<i64>,
}

impl StoredTimes {
    /// Reads `lastSavedTime, accessTime, expiryTime, deadline`. A damaged row must not fail the
    /// other commits of its batch, so what is no number counts as absent.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            version: integer(row, 0)?,
            access: integer(row, 1)?.unwrap_or(0),
            expiry: integer(row, 2)?.unwrap_or(0),
            deadline: integer(row, 3)?,
        })
    }

    /// The expiry after an access at `access`: it moves along, up to the deadline.
    pub(super) fn expiry_after(self, access: i64) -> i64 {
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
pub(super) fn expiry_column(expiry: Option<Timestamp>) -> i64 {
    expiry.map_or(0, |expiry| expiry.as_millis().max(1))
}

/// What `maxInterval` holds.
pub(super) fn interval_column(idle_timeout: Option<Duration>) -> i64 {
    idle_timeout.map_or(IMMORTAL, |timeout| millis(timeout).max(1))
}

/// What `expirybucket` holds for an expiry: the expiry rounded up, nothing when it is never.
pub(super) fn bucket_column(expiry: i64) -> Option<i64> {
    (expiry > 0).then(|| bucket(expiry))
}

/// The bucket that a point in time falls into.
pub(super) fn bucket(time: i64) -> i64 {
    match time.rem_euclid(BUCKET_MILLIS) {
        0 => time,
        rest => time.saturating_add(BUCKET_MILLIS - rest),
    }
}

/// The columns that [`record`] reads, in its order.
pub(super) const RECORD_COLUMNS: &str = "lastSavedTime, createTime, accessTime, expiryTime, \
    maxInterval, deadline, principal, lastNode, map";

/// How many columns [`RECORD_COLUMNS`] are.
pub(super) const RECORD_WIDTH: usize = 9;

/// The columns that [`key`] reads, in its order.
pub(super) const KEY_COLUMNS: &str = "sessionId, contextPath, virtualHost";

/// Reads the session in a row that starts with [`RECORD_COLUMNS`].
///
/// # Errors
/// Why the row cannot be read.
pub(super) fn record(row: &Row<'_>) -> Result<SessionRecord, Arc<str>> {
    let columns = Columns::read(row).map_err(|error| Arc::from(error.to_string()))?;
    let attributes = match row.get_ref(8) {
        Ok(ValueRef::Null) => Ok(codec::decode(&[])),
        Ok(ValueRef::Blob(map)) => Ok(codec::decode(map)),
        Ok(other) => Err(format!("the column map holds {}", other.data_type())),
        Err(error) => Err(error.to_string()),
    };
    Ok(SessionRecord {
        version: Version::from_i64(columns.version),
        created_at: Timestamp::from_millis(columns.created_at),
        last_access: Timestamp::from_millis(columns.access),
        idle_timeout: idle_timeout(columns.interval),
        expiry_slack: slack(columns.expiry, columns.access, columns.interval),
        deadline: columns.deadline.map(Timestamp::from_millis),
        principal: columns.principal,
        last_node: columns.last_node,
        attributes: attributes?.map_err(|error| Arc::from(error.to_string()))?,
    })
}

/// The columns of a row beside the key and the attributes.
struct Columns {
    version: i64,
    created_at: i64,
    access: i64,
    expiry: i64,
    interval: i64,
    deadline: Option<i64>,
    principal: Option<Arc<str>>,
    last_node: Arc<str>,
}

impl Columns {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            version: row.get(0)?,
            created_at: row.get(1)?,
            access: row.get(2)?,
            expiry: row.get(3)?,
            interval: row.get(4)?,
            deadline: row.get(5)?,
            principal: row.get(6)?,
            last_node: row
                .get::<_, Option<Arc<str>>>(7)?
                .unwrap_or_else(|| "".into()),
        })
    }
}

/// Reads the key in a row, from the column `first` on. A damaged one must not hold up a sweep.
pub(super) fn key(row: &Row<'_>, first: usize) -> rusqlite::Result<SessionKey> {
    Ok(SessionKey {
        id: text(row, first)?,
        context: text(row, first + 1)?,
        virtual_host: text(row, first + 2)?,
    })
}

/// Reads a number; `None` when the column holds something else.
pub(super) fn integer(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<i64>> {
    Ok(match row.get_ref(column)? {
        ValueRef::Integer(integer) => Some(integer),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => None,
    })
}

/// Reads text; what is no valid text is replaced.
pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Arc<str>> {
    let bytes = match row.get_ref(column)? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => &[],
    };
    Ok(String::from_utf8_lossy(bytes).into())
}

fn idle_timeout(interval: i64) -> Option<Duration> {
    u64::try_from(interval)
        .ok()
        .filter(|&millis| millis > 0)
        .map(Duration::from_millis)
}

/// What the stored expiry allows on top of the idle timeout.
fn slack(expiry: i64, access: i64, interval: i64) -> Duration {
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
