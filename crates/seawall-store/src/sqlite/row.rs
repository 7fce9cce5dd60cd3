//! How a row becomes a session.

use std::sync::Arc;

use rusqlite::{Row, types::ValueRef};

use crate::{
    clock::Timestamp,
    codec::Codec,
    columns::{StoredTimes, idle_timeout, slack},
    key::SessionKey,
    record::{SessionRecord, Version},
};

/// How many columns [`RECORD_COLUMNS`](crate::columns::RECORD_COLUMNS) are.
pub(super) const RECORD_WIDTH: usize = 10;

/// Reads `lastSavedTime, accessTime, expiryTime, deadline`. A damaged row must not fail the
/// other commits of its batch, so what is no number counts as absent.
pub(super) fn stored_times(row: &Row<'_>) -> rusqlite::Result<StoredTimes> {
    Ok(StoredTimes {
        version: integer(row, 0)?,
        access: integer(row, 1)?.unwrap_or(0),
        expiry: integer(row, 2)?.unwrap_or(0),
        deadline: integer(row, 3)?,
    })
}

/// Reads the session in a row that starts with [`RECORD_COLUMNS`](crate::columns::RECORD_COLUMNS).
///
/// # Errors
/// Why the row cannot be read.
pub(super) fn record(
    row: &Row<'_>,
    key: &SessionKey,
    codec: &Codec,
) -> Result<SessionRecord, Arc<str>> {
    let read = || {
        let columns = Columns::read(row).map_err(|error| error.to_string())?;
        let map = match row.get_ref(8) {
            Ok(ValueRef::Null) => &[],
            Ok(ValueRef::Blob(map)) => map,
            Ok(other) => return Err(format!("the column map holds {}", other.data_type())),
            Err(error) => return Err(error.to_string()),
        };
        Ok((columns, map))
    };
    let (columns, map) = read().map_err(|reason: String| codec.unreadable_row(&reason))?;
    let contents = codec.decode(key, map);
    let contents = contents.map_err(|error| Arc::from(error.to_string()))?;
    codec.check(SessionRecord {
        version: Version::from_i64(columns.version),
        created_at: Timestamp::from_millis(columns.created_at),
        last_access: Timestamp::from_millis(columns.access),
        idle_timeout: idle_timeout(columns.interval),
        expiry_slack: slack(columns.expiry, columns.access, columns.interval),
        deadline: columns.deadline.map(Timestamp::from_millis),
        principal: columns.principal,
        origin: columns.origin,
        last_node: columns.last_node,
        writers: contents.writers,
        attributes: contents.attributes,
        notes: contents.notes,
    })
}

/// The columns of a row beside the key and the contents.
struct Columns {
    version: i64,
    created_at: i64,
    access: i64,
    expiry: i64,
    interval: i64,
    deadline: Option<i64>,
    principal: Option<Arc<str>>,
    origin: Option<Arc<str>>,
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
            origin: row.get(9)?,
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
