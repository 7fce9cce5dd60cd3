//! Redis by the `redis` crate: a script call for each request that writes, because no command
//! compares a version, and a command for each that reads.

use anyhow::{Context, Result};
use redis::{AsyncCommands, Client, Script, aio::MultiplexedConnection};
use seawall_store::{SessionKey, SessionRecord, Version};

use super::{CONNECTIONS, Loaded, Written, pool::Pool};

/// Compares the version, writes the columns, and keeps the index by expiry.
const UPDATE: &str = "if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return 0 end \
    redis.call('HSET', KEYS[1], 'version', ARGV[2], 'access', ARGV[3], 'idle', ARGV[4], \
    'node', ARGV[5], 'map', ARGV[6]) \
    redis.call('ZADD', KEYS[2], ARGV[7], ARGV[8]) \
    return 1";

/// The columns of a session.
const COLUMNS: [&str; 10] = [
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
];

#[derive(Debug)]
pub(crate) struct Redis {
    pool: Pool<MultiplexedConnection>,
    update: Script,
}

impl Redis {
    pub(super) async fn open(url: &str) -> Result<Self> {
        let client = Client::open(url)?;
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(client.get_multiplexed_async_connection().await?);
        }
        Ok(Self {
            pool: Pool::new(connections),
            update: Script::new(UPDATE),
        })
    }

    pub(super) async fn update(
        &self,
        key: &SessionKey,
        expected: Version,
        record: &SessionRecord,
    ) -> Result<bool> {
        let row = Written::of(record);
        let place = Place::of(key);
        let mut update = self.update.key(&place.session);
        update
            .key(&place.expiry)
            .arg(expected.as_i64())
            .arg(row.version)
            .arg(row.access)
            .arg(row.idle)
            .arg(&*record.last_node)
            .arg(row.map)
            .arg(row.expiry)
            .arg(&place.member);
        let mut connection = self.pool.take().await;
        let done: i64 = update.invoke_async(&mut *connection).await?;
        Ok(done == 1)
    }

    pub(super) async fn version(&self, key: &SessionKey) -> Result<Version> {
        let mut connection = self.pool.take().await;
        let session = Place::of(key).session;
        let version: Option<i64> = connection.hget(session, "version").await?;
        Ok(Version::from_i64(version.context("no such session")?))
    }

    pub(super) async fn load(&self, key: &SessionKey) -> Result<Loaded> {
        let mut connection = self.pool.take().await;
        let session = Place::of(key).session;
        let columns: Vec<Option<Vec<u8>>> = connection.hmget(session, &COLUMNS).await?;
        let [Some(version), .., Some(map)] = columns.as_slice() else {
            anyhow::bail!("no such session");
        };
        Loaded::new(std::str::from_utf8(version)?.parse()?, map)
    }
}

/// Where the store keeps a session (`crates/seawall-store/src/redis/layout.rs`).
struct Place {
    session: String,
    expiry: String,
    member: String,
}

impl Place {
    fn of(key: &SessionKey) -> Self {
        let member = format!("{}|{}|{}", key.virtual_host, key.context, key.id);
        let hash = member.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        let partition = hash % 64;
        Self {
            session: format!("seawall:{{{partition}}}:s:{member}"),
            expiry: format!("seawall:{{{partition}}}:expiry"),
            member,
        }
    }
}
