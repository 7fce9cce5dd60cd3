//! What the scripts answer, as records; and records as what the scripts take.

use std::{str::FromStr, sync::Arc, time::Duration};

use redis::ScriptInvocation;

use super::{error::Failure, layout};
use crate::{
    clock::{Timestamp, millis},
    codec::{Codec, Contents},
    key::SessionKey,
    record::{SessionRecord, Version},
    store::{Expired, ReadOutcome, SessionSummary},
};

/// One column of an answer, and an answer's columns.
pub(super) type Column = Option<Vec<u8>>;
pub(super) type Columns = Vec<Column>;

/// Longer spans and later times (in ms) are cut, so that no sum leaves the integers that a float
/// holds exactly.
const LONGEST: i64 = 1 << 50;
const LATEST: i64 = 1 << 52;

/// Adds a record's columns, the last of which is its payload, to the arguments of a commit.
pub(super) fn push_record(
    arguments: &mut ScriptInvocation<'_>,
    record: &SessionRecord,
    map: Vec<u8>,
) {
    let optional = |value: Option<i64>| value.map_or(String::new(), |value| value.to_string());
    arguments
        .arg(record.version.as_i64())
        .arg(record.created_at.as_millis())
        .arg(record.last_access.as_millis().min(LATEST))
        .arg(optional(
            record.idle_timeout.map(|idle| millis(idle).min(LONGEST)),
        ))
        .arg(millis(record.expiry_slack).min(LONGEST))
        .arg(optional(
            record
                .deadline
                .map(|deadline| deadline.as_millis().min(LATEST)),
        ))
        .arg(record.principal.as_deref().unwrap_or_default())
        .arg(record.origin.as_deref().unwrap_or_default())
        .arg(&*record.last_node)
        .arg(map);
}

/// The key from which a session is on its way here, from another partition.
pub(super) fn departed_from(columns: &[Column]) -> Option<&str> {
    match columns {
        [Some(pending), Some(origin)] if pending == b"pending" => std::str::from_utf8(origin).ok(),
        _ => None,
    }
}

/// What tells whether a known version is current.
pub(super) const STATE: [&str; 3] = ["version", "access", "pending"];

/// Whether a session in this [`STATE`] is current; `None` when it has to be looked at.
pub(super) fn current(state: &[Column], known: Version) -> Option<ReadOutcome> {
    let [version, access, None] = state else {
        return None;
    };
    if optional(version).ok()? != Some(known.as_i64()) {
        return None;
    }
    Some(ReadOutcome::Current {
        last_access: Timestamp::from_millis(number(access).ok()?),
    })
}

/// All of a session, and at the end the key from which it is on its way here, if it is.
pub(super) const COLUMNS: [&str; 11] = [
    "version",
    "created",
    "access",
    "idle",
    "slack",
    "deadline",
    "principal",
    "origin",
    "node",
    "map",
    "pending",
];

/// Takes the key at the end of [`COLUMNS`] away.
pub(super) fn take_pending(columns: &mut Columns) -> Result<Option<String>, Failure> {
    let pending = columns.pop().ok_or(SHORT)?;
    Ok(match pending {
        Some(_) => Some(text(&pending)?.to_owned()),
        None => None,
    })
}

/// What the columns say of the session `key`, which was read.
pub(super) fn outcome(columns: Option<Columns>, key: &SessionKey, codec: &Codec) -> ReadOutcome {
    let Some(columns) = columns else {
        return ReadOutcome::Missing;
    };
    match columns.as_slice() {
        [] => of_another_type(codec),
        [access] => match number(access) {
            Ok(access) => ReadOutcome::Current {
                last_access: Timestamp::from_millis(access),
            },
            Err(reason) => ReadOutcome::Unreadable(codec.unreadable_row(reason)),
        },
        columns => readable(columns, key, codec).into(),
    }
}

/// What there is to say of a key that holds something else than a session.
pub(super) fn of_another_type(codec: &Codec) -> ReadOutcome {
    ReadOutcome::Unreadable(codec.unreadable_row("its key holds no hash"))
}

/// A claimed session, from its member and its columns.
pub(super) fn expired(columns: &[Column], codec: &Codec) -> Result<Expired, Failure> {
    let (member, columns) = columns.split_first().ok_or(SHORT)?;
    let key = session_key(member)?;
    let record = readable(columns, &key, codec).ok();
    Ok(Expired { key, record })
}

/// The session in these columns, or why they cannot be read.
fn readable(
    columns: &[Column],
    key: &SessionKey,
    codec: &Codec,
) -> Result<SessionRecord, Arc<str>> {
    let noted = |reason| codec.unreadable_row(reason);
    let (map, columns) = columns.split_last().ok_or(SHORT).map_err(noted)?;
    let contents = codec.decode(key, map.as_deref().unwrap_or_default());
    let contents = contents.map_err(|error| Arc::from(error.to_string()))?;
    codec.check(record(columns, contents).map_err(noted)?)
}

/// A session in a list, from its member and four of its columns.
pub(super) fn summary(columns: &[Column]) -> Result<SessionSummary, Failure> {
    let [member, created, access, node, origin] = columns else {
        return Err(SHORT.into());
    };
    // One bad row must not keep the others from being listed, and ended.
    let time = |column| Timestamp::from_millis(number(column).unwrap_or(0));
    Ok(SessionSummary {
        key: session_key(member)?,
        created_at: time(created),
        last_access: time(access),
        last_node: text(node)?.into(),
        origin: name(origin)?,
    })
}

/// Why columns cannot be read.
type Reason = &'static str;

fn record(columns: &[Column], contents: Contents) -> Result<SessionRecord, Reason> {
    let [
        version,
        created,
        access,
        idle,
        slack,
        deadline,
        principal,
        origin,
        node,
    ] = columns
    else {
        return Err(SHORT);
    };
    let span = |column| Ok::<_, Reason>(optional::<u64>(column)?.map(Duration::from_millis));
    Ok(SessionRecord {
        version: Version::from_i64(number(version)?),
        created_at: Timestamp::from_millis(number(created)?),
        last_access: Timestamp::from_millis(number(access)?),
        idle_timeout: span(idle)?,
        expiry_slack: span(slack)?.unwrap_or_default(),
        deadline: optional(deadline)?.map(Timestamp::from_millis),
        principal: name(principal)?,
        origin: name(origin)?,
        last_node: text(node)?.into(),
        writers: contents.writers,
        attributes: contents.attributes,
        notes: contents.notes,
    })
}

const SHORT: Reason = "a session with other columns than this version's";

fn session_key(member: &Column) -> Result<SessionKey, Failure> {
    Ok(layout::session_key(text(member)?).ok_or("a session with another name")?)
}

fn number(column: &Column) -> Result<i64, Reason> {
    Ok(optional(column)?.unwrap_or(0))
}

fn optional<T: FromStr>(column: &Column) -> Result<Option<T>, Reason> {
    match text(column)? {
        "" => Ok(None),
        digits => match digits.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err("a number that is none"),
        },
    }
}

fn name(column: &Column) -> Result<Option<Arc<str>>, Reason> {
    let name = Some(text(column)?).filter(|name| !name.is_empty());
    Ok(name.map(Arc::from))
}

fn text(column: &Column) -> Result<&str, Reason> {
    std::str::from_utf8(column.as_deref().unwrap_or_default())
        .map_err(|_| "a text that is not UTF-8")
}
