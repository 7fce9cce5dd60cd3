//! Sessions as rows of a batch, and rows of the table as sessions.

use std::sync::Arc;

use mysql_async::{Row, Value, prelude::FromValue};
use serde::Serialize;

use super::error::Failure;
use crate::{
    clock::Timestamp,
    codec::Codec,
    columns::{self, StoredTimes},
    key::SessionKey,
    record::{Attributes, SessionRecord, Version, Writers},
    store::{Expired, ReadOutcome, SessionSummary},
};

/// A key in a batch.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct KeyRow<'a> {
    id: &'a str,
    context: &'a str,
    host: &'a str,
}

impl<'a> From<&'a SessionKey> for KeyRow<'a> {
    fn from(key: &'a SessionKey) -> Self {
        Self {
            id: &key.id,
            context: &key.context,
            host: &key.virtual_host,
        }
    }
}

impl<'a> KeyRow<'a> {
    fn values(self) -> [Value; 3] {
        [self.id.into(), self.context.into(), self.host.into()]
    }

    /// The same place under another id.
    pub(super) fn with_id(self, id: &'a str) -> Self {
        Self { id, ..self }
    }
}

/// A read in a batch.
#[derive(Debug, Serialize)]
pub(super) struct ReadRow<'a> {
    #[serde(flatten)]
    key: KeyRow<'a>,
    known: Option<i64>,
}

impl<'a> ReadRow<'a> {
    pub(super) fn new(key: &'a SessionKey, known: Option<Version>) -> Self {
        Self {
            key: key.into(),
            known: known.map(Version::as_i64),
        }
    }
}

/// A touch in a batch.
#[derive(Debug, Serialize)]
pub(super) struct TouchRow<'a> {
    #[serde(flatten)]
    key: KeyRow<'a>,
    access: i64,
    expiry: i64,
    bucket: Option<i64>,
}

impl<'a> TouchRow<'a> {
    pub(super) fn new(key: &'a SessionKey, stored: StoredTimes, access: i64) -> Self {
        let expiry = stored.expiry_after(access);
        Self {
            key: key.into(),
            access,
            expiry,
            bucket: columns::bucket_column(expiry),
        }
    }
}

/// A whole session that is written.
#[derive(Debug)]
pub(super) struct WrittenRow<'a> {
    key: KeyRow<'a>,
    version: i64,
    created: i64,
    access: i64,
    idle: i64,
    expiry: i64,
    deadline: Option<i64>,
    bucket: Option<i64>,
    principal: Option<&'a str>,
    node: &'a str,
    map: Vec<u8>,
}

impl<'a> WrittenRow<'a> {
    /// A record to write, with its payload; its last access is not before `stored_access`.
    pub(super) fn new(
        key: &'a SessionKey,
        record: &'a SessionRecord,
        stored_access: i64,
        map: Vec<u8>,
    ) -> Self {
        let access = record.last_access.as_millis().max(stored_access);
        let expiry = record.expires_at_after(Timestamp::from_millis(access));
        let expiry = columns::expiry_column(expiry);
        Self {
            key: key.into(),
            version: record.version.as_i64(),
            created: record.created_at.as_millis(),
            access,
            idle: columns::interval_column(record.idle_timeout),
            expiry,
            deadline: record.deadline.map(Timestamp::as_millis),
            bucket: columns::bucket_column(expiry),
            principal: record.principal.as_deref(),
            node: &record.last_node,
            map,
        }
    }

    /// The values of [`sql::create`](super::sql::create) and [`sql::update`](super::sql::update).
    pub(super) fn values(&self) -> impl Iterator<Item = Value> {
        let made: [Value; 2] = [self.created.into(), self.created.into()];
        self.key
            .values()
            .into_iter()
            .chain(made)
            .chain(self.written())
    }

    /// The values of [`sql::update_one`](super::sql::update_one).
    pub(super) fn update_parameters(&self, expected: Version) -> Vec<Value> {
        let mut values = Vec::from(self.written());
        values.extend(self.key.values());
        values.extend([expected.as_i64().into(), self.access.into()]);
        values
    }

    /// The values of [`sql::rename`](super::sql::rename).
    pub(super) fn rename_parameters(
        &self,
        new_id: &str,
        origin: Option<&str>,
        expected: Version,
    ) -> Vec<Value> {
        let mut values = vec![new_id.into(), origin.into()];
        values.extend(self.written());
        values.extend(self.key.values());
        values.push(expected.as_i64().into());
        values
    }

    /// What a write sets.
    fn written(&self) -> [Value; 10] {
        [
            self.node.into(),
            self.access.into(),
            self.access.into(),
            self.version.into(),
            self.expiry.into(),
            self.idle.into(),
            (&*self.map).into(),
            self.principal.into(),
            self.deadline.into(),
            self.bucket.into(),
        ]
    }

