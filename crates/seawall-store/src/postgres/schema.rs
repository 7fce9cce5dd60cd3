//! The table, and how it comes into being.

use tokio_postgres::{Client, GenericClient};

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

pub(super) const VERSION: i32 = 1;
const _: () = assert!(
    MIGRATIONS.len() == VERSION as usize,
    "one version for each migration"
);

/// Makes the tables, or brings them up to date.
pub(super) async fn migrate(client: &mut Client) -> Result<(), Failure> {
    // A user that may not create tables can still work on tables that are there.
    if current_version(client).await? == VERSION {
        return Ok(());
    }
    let transaction = client.transaction().await?;
    // An index on a large table takes time.
    transaction
        .batch_execute("SET LOCAL statement_timeout = 0")
        .await?;
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&ADVISORY_LOCK])
        .await?;
    transaction
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS seawall_schema (
                version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
        )
        .await?;
    let applied = current_version(&transaction).await?;
    let pending = (1..)
        .zip(MIGRATIONS)
        .filter(|(version, _)| *version > applied);
    for (version, migration) in pending {
        transaction.batch_execute(migration).await?;
        let insert = "INSERT INTO seawall_schema (version) VALUES ($1) ON CONFLICT DO NOTHING";
        transaction.execute(insert, &[&version]).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// The version of the tables; 0 when there are none, even if somebody dropped them and left their
/// version.
async fn current_version(client: &impl GenericClient) -> Result<i32, Failure> {
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
