//! The table, and how it comes into being.

use mysql_async::{Conn, Row, prelude::Queryable};

use super::error::Failure;

/// Taken while the tables are made, so that nodes that start together do not race; in seconds how
/// long it is waited for.
const TAKE_LOCK: &str = "SELECT GET_LOCK(CONCAT('seawall.', DATABASE()), 2)";
const RELEASE_LOCK: &str = "SELECT RELEASE_LOCK(CONCAT('seawall.', DATABASE()))";

pub(super) const VERSION: i32 = 1;

/// Jetty's twelve columns, and ours beside them. Keys are compared byte by byte.
const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS JettySessions (
    sessionId varchar(120) NOT NULL, contextPath varchar(60) NOT NULL,
    virtualHost varchar(60) NOT NULL, lastNode varchar(60), accessTime bigint,
    lastAccessTime bigint, createTime bigint, cookieTime bigint, lastSavedTime bigint,
    expiryTime bigint, maxInterval bigint, map longblob,
    PRIMARY KEY (sessionId, contextPath, virtualHost))
    ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// Makes a table that Jetty made compare its keys byte by byte, as our statements do, and gives
/// sessions more room than 64 KB. It changes nothing in a table of ours.
const ADAPT_TABLE: &str = "ALTER TABLE JettySessions ENGINE = InnoDB,
    MODIFY sessionId varchar(120) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    MODIFY contextPath varchar(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    MODIFY virtualHost varchar(60) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    MODIFY map longblob";

/// Adds what is missing of our columns. MySQL has no `ADD COLUMN IF NOT EXISTS`.
const ADD_COLUMNS: [(&str, &str); 4] = [
    (
        "principal",
        "ALTER TABLE JettySessions ADD COLUMN principal varchar(255) CHARACTER SET utf8mb4 \
         COLLATE utf8mb4_bin, ADD INDEX JettySessions_principal (principal)",
    ),
    (
        "origin",
        "ALTER TABLE JettySessions ADD COLUMN origin varchar(120) CHARACTER SET utf8mb4 \
         COLLATE utf8mb4_bin, ADD INDEX JettySessions_origin (origin)",
    ),
    (
        "deadline",
        "ALTER TABLE JettySessions ADD COLUMN deadline bigint",
    ),
    (
        "expirybucket",
        "ALTER TABLE JettySessions ADD COLUMN expirybucket bigint, \
         ADD INDEX JettySessions_expirybucket (expirybucket)",
    ),
];

/// Makes the tables, or brings them up to date.
pub(super) async fn migrate(conn: &mut Conn) -> Result<(), Failure> {
    // A user that may not create tables can still work on tables that are there.
    if current_version(conn).await? == VERSION {
        return Ok(());
    }
    let taken: Option<Option<i64>> = conn.query_first(TAKE_LOCK).await?;
    if taken.flatten() != Some(1) {
        return Err(Failure::Unexpected(
            "that another node takes long to make the tables",
        ));
    }
    let made = make_tables(conn).await;
    conn.query_drop(RELEASE_LOCK).await?;
    made
}

/// Statements that define tables commit by themselves, so each step can be repeated.
async fn make_tables(conn: &mut Conn) -> Result<(), Failure> {
    if current_version(conn).await? == VERSION {
        return Ok(());
    }
    conn.query_drop(CREATE_TABLE).await?;
    conn.query_drop(ADAPT_TABLE).await?;
    for (column, add) in ADD_COLUMNS {
        if !has_column(conn, column).await? {
            conn.query_drop(add).await?;
        }
    }
    conn.query_drop(
        "CREATE TABLE IF NOT EXISTS seawall_schema (
            version int PRIMARY KEY, applied_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)",
    )
    .await?;
    let insert = format!("INSERT IGNORE INTO seawall_schema (version) VALUES ({VERSION})");
    Ok(conn.query_drop(insert).await?)
}

async fn has_column(conn: &mut Conn, column: &str) -> Result<bool, Failure> {
    let find = "SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() \
                AND table_name = 'JettySessions' AND column_name = ?";
    Ok(conn
        .exec_first::<Row, _, _>(find, (column,))
        .await?
        .is_some())
}

/// The version of the tables; 0 when there are none, even if somebody dropped them and left their
/// version.
async fn current_version(conn: &mut Conn) -> Result<i32, Failure> {
    if !has_table(conn, "seawall_schema").await? {
        return Ok(0);
    }
    let newest = "SELECT COALESCE(MAX(version), 0) FROM seawall_schema";
    let version: i32 = conn.query_first(newest).await?.unwrap_or(0);
    if version > VERSION {
        return Err(Failure::Schema(format!(
            "the tables have version {version}, made by a newer Seawall; this one knows {VERSION}: \
             upgrade this node"
        )));
    }
    let has_sessions = has_table(conn, "JettySessions").await?;
    Ok(if has_sessions { version } else { 0 })
}

async fn has_table(conn: &mut Conn, name: &str) -> Result<bool, Failure> {
    let find = "SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE() \
                AND table_name = ?";
    Ok(conn.exec_first::<Row, _, _>(find, (name,)).await?.is_some())
}
