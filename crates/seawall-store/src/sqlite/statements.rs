//! The SQL for reads and commits, and which of it each operation needs.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::row;
use crate::{
    clock::Timestamp,
    codec::Codec,
    columns::{
        KEY_COLUMNS, RECORD_COLUMNS, StoredTimes, bucket_column, expiry_column, interval_column,
    },
    key::SessionKey,
    record::{SessionRecord, Version},
    store::{Commit, CommitOutcome, LIST_LIMIT, Lookup, Read, ReadOutcome, SessionSummary},
};

const BY_KEY: &str = "WHERE sessionId = ?1 AND contextPath = ?2 AND virtualHost = ?3";

/// The SQL of one connection, put together once.
#[derive(Debug)]
pub(super) struct Statements {
    read: String,
    times: String,
    insert: String,
    update: String,
    touch: String,
    delete: String,
    delete_moved: &'static str,
    list: String,
    locate: &'static str,
}

impl Statements {
    pub(super) fn new() -> Self {
        // An unchanged map is not fetched: the CASE decides before the blob is touched.
        let columns =
            RECORD_COLUMNS.replace("map", "CASE WHEN lastSavedTime = ?4 THEN NULL ELSE map END");
        Self {
            read: format!("SELECT {columns} FROM JettySessions {BY_KEY}"),
            times: format!(
                "SELECT lastSavedTime, accessTime, expiryTime, deadline FROM JettySessions {BY_KEY}"
            ),
            insert: "INSERT INTO JettySessions (sessionId, contextPath, virtualHost, lastNode, \
                     accessTime, lastAccessTime, createTime, cookieTime, lastSavedTime, \
                     expiryTime, maxInterval, map, principal, deadline, expirybucket) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
                     ON CONFLICT DO NOTHING"
                .into(),
            update: format!(
                "UPDATE JettySessions SET sessionId = ?14, lastNode = ?4, accessTime = ?5, \
                 lastAccessTime = ?5, createTime = ?6, lastSavedTime = ?7, expiryTime = ?8, \
                 maxInterval = ?9, map = ?10, principal = ?11, deadline = ?12, \
                 expirybucket = ?13, \
                 origin = CASE WHEN sessionId = ?14 THEN origin ELSE ?15 END {BY_KEY}"
            ),
            touch: format!(
                "UPDATE JettySessions SET accessTime = ?4, lastAccessTime = ?4, expiryTime = ?5, \
                 expirybucket = ?6 {BY_KEY}"
            ),
            delete: format!("DELETE FROM JettySessions {BY_KEY}"),
            delete_moved: "DELETE FROM JettySessions \
                           WHERE origin = ?1 AND contextPath = ?2 AND virtualHost = ?3",
            list: format!(
                "SELECT {KEY_COLUMNS}, createTime, accessTime, lastNode, origin FROM JettySessions \
                 WHERE principal = ?1 AND (expiryTime = 0 OR expiryTime > ?2) \
                 ORDER BY accessTime DESC, sessionId, contextPath, virtualHost LIMIT {LIST_LIMIT}"
            ),
            // Two searches of an index; an OR over both columns might read the whole table.
            locate: "SELECT sessionId FROM JettySessions \
                     WHERE sessionId = ?1 AND contextPath = ?2 AND virtualHost = ?3 \
                     AND (expiryTime = 0 OR expiryTime > ?5) \
                     UNION ALL SELECT sessionId FROM JettySessions \
                     WHERE origin = ?4 AND contextPath = ?2 AND virtualHost = ?3 \
                     AND (expiryTime = 0 OR expiryTime > ?5) LIMIT 1",
        }
    }

