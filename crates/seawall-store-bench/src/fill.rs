//! Rows in the table, made by the database itself where it can.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, named_params};
use seawall_store::{Commit, SessionStore, StoreUrl};
use tokio::time::sleep;
use tokio_postgres::NoTls;

use crate::{
    naive::plain,
    session::{self, Rows},
};

/// So many sessions are made at a time where they go through the store.
const BATCH: usize = 1_000;

const REWRITE_LIMIT: Duration = Duration::from_secs(120);
const REWRITE_PAUSE: Duration = Duration::from_millis(50);

/// Makes the rows. They are written in the order of their keys, which is quicker by far.
pub(crate) async fn fill(url: &str, store: &dyn SessionStore, rows: &Rows) -> Result<()> {
    match url.parse()? {
        StoreUrl::Mysql(_) => fill_mariadb(url, rows).await,
        StoreUrl::Postgres(_) => fill_postgres(url, rows).await,
        StoreUrl::Sqlite(path) => fill_sqlite(&Connection::open(path)?, rows),
        StoreUrl::Memory => fill_by_commits(store, rows).await,
        StoreUrl::Redis(_) => {
            fill_by_commits(store, rows).await?;
            wait_for_rewrite(url).await
        }
    }
}

/// The columns, and what they hold of row `i`; `{id}` and `{expiry}` stand for expressions, and
/// the others for the parameters of one dialect.
const INSERT: &str = "INSERT INTO JettySessions (sessionId, contextPath, virtualHost, lastNode, \
    accessTime, lastAccessTime, createTime, cookieTime, lastSavedTime, expiryTime, maxInterval, \
    map, expirybucket) SELECT id, '{context}', '{host}', '{node}', access, access, access, access, \
    {version}, access + {idle}, {idle}, {map}, {bucket} FROM (SELECT {id} AS id, \
    {access} - i % {spread} * 1000 AS access FROM {numbers}) AS r ORDER BY id";

/// What a dialect of SQL has of its own.
struct Dialect {
    /// The first eight digits of the id of row `i`.
    digits: &'static str,
    bucket: &'static str,
    map: &'static str,
    /// A table of the numbers of the rows, in the column `i`.
    numbers: String,
}

impl Dialect {
    fn insert(&self, rows: &Rows) -> String {
        let idle = rows.record.idle_timeout.unwrap_or_default().as_millis();
        let digits = self
            .digits
            .replace("{scatter}", &session::SCATTER.to_string());
        let values = [
            ("{context}", session::CONTEXT.to_owned()),
            ("{host}", session::HOST.to_owned()),
            ("{node}", session::NODE.to_owned()),
            ("{version}", session::FILLED.to_string()),
            ("{map}", self.map.to_owned()),
            ("{bucket}", self.bucket.to_owned()),
            ("{idle}", idle.to_string()),
            ("{id}", digits.replace("{end}", session::ID_END)),
            ("{access}", rows.record.last_access.as_millis().to_string()),
            ("{spread}", session::SPREAD.to_string()),
            ("{numbers}", self.numbers.clone()),
        ];
        let replace = |sql: String, (name, value): (&str, String)| sql.replace(name, &value);
        values.into_iter().fold(INSERT.to_owned(), replace)
    }
}

/// The numbers of the first and the last row.
fn range(rows: &Rows) -> (u32, u32) {
    (rows.first, (rows.first + rows.count).saturating_sub(1))
}

async fn fill_postgres(url: &str, rows: &Rows) -> Result<()> {
    let (first, last) = range(rows);
    let dialect = Dialect {
        digits: "lpad(to_hex(i * {scatter} % 4294967296), 8, '0') || '{end}'",
        bucket: "(access + {idle} + 299999) / 300000 * 300000",
        map: "$1::bytea",
        numbers: format!("generate_series({first}::bigint, {last}::bigint) AS numbers(i)"),
    };
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let driver = tokio::spawn(connection);
    let map = plain(&rows.record);
    client.execute(&dialect.insert(rows), &[&map]).await?;
    client.batch_execute("VACUUM ANALYZE jettysessions").await?;
    client.batch_execute("CHECKPOINT").await?;
    drop(client);
    Ok(driver.await??)
}

async fn fill_mariadb(url: &str, rows: &Rows) -> Result<()> {
    use mysql_async::prelude::Queryable;
    let (first, last) = range(rows);
    let dialect = Dialect {
        digits: "CONCAT(LOWER(LPAD(HEX(i * {scatter} % 4294967296), 8, '0')), '{end}')",
        bucket: "(access + {idle} + 299999) DIV 300000 * 300000",
        map: "?",
        numbers: format!("(SELECT seq AS i FROM seq_{first}_to_{last}) AS numbers"),
    };
    let mut conn = mysql_async::Conn::new(mysql_async::Opts::from_url(url)?).await?;
    let map = plain(&rows.record);
    conn.exec_drop(dialect.insert(rows), (map,)).await?;
    conn.query_drop("ANALYZE TABLE JettySessions").await?;
    // Writes to the disk what would be written while figures are taken.
    conn.query_drop("FLUSH TABLES JettySessions FOR EXPORT")
        .await?;
    conn.query_drop("UNLOCK TABLES").await?;
    Ok(conn.disconnect().await?)
}

fn fill_sqlite(connection: &Connection, rows: &Rows) -> Result<()> {
    let (first, last) = range(rows);
    let dialect = Dialect {
        digits: "printf('%08x', i * {scatter} % 4294967296) || '{end}'",
        bucket: "(access + {idle} + 299999) / 300000 * 300000",
        map: ":map",
        numbers: format!(
            "(WITH RECURSIVE numbers(i) AS (VALUES ({first}) UNION ALL \
             SELECT i + 1 FROM numbers WHERE i < {last}) SELECT i FROM numbers)"
        ),
    };
    let map = plain(&rows.record);
    connection.execute(&dialect.insert(rows), named_params! {":map": map})?;
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
        .context("the file's log stays")
}

async fn fill_by_commits(store: &dyn SessionStore, rows: &Rows) -> Result<()> {
    let numbers: Vec<u32> = (rows.first..rows.first + rows.count).collect();
    for numbers in numbers.chunks(BATCH) {
        let create = |&row: &u32| Commit::Create {
            key: session::key(row),
            record: Arc::new(rows.record(row)),
        };
        let creates: Vec<Commit> = numbers.iter().map(create).collect();
        store.commit(&creates).await?;
    }
    Ok(())
}

/// Redis rewrites its log when that has grown so much; waits until it has done so.
async fn wait_for_rewrite(url: &str) -> Result<()> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let end = Instant::now() + REWRITE_LIMIT;
    loop {
        let mut command = redis::cmd("INFO");
        command.arg("persistence");
        let state: String = command.query_async(&mut connection).await?;
        let is_idle = |name: &str| state.contains(&format!("aof_rewrite_{name}:0"));
        if is_idle("in_progress") && is_idle("scheduled") {
            return Ok(());
        }
        ensure!(Instant::now() < end, "Redis rewrites its log for too long");
        sleep(REWRITE_PAUSE).await;
    }
}
