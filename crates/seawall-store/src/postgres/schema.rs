//! The table, and how it comes into being.

use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::Client;

use super::error::Failure;

/// Taken while the tables are made, so that nodes that start together do not race.
const ADVISORY_LOCK: i64 = 0x5ea_3a11;

/// The steps that make the tables, in order. A step that has been released is never changed.
const MIGRATIONS: [&str; 1] = [
    // Jetty's twelve columns, with its types, and ours beside them. The table is lean: no index on
    // anything that is written per request, and room in each page, so that updates stay in it.
    "CREATE TABLE IF NOT EXISTS jettysessions (
        sessionid varchar(120) NOT NULL, contextpath varchar(60) NOT NULL,
        virtualhost varchar(60) NOT NULL, lastnode varchar(60), accesstime bigint,
        lastaccesstime bigint, createtime bigint, cookietime bigint, lastsavedtime bigint,
        expirytime bigint, maxinterval bigint, map bytea,
        PRIMARY KEY (sessionid, contextpath, virtualhost)) WITH (fillfactor = 50);
    ALTER TABLE jettysessions ADD COLUMN IF NOT EXISTS principal text,
        ADD COLUMN IF NOT EXISTS deadline bigint, ADD COLUMN IF NOT EXISTS expirybucket bigint,
        ADD COLUMN IF NOT EXISTS origin varchar(120);
    CREATE INDEX IF NOT EXISTS jettysessions_expirybucket ON jettysessions (expirybucket);
    CREATE INDEX IF NOT EXISTS jettysessions_principal ON jettysessions (principal)
        WHERE principal IS NOT NULL;
    CREATE INDEX IF NOT EXISTS jettysessions_origin ON jettysessions (origin)
        WHERE origin IS NOT NULL;",
];

/// The table of the versions that the tables have had.
const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS seawall_schema (
    version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())";

pub(super) const VERSION: i32 = 1;
const _: () = assert!(
    MIGRATIONS.len() == VERSION as usize,
    "one version for each migration"
);

/// How often a node asks whether another one that makes the tables is done.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Makes the tables, or brings them up to date.
pub(super) async fn migrate(client: &Client) -> Result<(), Failure> {
    // A user that may not create tables can still work on tables that are there.
    if current_version(client).await? == VERSION {
        return Ok(());
    }
    // The connection ends when this fails, and what has begun with it.
    client.batch_execute("BEGIN").await?;
    lock(client).await?;
    // This takes a lock on a table, and only then the server's cache shows what others have committed.
    client.batch_execute(VERSIONS).await?;
    let applied = current_version(client).await?;
    Ok(client.batch_execute(&steps_after(applied)).await?)
}

/// Takes the lock, which ends with the transaction. It is asked for again and again, since somebody who
/// waits for it and whose client has gone away goes on to wait, and holds a connection.
async fn lock(client: &Client) -> Result<(), Failure> {
    let ask = format!("SELECT pg_try_advisory_xact_lock({ADVISORY_LOCK})");
    while !client.query_one(&ask, &[]).await?.try_get::<_, bool>(0)? {
        sleep(LOCK_PAUSE).await;
    }
    Ok(())
}

/// What brings tables of version `applied` up to date, and ends the transaction. It is one text, which
/// the server carries out to its end even if nobody waits for it any more: with an index on a large
/// table, it takes longer than a request waits.
fn steps_after(applied: i32) -> String {
    let pending = (1..)
        .zip(MIGRATIONS)
        .filter(|(version, _)| *version > applied);
    let steps = pending.map(|(version, migration)| {
        format!(
            "{migration} INSERT INTO seawall_schema (version) VALUES ({version}) \
             ON CONFLICT DO NOTHING; "
        )
    });
    let steps: String = steps.collect();
    format!("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; {steps} COMMIT")
}

/// The version of the tables; 0 when there are none, even if somebody dropped them and left their
/// version.
async fn current_version(client: &Client) -> Result<i32, Failure> {
    let find = "SELECT to_regclass('seawall_schema') IS NOT NULL, \
                to_regclass('jettysessions') IS NOT NULL";
    let row = client.query_one(find, &[]).await?;
    let (has_version, has_sessions): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    if !has_version {
        return Ok(0);
    }
    let row = client
        .query_one("SELECT COALESCE(max(version), 0) FROM seawall_schema", &[])
        .await?;
    let version: i32 = row.try_get(0)?;
    if version > VERSION {
        return Err(Failure::Schema(format!(
            "the tables have version {version}, made by a newer Seawall; this one knows {VERSION}: \
             upgrade this node"
        )));
    }
    Ok(if has_sessions { version } else { 0 })
}
