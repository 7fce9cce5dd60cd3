//! MariaDB by `mysql_async`, which keeps statements prepared.

use anyhow::{Context, Result};
use mysql_async::{Conn, Opts, Row, Value, prelude::Queryable};
use seawall_store::{SessionKey, SessionRecord, Version};

use super::{CONNECTIONS, Loaded, Written, pool::Pool};

const UPDATE: &str = "UPDATE JettySessions SET lastNode = ?, accessTime = ?, lastAccessTime = ?, \
    lastSavedTime = ?, expiryTime = ?, maxInterval = ?, map = ?, expirybucket = ? \
    WHERE sessionId = ? AND contextPath = ? AND virtualHost = ? AND lastSavedTime = ?";

const VERSION: &str = "SELECT lastSavedTime FROM JettySessions \
    WHERE sessionId = ? AND contextPath = ? AND virtualHost = ?";

const LOAD: &str = "SELECT lastSavedTime, map, createTime, accessTime, expiryTime, maxInterval, \
    deadline, principal, lastNode, origin FROM JettySessions \
    WHERE sessionId = ? AND contextPath = ? AND virtualHost = ?";

#[derive(Debug)]
pub(crate) struct MariaDb(Pool<Conn>);

impl MariaDb {
    pub(super) async fn open(url: &str) -> Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Conn::new(Opts::from_url(url)?).await?);
        }
        Ok(Self(Pool::new(connections)))
    }

    pub(super) async fn update(
        &self,
        key: &SessionKey,
        expected: Version,
        record: &SessionRecord,
    ) -> Result<bool> {
        let row = Written::of(record);
        let mut values: Vec<Value> = vec![
            (&*record.last_node).into(),
            row.access.into(),
            row.access.into(),
            row.version.into(),
            row.expiry.into(),
            row.idle.into(),
            row.map.into(),
            row.bucket.into(),
        ];
        values.extend([&*key.id, &*key.context, &*key.virtual_host].map(Value::from));
        values.push(expected.as_i64().into());
        let mut conn = self.0.take().await;
        conn.exec_drop(UPDATE, values).await?;
        Ok(conn.affected_rows() == 1)
    }

    pub(super) async fn version(&self, key: &SessionKey) -> Result<Version> {
        let key = (&*key.id, &*key.context, &*key.virtual_host);
        let version: Option<i64> = self.0.take().await.exec_first(VERSION, key).await?;
        Ok(Version::from_i64(version.context("no such session")?))
    }

    pub(super) async fn load(&self, key: &SessionKey) -> Result<Loaded> {
        let key = (&*key.id, &*key.context, &*key.virtual_host);
        let row: Option<Row> = self.0.take().await.exec_first(LOAD, key).await?;
        let mut row = row.context("no such session")?;
        let version: Option<i64> = row.take(0);
        let map: Option<Vec<u8>> = row.take(1);
        Loaded::new(version.context("no version")?, &map.context("no map")?)
    }
}
