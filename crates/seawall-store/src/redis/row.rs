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
pub(super) fn current(state: &[Column], known: Version) -> Result<Option<ReadOutcome>, Failure> {
    let [version, access, None] = state else {
        return Ok(None);
    };
    if optional(version)? != Some(known.as_i64()) {
        return Ok(None);
    }
    Ok(Some(ReadOutcome::Current {
        last_access: Timestamp::from_millis(number(access)?),
    }))
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
pub(super) fn outcome(
    columns: Option<Columns>,
    key: &SessionKey,
    codec: &Codec,
) -> Result<ReadOutcome, Failure> {
    let Some(columns) = columns else {
        return Ok(ReadOutcome::Missing);
    };
    if let [access] = columns.as_slice() {
        return Ok(ReadOutcome::Current {
            last_access: Timestamp::from_millis(number(access)?),
        });
    }
    let (columns, map) = split_map(&columns)?;
    match codec.decode(key, map) {
        Ok(contents) => Ok(ReadOutcome::Found(Box::new(record(columns, contents)?))),
        Err(error) => Ok(ReadOutcome::Unreadable(error.to_string().into())),
    }
}

/// A claimed session, from its member and its columns.
pub(super) fn expired(columns: &[Column], codec: &Codec) -> Result<Expired, Failure> {
    let (member, columns) = columns.split_first().ok_or(SHORT)?;
    let (columns, map) = split_map(columns)?;
    let key = session_key(member)?;
    let record = match codec.decode(&key, map) {
        Ok(contents) => Some(record(columns, contents)?),
        Err(_) => None,
    };
    Ok(Expired { key, record })
}

/// A session in a list, from its member and four of its columns.
pub(super) fn summary(columns: &[Column]) -> Result<SessionSummary, Failure> {
    let [member, created, access, node, origin] = columns else {
        return Err(SHORT);
    };
    Ok(SessionSummary {
        key: session_key(member)?,
        created_at: Timestamp::from_millis(number(created)?),
        last_access: Timestamp::from_millis(number(access)?),
        last_node: text(node)?.into(),
        origin: name(origin)?,
    })
}

fn split_map(columns: &[Column]) -> Result<(&[Column], &[u8]), Failure> {
    let (map, columns) = columns.split_last().ok_or(SHORT)?;
    Ok((columns, map.as_deref().unwrap_or_default()))
}

fn record(columns: &[Column], contents: Contents) -> Result<SessionRecord, Failure> {
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
    let span = |column| Ok::<_, Failure>(optional::<u64>(column)?.map(Duration::from_millis));
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

const SHORT: Failure = Failure::Unexpected("a session with other columns than this version's");

fn session_key(member: &Column) -> Result<SessionKey, Failure> {
    layout::session_key(text(member)?).ok_or(Failure::Unexpected("a session with another name"))
}

fn number(column: &Column) -> Result<i64, Failure> {
    Ok(optional(column)?.unwrap_or(0))
}

fn optional<T: FromStr>(column: &Column) -> Result<Option<T>, Failure> {
    match text(column)? {
        "" => Ok(None),
        digits => match digits.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Failure::Unexpected("a number that is none")),
        },
    }
}

fn name(column: &Column) -> Result<Option<Arc<str>>, Failure> {
    let name = Some(text(column)?).filter(|name| !name.is_empty());
    Ok(name.map(Arc::from))
}

fn text(column: &Column) -> Result<&str, Failure> {
    std::str::from_utf8(column.as_deref().unwrap_or_default())
        .map_err(|_| Failure::Unexpected("a text that is not UTF-8"))
}
