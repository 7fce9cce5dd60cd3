//! A row of the table as a record.

use std::{sync::Arc, time::Duration};

use tokio_postgres::Row;

use super::error::Failure;
use crate::{
    clock::Timestamp,
    codec::{Codec, Contents},
    key::SessionKey,
    nonsense,
    record::{SessionRecord, Version},
    store::{Expired, ReadOutcome, SessionSummary},
};

/// Where the row's session stands in the batch, from zero.
pub(super) fn position(row: &Row) -> Result<usize, Failure> {
    let position: i64 = row.try_get("position")?;
    usize::try_from(position - 1).map_err(|_| Failure::Unexpected("a position below one"))
}

/// What was read of the session `key`.
pub(super) fn outcome(row: &Row, key: &SessionKey, codec: &Codec) -> Result<ReadOutcome, Failure> {
    let Some(map) = row.try_get::<_, Option<&[u8]>>("map")? else {
        let last_access = time(row, "accesstime")?;
        return Ok(if nonsense::is_far(last_access) {
            ReadOutcome::Unreadable(codec.unreadable_row(nonsense::FAR_ACCESS))
        } else {
            ReadOutcome::Current { last_access }
        });
    };
    Ok(readable(row, key, map, codec)?.into())
}

/// The session in a row, or why the row cannot be read.
fn readable(
    row: &Row,
    key: &SessionKey,
    map: &[u8],
    codec: &Codec,
) -> Result<Result<SessionRecord, Arc<str>>, Failure> {
    Ok(match codec.decode(key, map) {
        Ok(contents) => codec.check(record(row, contents)?),
        Err(error) => Err(error.to_string().into()),
    })
}

pub(super) fn expired(row: &Row, codec: &Codec) -> Result<Expired, Failure> {
    let key = key(row)?;
    let map: Option<&[u8]> = row.try_get("map")?;
    let record = readable(row, &key, map.unwrap_or_default(), codec)?.ok();
    Ok(Expired { key, record })
}

pub(super) fn summary(row: &Row) -> Result<SessionSummary, Failure> {
    Ok(SessionSummary {
        key: key(row)?,
        origin: origin(row)?,
        created_at: time(row, "createtime")?,
        last_access: time(row, "accesstime")?,
        last_node: text(row, "lastnode")?,
    })
}

pub(super) fn key(row: &Row) -> Result<SessionKey, Failure> {
    Ok(SessionKey {
        id: text(row, "sessionid")?,
        context: text(row, "contextpath")?,
        virtual_host: text(row, "virtualhost")?,
    })
}

fn record(row: &Row, contents: Contents) -> Result<SessionRecord, Failure> {
    let last_access = time(row, "accesstime")?;
    let idle_millis = number(row, "maxinterval")?.unwrap_or(-1);
    let idle_timeout = u64::try_from(idle_millis).ok().filter(|&millis| millis > 0);
    let idle_timeout = idle_timeout.map(Duration::from_millis);
    let expiry = number(row, "expirytime")?.unwrap_or(0);
    let unused = expiry.saturating_sub(last_access.as_millis());
    let slack = idle_timeout.map_or(0, |_| unused.saturating_sub(idle_millis));
    Ok(SessionRecord {
        version: Version::from_i64(number(row, "lastsavedtime")?.unwrap_or(0)),
        created_at: time(row, "createtime")?,
        last_access,
        idle_timeout,
        expiry_slack: Duration::from_millis(u64::try_from(slack).unwrap_or(0)),
        deadline: number(row, "deadline")?.map(Timestamp::from_millis),
        principal: row.try_get::<_, Option<&str>>("principal")?.map(Arc::from),
        origin: origin(row)?,
        last_node: text(row, "lastnode")?,
        writers: contents.writers,
        attributes: contents.attributes,
        notes: contents.notes,
    })
}

fn origin(row: &Row) -> Result<Option<Arc<str>>, Failure> {
    Ok(row.try_get::<_, Option<&str>>("origin")?.map(Arc::from))
}

fn number(row: &Row, column: &str) -> Result<Option<i64>, Failure> {
    Ok(row.try_get(column)?)
}

fn time(row: &Row, column: &str) -> Result<Timestamp, Failure> {
    Ok(Timestamp::from_millis(number(row, column)?.unwrap_or(0)))
}

fn text(row: &Row, column: &str) -> Result<Arc<str>, Failure> {
    Ok(row
        .try_get::<_, Option<&str>>(column)?
        .unwrap_or_default()
        .into())
}
