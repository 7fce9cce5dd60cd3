//! The MariaDB (10.6 or later) and MySQL (8 or later) back end.
//!
//! Neither tells which rows an `UPDATE` has changed. So a batch of commits is a transaction that
//! first locks its rows and reads their versions, and then writes those that may be written, one
//! statement for each kind of commit. An update or a read that is alone is one plain statement. Like
//! PostgreSQL's, the store has a connection for reads, two for commits and one for maintenance.

mod address;
mod commit;
mod connection;
mod error;
mod row;
mod schema;
mod sql;
#[cfg(test)]
mod tests;
mod transaction;

use std::sync::Arc;

use mysql_async::{Conn, Row, prelude::Queryable};

use crate::{
    cause::Cause,
    clock::Timestamp,
    codec::{Codec, UnreadableCounts},
    columns::bucket,
    halves,
    key::SessionKey,
    limits::ServerLimits,
    link::{Link, LinkCounters, repeat_undone},
    record::Version,
    statistics::ConnectionStatistics,
    store::{
        BoxFuture, Commit, CommitOutcome, Expired, Lookup, Read, ReadOutcome, SessionStore,
        SessionSummary, StoreError,
    },
    url::ServerUrl,
};
use connection::{Lent, MysqlConnector};
use error::Failure;
use row::{Columns, KeyRow, ReadRow};

/// Whether a batch of so many commits is worth a second connection: two are, as each is one plain
/// statement then; after that what a transaction costs counts for more until there are many.
/// Measured in docs/benchmarks.md.
fn is_worth_two(commits: usize) -> bool {
    commits == 2 || commits >= 24
}

/// The version of the tables.
pub(crate) const SCHEMA_VERSION: u32 = schema::VERSION as u32;

/// Sessions in a MariaDB or MySQL table.
#[derive(Debug)]
pub struct MysqlStore {
    description: Arc<str>,
    codec: Codec,
    reads: Link<MysqlConnector>,
    commits: [Link<MysqlConnector>; 2],
    maintenance: Link<MysqlConnector>,
    counters: Arc<LinkCounters>,
}

impl MysqlStore {
    /// A store at `url`, whose sessions `codec` writes and reads. Nothing is connected yet.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] when the URL cannot be understood.
    pub fn new(url: &ServerUrl, limits: &ServerLimits, codec: Codec) -> Result<Self, StoreError> {
        let description: Arc<str> = url.to_string().into();
        let options = address::parse(url, limits).map_err(|reason| StoreError::Rejected {
            store: description.clone(),
            reason: reason.into(),
            cause: Cause::Other,
        })?;
        let connector = Arc::new(MysqlConnector {
            options: options.into(),
            connect_limit: limits.connect,
        });
        let counters = Arc::new(LinkCounters::default());
        let (connector, described) = (&connector, &description);
        let link = || {
            let counters = counters.clone();
            Link::new(connector.clone(), described.clone(), limits, counters)
        };
        Ok(Self {
            reads: link(),
            commits: [link(), link()],
            maintenance: link(),
            codec,
            counters,
            description,
        })
    }

    /// Does `work`, which is one transaction, on a connection that nobody else has meanwhile.
    async fn run<R: Send, F>(
        &self,
        link: &Link<MysqlConnector>,
        work: impl Fn(Lent) -> F + Sync,
    ) -> Result<R, StoreError>
    where
        F: Future<Output = Result<R, Failure>> + Send,
    {
        let work = &work;
        loop {
            let done = link.run(move |connection| async move {
                let lend_and_work = || async {
                    let Some(conn) = connection.lend().await else {
                        return Ok(None);
                    };
                    work(conn).await.map(Some)
                };
                repeat_undone(&self.counters, lend_and_work).await
            });
            // A connection that ended while this waited for it is made again.
            if let Some(result) = done.await? {
                return Ok(result);
            }
        }
    }

    async fn commit_on(
        &self,
        link: &Link<MysqlConnector>,
        commits: &[Commit],
    ) -> Result<Vec<CommitOutcome>, StoreError> {
        let work = |mut conn: Lent| async move {
            let result = commit::carry_out(&mut conn, &self.codec, commits).await;
            conn.give_back(result)
        };
        self.run(link, work).await
    }
}

impl SessionStore for MysqlStore {
    fn description(&self) -> &str {
        &self.description
    }

