//! Columns of a stored row that make no sense, whoever wrote them: no commit could build on them.

use std::time::Duration;

use crate::{clock::Timestamp, record::SessionRecord};

/// Times (in ms) that lie further from the epoch are none: nobody writes them, and sums with them
/// leave the integers.
const FARTHEST: u64 = 1 << 52;

/// What is wrong with a row whose last access is far.
pub(crate) const FAR_ACCESS: &str = "accessTime holds no time";

/// Whether this is no time that anybody has written.
pub(crate) fn is_far(time: Timestamp) -> bool {
    time.as_millis().unsigned_abs() > FARTHEST
}

/// What is wrong with a row that holds this record, if something is.
pub(crate) fn of(record: &SessionRecord) -> Option<&'static str> {
    let version = record.version.as_i64();
    if version <= 0 || version.unsigned_abs() > FARTHEST {
        Some("lastSavedTime holds no version")
    } else if is_far(record.last_access) {
        Some(FAR_ACCESS)
    } else if record.expiry_slack > Duration::from_millis(FARTHEST) {
        Some("expiryTime holds no time")
    } else {
        None
    }
}