    /// The statements, each with the index that it must go by.
    #[cfg(test)]
    pub(super) fn indexed(&self) -> [(&str, &'static str); 7] {
        const KEY: &str = "sqlite_autoindex_JettySessions_1";
        [
            (&self.read, KEY),
            (&self.times, KEY),
            (&self.update, KEY),
            (&self.touch, KEY),
            (&self.delete, KEY),
            (self.delete_moved, "JettySessions_origin"),
            (&self.list, "JettySessions_principal"),
        ]
    }

    /// Reads one session.
    pub(super) fn read(
        &self,
        connection: &Connection,
        codec: &Codec,
        read: &Read,
    ) -> rusqlite::Result<ReadOutcome> {
        let SessionKey {
            id,
            context,
            virtual_host,
        } = &read.key;
        let known = read.known.map(Version::as_i64);
        let mut statement = connection.prepare_cached(&self.read)?;
        let mut rows = statement.query(params![id, context, virtual_host, known])?;
        let Some(row) = rows.next()? else {
            return Ok(ReadOutcome::Missing);
        };
        Ok(match row::record(row, &read.key, codec) {
            Ok(record) if Some(record.version) == read.known => ReadOutcome::Current {
                last_access: record.last_access,
            },
            Ok(record) => ReadOutcome::Found(Box::new(record)),
            Err(reason) => ReadOutcome::Unreadable(reason),
        })
    }

    /// Where a session is now.
    pub(super) fn locate(
        &self,
        connection: &Connection,
        Lookup { key, origin }: &Lookup,
        now: Timestamp,
    ) -> rusqlite::Result<Option<SessionKey>> {
        let SessionKey {
            id,
            context,
            virtual_host,
        } = key;
        let now = now.as_millis();
        let id: Option<Arc<str>> = connection
            .prepare_cached(self.locate)?
            .query_row(params![id, context, virtual_host, origin, now], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(id.map(|id| key.with_id(id)))
    }

    /// Lists the sessions of a principal.
    pub(super) fn list(
        &self,
        connection: &Connection,
        principal: &str,
        now: Timestamp,
    ) -> rusqlite::Result<Vec<SessionSummary>> {
        let mut statement = connection.prepare_cached(&self.list)?;
        let rows = statement.query_map(params![principal, now.as_millis()], |row| {
            Ok(SessionSummary {
                key: row::key(row, 0)?,
                created_at: Timestamp::from_millis(row::integer(row, 3)?.unwrap_or(0)),
                last_access: Timestamp::from_millis(row::integer(row, 4)?.unwrap_or(0)),
                last_node: row::text(row, 5)?,
                origin: row.get(6)?,
            })
        })?;
        rows.collect()
    }

    /// Carries out one commit, inside the transaction that `connection` is in.
    pub(super) fn carry_out(
        &self,
        connection: &Connection,
        Encoded { commit, map }: &Encoded,
    ) -> rusqlite::Result<CommitOutcome> {
        match commit {
            Commit::Create { key, record } => self.insert(connection, key, record, map),
            Commit::Delete { key, origin } => self.delete(connection, key, origin),
            Commit::Rename {
                key,
                new_id,
                expected,
                record,
            } => {
                let stored = match compare(self.times(connection, key)?, *expected) {
                    Ok(stored) => stored,
                    Err(outcome) => return Ok(outcome),
                };
                let renamed = key.with_id(new_id.clone());
                if self.times(connection, &renamed)?.is_some() {
                    return Ok(CommitOutcome::Exists);
                }
                self.replace(
                    connection,
                    key,
                    stored,
                    &Replacement {
                        id: new_id,
                        record,
                        map,
                    },
                )
            }
            Commit::Touch { key, last_access } => self.touch(connection, key, *last_access),
            Commit::Update {
                key,
                expected,
                record,
            } => match compare(self.times(connection, key)?, *expected) {
                Ok(stored) => {
                    let replacement = Replacement {
                        id: &key.id,
                        record,
                        map,
                    };
                    self.replace(connection, key, stored, &replacement)
                }
                Err(outcome) => Ok(outcome),
            },
        }
    }

    fn times(
        &self,
        connection: &Connection,
        SessionKey {
            id,
            context,
            virtual_host,
        }: &SessionKey,
    ) -> rusqlite::Result<Option<StoredTimes>> {
        connection
            .prepare_cached(&self.times)?
            .query_row(params![id, context, virtual_host], |row| {
                row::stored_times(row)
            })
            .optional()
    }

    fn insert(
        &self,
        connection: &Connection,
        SessionKey {
            id,
            context,
            virtual_host,
        }: &SessionKey,
        record: &SessionRecord,
        map: &[u8],
    ) -> rusqlite::Result<CommitOutcome> {
        let expiry = expiry_column(record.expires_at());
        let inserted = connection.prepare_cached(&self.insert)?.execute(params![
            id,
            context,
            virtual_host,
            record.last_node,
            record.last_access.as_millis(),
            record.created_at.as_millis(),
            record.version.as_i64(),
            expiry,
            interval_column(record.idle_timeout),
            map,
            record.principal,
            record.deadline.map(Timestamp::as_millis),
            bucket_column(expiry),
        ])?;
        Ok(if inserted == 1 {
            CommitOutcome::Done
        } else {
            CommitOutcome::Exists
        })
    }

    fn replace(
        &self,
        connection: &Connection,
        SessionKey {
            id,
            context,
            virtual_host,
        }: &SessionKey,
        stored: StoredTimes,
        Replacement {
            id: new_id,
            record,
            map,
        }: &Replacement<'_>,
    ) -> rusqlite::Result<CommitOutcome> {
        let access = record.last_access.as_millis().max(stored.access);
        let expiry = expiry_column(record.expires_at_after(Timestamp::from_millis(access)));
        let updated = connection.prepare_cached(&self.update)?.execute(params![
            id,
            context,
            virtual_host,
            record.last_node,
            access,
            record.created_at.as_millis(),
            record.version.as_i64(),
            expiry,
            interval_column(record.idle_timeout),
            map,
            record.principal,
            record.deadline.map(Timestamp::as_millis),
            bucket_column(expiry),
            new_id,
            record.origin,
        ])?;
        Ok(if updated == 1 {
            CommitOutcome::Done
        } else {
            CommitOutcome::Missing
        })
    }

    fn touch(
        &self,
        connection: &Connection,
        key: &SessionKey,
        last_access: Timestamp,
    ) -> rusqlite::Result<CommitOutcome> {
        let Some(stored) = self.times(connection, key)? else {
            return Ok(CommitOutcome::Missing);
        };
        let access = last_access.as_millis();
        if access > stored.access {
            let SessionKey {
                id,
                context,
                virtual_host,
            } = key;
            let expiry = stored.expiry_after(access);
            let bucket = bucket_column(expiry);
            let mut statement = connection.prepare_cached(&self.touch)?;
            statement.execute(params![id, context, virtual_host, access, expiry, bucket])?;
        }
        Ok(CommitOutcome::Done)
    }

    fn delete(
        &self,
        connection: &Connection,
        SessionKey {
            id,
            context,
            virtual_host,
        }: &SessionKey,
        origin: &str,
    ) -> rusqlite::Result<CommitOutcome> {
        let mut statement = connection.prepare_cached(&self.delete)?;
        let mut deleted = statement.execute(params![id, context, virtual_host])?;
        if deleted == 0 {
            let mut statement = connection.prepare_cached(self.delete_moved)?;
            deleted = statement.execute(params![origin, context, virtual_host])?;
        }
        Ok(if deleted > 0 {
            CommitOutcome::Done
        } else {
            CommitOutcome::Missing
        })
    }
}

/// A commit with its attributes encoded, so that no lock is held while they are.
#[derive(Debug)]
pub(super) struct Encoded {
    commit: Commit,
    map: Vec<u8>,
}

impl Encoded {
    pub(super) fn new(commit: Commit, codec: &Codec) -> Self {
        let map = match &commit {
            Commit::Create { key, record } | Commit::Update { key, record, .. } => {
                codec.encode(key, record)
            }
            Commit::Rename {
                key,
                new_id,
                record,
                ..
            } => codec.encode(&key.with_id(new_id.clone()), record),
            Commit::Delete { .. } | Commit::Touch { .. } => Vec::new(),
        };
        Self { commit, map }
    }
}

/// What a row holds after an update.
struct Replacement<'a> {
    id: &'a str,
    record: &'a SessionRecord,
    map: &'a [u8],
}

fn compare(stored: Option<StoredTimes>, expected: Version) -> Result<StoredTimes, CommitOutcome> {
    match stored {
        Some(stored) if stored.version == Some(expected.as_i64()) => Ok(stored),
        Some(_) => Err(CommitOutcome::Conflict),
        None => Err(CommitOutcome::Missing),
    }
}
