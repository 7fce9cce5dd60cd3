//! SQLite by `rusqlite`: each statement a transaction, on a thread of the runtime's own.

use std::{path::Path, time::Duration};

use anyhow::Result;
use rusqlite::{Connection, params};
use seawall_store::{SessionKey, SessionRecord, Version};
use tokio::task::spawn_blocking;

use super::{CONNECTIONS, Loaded, Written, pool::Pool};

const UPDATE: &str = "UPDATE JettySessions SET lastNode = ?5, accessTime = ?6, \
    lastAccessTime = ?6, lastSavedTime = ?7, expiryTime = ?8, maxInterval = ?9, map = ?10, \
    expirybucket = ?11 \
    WHERE sessionId = ?1 AND contextPath = ?2 AND virtualHost = ?3 AND lastSavedTime = ?4";

const VERSION: &str = "SELECT lastSavedTime FROM JettySessions \
    WHERE sessionId = ?1 AND contextPath = ?2 AND virtualHost = ?3";

const LOAD: &str = "SELECT lastSavedTime, map, createTime, accessTime, expiryTime, maxInterval, \
    deadline, principal, lastNode, origin FROM JettySessions \
    WHERE sessionId = ?1 AND contextPath = ?2 AND virtualHost = ?3";

/// As long as people wait for the lock of a file that many write.
const BUSY_LIMIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Sqlite(Pool<Connection>);

impl Sqlite {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let connect = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(BUSY_LIMIT)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            Ok(connection)
        };
        let connections: Result<Vec<_>> = (0..CONNECTIONS).map(|_| connect()).collect();
        Ok(Self(Pool::new(connections?)))
    }

    pub(super) async fn update(
        &self,
        key: &SessionKey,
        expected: Version,
        record: &SessionRecord,
    ) -> Result<bool> {
        let (row, node) = (Written::of(record), record.last_node.clone());
        self.with(key, move |connection, key| {
            let updated = connection.prepare_cached(UPDATE)?.execute(params![
                key.id,
                key.context,
                key.virtual_host,
                expected.as_i64(),
                node,
                row.access,
                row.version,
                row.expiry,
                row.idle,
                row.map,
                row.bucket,
            ])?;
            Ok(updated == 1)
        })
        .await
    }

    pub(super) async fn version(&self, key: &SessionKey) -> Result<Version> {
        self.with(key, |connection, key| {
            let mut statement = connection.prepare_cached(VERSION)?;
            let key = params![key.id, key.context, key.virtual_host];
            Ok(Version::from_i64(
                statement.query_row(key, |row| row.get(0))?,
            ))
        })
        .await
    }

    pub(super) async fn load(&self, key: &SessionKey) -> Result<Loaded> {
        self.with(key, |connection, key| {
            let mut statement = connection.prepare_cached(LOAD)?;
            let key = params![key.id, key.context, key.virtual_host];
            let row = statement.query_row(key, |row| Ok((row.get(0)?, row.get(1)?)));
            let (version, map): (i64, Vec<u8>) = row?;
            Loaded::new(version, &map)
        })
        .await
    }

    async fn with<T: Send + 'static>(
        &self,
        key: &SessionKey,
        work: impl FnOnce(&Connection, &SessionKey) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (connection, key) = (self.0.take().await, key.clone());
        spawn_blocking(move || work(&connection, &key)).await?
    }
}
