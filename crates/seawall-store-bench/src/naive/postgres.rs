//! PostgreSQL by `tokio-postgres`, with prepared statements.

use anyhow::Result;
use seawall_store::{SessionKey, SessionRecord, Version};
use tokio_postgres::{Client, NoTls, Statement};

use super::{CONNECTIONS, Loaded, Written, pool::Pool};

const UPDATE: &str = "UPDATE jettysessions SET lastnode = $5, accesstime = $6, \
    lastaccesstime = $6, lastsavedtime = $7, expirytime = $8, maxinterval = $9, map = $10, \
    expirybucket = $11 \
    WHERE sessionid = $1 AND contextpath = $2 AND virtualhost = $3 AND lastsavedtime = $4";

const VERSION: &str = "SELECT lastsavedtime FROM jettysessions \
    WHERE sessionid = $1 AND contextpath = $2 AND virtualhost = $3";

const LOAD: &str = "SELECT lastsavedtime, createtime, accesstime, maxinterval, expirytime, \
    deadline, principal, lastnode, origin, map FROM jettysessions \
    WHERE sessionid = $1 AND contextpath = $2 AND virtualhost = $3";

#[derive(Debug)]
pub(crate) struct Postgres(Pool<Connection>);

struct Connection {
    client: Client,
    update: Statement,
    version: Statement,
    load: Statement,
}

impl Postgres {
    pub(super) async fn open(url: &str) -> Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Connection::open(url).await?);
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
        let connection = self.0.take().await;
        let updated = connection
            .client
            .execute(
                &connection.update,
                &[
                    &&*key.id,
                    &&*key.context,
                    &&*key.virtual_host,
                    &expected.as_i64(),
                    &&*record.last_node,
                    &row.access,
                    &row.version,
                    &row.expiry,
                    &row.idle,
                    &row.map,
                    &row.bucket,
                ],
            )
            .await?;
        Ok(updated == 1)
    }

    pub(super) async fn version(&self, key: &SessionKey) -> Result<Version> {
        let connection = self.0.take().await;
        let SessionKey {
            id,
            context,
            virtual_host,
        } = key;
        let row = connection
            .client
            .query_one(
                &connection.version,
                &[&&**id, &&**context, &&**virtual_host],
            )
            .await?;
        Ok(Version::from_i64(row.try_get(0)?))
    }

    pub(super) async fn load(&self, key: &SessionKey) -> Result<Loaded> {
        let connection = self.0.take().await;
        let SessionKey {
            id,
            context,
            virtual_host,
        } = key;
        let row = connection
            .client
            .query_one(&connection.load, &[&&**id, &&**context, &&**virtual_host])
            .await?;
        Loaded::new(row.try_get(0)?, row.try_get("map")?)
    }
}

impl Connection {
    async fn open(url: &str) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        Ok(Self {
            update: client.prepare(UPDATE).await?,
            version: client.prepare(VERSION).await?,
            load: client.prepare(LOAD).await?,
            client,
        })
    }
}
