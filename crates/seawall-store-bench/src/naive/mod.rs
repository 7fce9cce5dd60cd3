//! The naive client: one statement for each request, on one of up to 20 connections of the back
//! end's usual driver. It compares versions as the batcher's statements do, and is as durable.

mod mariadb;
mod pool;
mod postgres;
mod redis;
mod sqlite;

use std::sync::LazyLock;

use anyhow::{Result, bail};
use seawall_store::{
    SessionKey, SessionRecord, StoreUrl, Timestamp, Version,
    codec::{Codec, Contents},
};

use crate::session;
use mariadb::MariaDb;
use postgres::Postgres;
use redis::Redis;
use sqlite::Sqlite;

/// The size of a pool that people have.
const CONNECTIONS: usize = 20;

/// A naive client of one back end.
#[derive(Debug)]
pub(crate) enum Naive {
    MariaDb(MariaDb),
    /// The memory of the process has no client.
    Memory,
    Postgres(Postgres),
    Redis(Redis),
    Sqlite(Sqlite),
}

impl Naive {
    pub(crate) async fn open(url: &str) -> Result<Self> {
        Ok(match url.parse()? {
            StoreUrl::Memory => Self::Memory,
            StoreUrl::Mysql(_) => Self::MariaDb(MariaDb::open(url).await?),
            StoreUrl::Postgres(_) => Self::Postgres(Postgres::open(url).await?),
            StoreUrl::Redis(_) => Self::Redis(Redis::open(url).await?),
            StoreUrl::Sqlite(path) => Self::Sqlite(Sqlite::open(&path)?),
        })
    }

    /// Writes a session if its version is still `expected`; says whether it was.
    pub(crate) async fn update(
        &self,
        key: &SessionKey,
        expected: Version,
        record: &SessionRecord,
    ) -> Result<bool> {
        match self {
            Self::MariaDb(client) => client.update(key, expected, record).await,
            Self::Memory => bail!(NO_CLIENT),
            Self::Postgres(client) => client.update(key, expected, record).await,
            Self::Redis(client) => client.update(key, expected, record).await,
            Self::Sqlite(client) => client.update(key, expected, record).await,
        }
    }

    /// The version that a session has.
    pub(crate) async fn version(&self, key: &SessionKey) -> Result<Version> {
        match self {
            Self::MariaDb(client) => client.version(key).await,
            Self::Memory => bail!(NO_CLIENT),
            Self::Postgres(client) => client.version(key).await,
            Self::Redis(client) => client.version(key).await,
            Self::Sqlite(client) => client.version(key).await,
        }
    }

    /// A whole session, decoded.
    pub(crate) async fn load(&self, key: &SessionKey) -> Result<Loaded> {
        match self {
            Self::MariaDb(client) => client.load(key).await,
            Self::Memory => bail!(NO_CLIENT),
            Self::Postgres(client) => client.load(key).await,
            Self::Redis(client) => client.load(key).await,
            Self::Sqlite(client) => client.load(key).await,
        }
    }
}

const NO_CLIENT: &str = "the memory of the process has no client";

/// A session as a client that knows only its own needs reads it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) version: Version,
    pub(crate) contents: Contents,
}

impl Loaded {
    fn new(version: i64, map: &[u8]) -> Result<Self> {
        Ok(Self {
            version: Version::from_i64(version),
            contents: PLAIN.decode(&session::key(0), map)?,
        })
    }
}

static PLAIN: LazyLock<Codec> = LazyLock::new(Codec::default);

/// The payload of a session, neither compressed nor encrypted: then it is the same under any key.
pub(crate) fn plain(record: &SessionRecord) -> Vec<u8> {
    PLAIN.encode(&session::key(0), record)
}

/// What an update writes, as the columns hold it.
struct Written {
    access: i64,
    version: i64,
    expiry: i64,
    bucket: i64,
    idle: i64,
    map: Vec<u8>,
}

impl Written {
    fn of(record: &SessionRecord) -> Self {
        let idle = record.idle_timeout.unwrap_or_default().as_millis();
        let expiry = record.expires_at().map_or(0, Timestamp::as_millis);
        Self {
            access: record.last_access.as_millis(),
            version: record.version.as_i64(),
            expiry,
            bucket: (expiry + 299_999) / 300_000 * 300_000,
            idle: i64::try_from(idle).unwrap_or(i64::MAX),
            map: plain(record),
        }
    }
}