    fn read<'a>(
        &'a self,
        reads: &'a [Read],
    ) -> BoxFuture<'a, Result<Vec<ReadOutcome>, StoreError>> {
        Box::pin(self.run(&self.reads, move |mut conn| async move {
            let result = read(&mut conn, &self.codec, reads).await;
            conn.give_back(result)
        }))
    }

    fn commit<'a>(
        &'a self,
        commits: &'a [Commit],
    ) -> BoxFuture<'a, Result<Vec<CommitOutcome>, StoreError>> {
        let commit_on = |link, commits| self.commit_on(link, commits);
        Box::pin(halves::commit(
            &self.commits,
            commits,
            is_worth_two,
            commit_on,
        ))
    }

    fn claim_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Expired>, StoreError>> {
        Box::pin(self.run(&self.maintenance, move |mut conn| async move {
            let result = claim_expired(&mut conn, &self.codec, now.as_millis(), limit).await;
            conn.give_back(result)
        }))
    }

    fn locate<'a>(
        &'a self,
        lookups: &'a [Lookup],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Option<SessionKey>>, StoreError>> {
        Box::pin(self.run(&self.reads, move |mut conn| async move {
            let result = locate(&mut conn, lookups, now.as_millis()).await;
            conn.give_back(result)
        }))
    }

    fn list_by_principal<'a>(
        &'a self,
        principal: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<SessionSummary>, StoreError>> {
        Box::pin(self.run(&self.maintenance, move |mut conn| async move {
            let result = list(&mut conn, principal, now.as_millis()).await;
            conn.give_back(result)
        }))
    }

    fn connections(&self) -> ConnectionStatistics {
        self.counters.snapshot()
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.run(&self.maintenance, move |mut conn| async move {
            let count: Result<Option<u64>, _> = conn.query_first(sql::COUNT).await;
            Ok(conn.give_back(count)?.unwrap_or(0))
        }))
    }

    fn unreadable(&self) -> UnreadableCounts {
        self.codec.unreadable()
    }
}

async fn read(conn: &mut Conn, codec: &Codec, reads: &[Read]) -> Result<Vec<ReadOutcome>, Failure> {
    let rows: Vec<Row> = if let [Read { key, known }] = reads {
        let known = known.map(Version::as_i64);
        let parameters = (known, known, &*key.id, &*key.context, &*key.virtual_host);
        conn.exec(sql::READ_ONE, parameters).await?
    } else {
        let batch: Vec<_> = reads
            .iter()
            .map(|read| ReadRow::new(&read.key, read.known))
            .collect();
        conn.exec(sql::READ, (row::batch(&batch),)).await?
    };
    let mut outcomes = vec![ReadOutcome::Missing; reads.len()];
    for row in rows {
        let mut columns = Columns::of(row);
        let position = columns.position()?;
        outcomes[position] = columns.outcome(&reads[position].key, codec)?;
    }
    Ok(outcomes)
}

/// Where sessions are: most of them where they were, the others by their origins.
async fn locate(
    conn: &mut Conn,
    lookups: &[Lookup],
    now: i64,
) -> Result<Vec<Option<SessionKey>>, Failure> {
    let mut located = vec![None; lookups.len()];
    for statement in [sql::LOCATE, sql::LOCATE_MOVED] {
        let missing: Vec<usize> = (0..lookups.len())
            .filter(|&index| located[index].is_none())
            .collect();
        if missing.is_empty() {
            break;
        }
        let wanted = |&index: &usize| {
            let Lookup { key, origin } = &lookups[index];
            let row = KeyRow::from(key);
            let is_moved = statement == sql::LOCATE_MOVED;
            if is_moved { row.with_id(origin) } else { row }
        };
        let keys: Vec<KeyRow<'_>> = missing.iter().map(wanted).collect();
        let rows: Vec<Row> = conn.exec(statement, (row::batch(&keys), now)).await?;
        for row in rows {
            let mut columns = Columns::of(row);
            let index = missing[columns.position()?];
            located[index] = Some(lookups[index].key.with_id(columns.text()?));
        }
    }
    Ok(located)
}

async fn list(conn: &mut Conn, principal: &str, now: i64) -> Result<Vec<SessionSummary>, Failure> {
    let rows: Vec<Row> = conn.exec(sql::LIST, (principal, now)).await?;
    rows.into_iter()
        .map(|row| Columns::of(row).summary())
        .collect()
}

async fn claim_expired(
    conn: &mut Conn,
    codec: &Codec,
    now: i64,
    limit: usize,
) -> Result<Vec<Expired>, Failure> {
    transaction::begin(conn).await?;
    let result = take_expired(conn, codec, now, limit).await;
    transaction::finish(conn, result).await
}

async fn take_expired(
    conn: &mut Conn,
    codec: &Codec,
    now: i64,
    limit: usize,
) -> Result<Vec<Expired>, Failure> {
    let mut rows: Vec<Row> = conn.exec(sql::EXPIRED, (bucket(now), now, limit)).await?;
    // What Jetty writes has no bucket, and what Jetty touches an old one: see to those when
    // nothing else is due.
    if rows.is_empty() {
        conn.exec_drop(sql::REBUCKET, (now, now, limit)).await?;
        rows = conn.exec(sql::EXPIRED_FOREIGN, (now, limit)).await?;
    }
    let expired: Vec<Expired> = rows
        .into_iter()
        .map(|row| Columns::of(row).expired(codec))
        .collect::<Result<_, _>>()?;
    let keys: Vec<KeyRow<'_>> = expired
        .iter()
        .map(|expired| (&expired.key).into())
        .collect();
    if !keys.is_empty() {
        conn.exec_drop(sql::DELETE, (row::batch(&keys),)).await?;
    }
    Ok(expired)
}