    /// How many bytes of a batch the row takes, about.
    pub(super) fn size(&self) -> usize {
        self.map.len() + 512
    }
}

/// The session in a row, from its columns and its payload, or why the row cannot be read.
fn readable(
    record: SessionRecord,
    key: &SessionKey,
    map: &[u8],
    codec: &Codec,
) -> Result<SessionRecord, Arc<str>> {
    let contents = codec.decode(key, map);
    let contents = contents.map_err(|error| Arc::from(error.to_string()))?;
    codec.check(SessionRecord {
        writers: contents.writers,
        attributes: contents.attributes,
        notes: contents.notes,
        ..record
    })
}

/// A batch as the statements take it.
pub(super) fn batch<T: Serialize>(rows: &[T]) -> String {
    serde_json::to_string(rows).expect("rows have only texts and numbers")
}

/// A row of the table, read column by column.
pub(super) struct Columns {
    row: Row,
    next: usize,
}

impl Columns {
    pub(super) fn of(row: Row) -> Self {
        Self { row, next: 0 }
    }

    fn next<T: FromValue>(&mut self) -> Result<Option<T>, Failure> {
        let column = self.next;
        self.next += 1;
        match self.row.take_opt::<Option<T>, usize>(column) {
            Some(Ok(value)) => Ok(value),
            Some(Err(_)) | None => Err(Failure::Unexpected("a column of another type")),
        }
    }

    fn number(&mut self) -> Result<i64, Failure> {
        Ok(self.next()?.unwrap_or(0))
    }

    fn time(&mut self) -> Result<Timestamp, Failure> {
        Ok(Timestamp::from_millis(self.number()?))
    }

    pub(super) fn text(&mut self) -> Result<Arc<str>, Failure> {
        Ok(self.next::<String>()?.unwrap_or_default().into())
    }

    /// Where the row's session stands in the batch, from zero.
    pub(super) fn position(&mut self) -> Result<usize, Failure> {
        usize::try_from(self.number()? - 1).map_err(|_| Failure::Unexpected("a position below one"))
    }

    /// What [`LOCK`](super::sql::LOCK) gives beside the position.
    pub(super) fn stored_times(&mut self) -> Result<StoredTimes, Failure> {
        Ok(StoredTimes {
            version: self.next()?,
            access: self.number()?,
            expiry: self.number()?,
            deadline: self.next()?,
        })
    }

    /// What [`READ`](super::sql::READ) gives of the session `key`, beside the position.
    pub(super) fn outcome(
        &mut self,
        key: &SessionKey,
        codec: &Codec,
    ) -> Result<ReadOutcome, Failure> {
        let is_known = self.number()? == 1;
        let record = self.record()?;
        let map: Option<Vec<u8>> = self.next()?;
        Ok(if is_known {
            match codec.check(record) {
                Ok(SessionRecord { last_access, .. }) => ReadOutcome::Current { last_access },
                Err(reason) => ReadOutcome::Unreadable(reason),
            }
        } else {
            readable(record, key, &map.unwrap_or_default(), codec).into()
        })
    }

    pub(super) fn expired(&mut self, codec: &Codec) -> Result<Expired, Failure> {
        let record = self.record()?;
        let map: Option<Vec<u8>> = self.next()?;
        let key = self.key()?;
        let record = readable(record, &key, &map.unwrap_or_default(), codec).ok();
        Ok(Expired { key, record })
    }

    pub(super) fn summary(&mut self) -> Result<SessionSummary, Failure> {
        Ok(SessionSummary {
            key: self.key()?,
            created_at: self.time()?,
            last_access: self.time()?,
            last_node: self.text()?,
            origin: self.next::<String>()?.map(Arc::from),
        })
    }

    fn key(&mut self) -> Result<SessionKey, Failure> {
        Ok(SessionKey {
            id: self.text()?,
            context: self.text()?,
            virtual_host: self.text()?,
        })
    }

    /// A record, as yet without its contents.
    fn record(&mut self) -> Result<SessionRecord, Failure> {
        let version = Version::from_i64(self.number()?);
        let (created_at, last_access) = (self.time()?, self.time()?);
        let (expiry, interval) = (self.number()?, self.next()?.unwrap_or(-1));
        Ok(SessionRecord {
            version,
            created_at,
            last_access,
            idle_timeout: columns::idle_timeout(interval),
            expiry_slack: columns::slack(expiry, last_access.as_millis(), interval),
            deadline: self.next()?.map(Timestamp::from_millis),
            principal: self.next::<String>()?.map(Arc::from),
            last_node: self.text()?,
            origin: self.next::<String>()?.map(Arc::from),
            writers: Writers::new(),
            attributes: Attributes::new(),
            notes: Attributes::new(),
        })
    }
}
