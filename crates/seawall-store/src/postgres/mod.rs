//! The PostgreSQL back end.
//!
//! Four connections, each made when it is first needed and made again after a loss: one for reads
//! and two for commits (the second for large batches), so that reads overlap the wait for the log to
//! be written, and one for maintenance; and one that listens, when somebody wants notices
//! (`notify.rs`). Each kind of commit in a batch is one statement over `unnest`ed arrays and a
//! transaction of its own; all of them leave in one flight. Rows come sorted by key, and are looked up
//! in the primary key in that order (`sql.rs`): so batches of several nodes do not deadlock. A statement
//! that the database undid all the same is sent again by itself: the others of the batch have taken
//! effect.

mod batch;
mod connection;
mod error;
mod given_up;
mod notify;
mod row;
mod schema;
mod sql;
mod statements;
mod table;
#[cfg(test)]
mod tests;
mod tls;

use std::sync::Arc;

use futures_util::future;
use tokio_postgres::{Row, types::ToSql};

use crate::{
    clock::Timestamp,
    codec::{Codec, UnreadableCounts},
    halves,
    key::SessionKey,
    limits::ServerLimits,
    link::{Link, LinkCounters},
    listener::Listener,
    notices::{self, Notices},
    statistics::ConnectionStatistics,
    store::{
        BoxFuture, Commit, CommitOutcome, Expired, Lookup, Read, ReadOutcome, SessionStore,
        SessionSummary, StoreError,
    },
    url::ServerUrl,
};
use batch::{Keys, Rows};
use connection::{PostgresConnector, Session};
use error::Failure;

/// Whether a batch of so many commits is worth a second connection; measured in docs/benchmarks.md.
fn is_worth_two(commits: usize) -> bool {
    commits >= 96
}

/// The version of the tables.
pub(crate) const SCHEMA_VERSION: u32 = schema::VERSION as u32;

/// Sessions in a PostgreSQL table.
#[derive(Debug)]
pub struct PostgresStore {
    description: Arc<str>,
    codec: Codec,
    reads: Link<PostgresConnector>,
    commits: [Link<PostgresConnector>; 2],
    maintenance: Link<PostgresConnector>,
    listener: Arc<Listener<PostgresConnector>>,
    counters: Arc<LinkCounters>,
}

impl PostgresStore {
    /// A store at `url`, whose sessions `codec` writes and reads. Nothing is connected yet.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] when the URL cannot be understood.
    pub fn new(url: &ServerUrl, limits: &ServerLimits, codec: Codec) -> Result<Self, StoreError> {
        let description: Arc<str> = url.to_string().into();
        let counters = Arc::new(LinkCounters::default());
        let connector = PostgresConnector::new(url, description.clone(), limits, counters.clone())?;
        let connector = Arc::new(connector);
        let (connector, described) = (&connector, &description);
        let link = || {
            let counters = counters.clone();
            Link::new(connector.clone(), described.clone(), limits, counters)
        };
        Ok(Self {
            reads: link(),
            commits: [link(), link()],
            maintenance: link(),
            listener: Listener::new(connector.clone(), description.clone()),
            codec,
            counters,
            description,
        })
    }

    async fn commit_on(
        &self,
        link: &Link<PostgresConnector>,
        commits: &[Commit],
    ) -> Result<Vec<CommitOutcome>, StoreError> {
        link.run(move |session| async move { commit(&session, &self.codec, commits).await })
            .await
    }
}

impl SessionStore for PostgresStore {
    fn description(&self) -> &str {
        &self.description
    }

    fn read<'a>(
        &'a self,
        reads: &'a [Read],
    ) -> BoxFuture<'a, Result<Vec<ReadOutcome>, StoreError>> {
        Box::pin(self.reads.run(move |session| async move {
            let keys = Keys::of(reads.iter().map(|read| &read.key));
            let known: Vec<Option<i64>> = reads
                .iter()
                .map(|read| read.known.map(|version| version.as_i64()))
                .collect();
            let statements = &session.statements;
            let (statement, parameters): (_, [&(dyn ToSql + Sync); 4]) = if reads.len() == 1 {
                let parameters: [&(dyn ToSql + Sync); 4] =
                    [&keys.ids[0], &keys.contexts[0], &keys.hosts[0], &known[0]];
                (&statements.read_one, parameters)
            } else {
                let parameters: [&(dyn ToSql + Sync); 4] =
                    [&keys.ids, &keys.contexts, &keys.hosts, &known];
                (&statements.read, parameters)
            };
            let mut outcomes = vec![ReadOutcome::Missing; reads.len()];
            for row in session.query(statement, &parameters).await? {
                let position = row::position(&row)?;
                outcomes[position] = row::outcome(&row, &reads[position].key, &self.codec)?;
            }
            Ok(outcomes)
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
        Box::pin(self.maintenance.run(move |session| async move {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let parameters: [&(dyn ToSql + Sync); 2] = [&now.as_millis(), &limit];
            let statements = &session.statements;
            let rows = session.query(&statements.claim, &parameters).await?;
            // What Jetty writes has no bucket, and what Jetty touches an old one: see to those
            // when nothing else is due.
            let foreign = if rows.is_empty() {
                session.execute(&statements.rebucket, &parameters).await?;
                session
                    .query(&statements.claim_foreign, &parameters)
                    .await?
            } else {
                Vec::new()
            };
            let claimed: Vec<_> = rows
                .iter()
                .chain(&foreign)
                .map(|row| row::expired(row, &self.codec))
                .collect::<Result<_, _>>()?;
            notify::notify(&session, &notices::changed_by_claim(&claimed)).await;
            Ok(claimed)
        }))
    }

    fn locate<'a>(
        &'a self,
        lookups: &'a [Lookup],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Option<SessionKey>>, StoreError>> {
        Box::pin(
            self.reads
                .run(move |session| async move { locate(&session, lookups, now).await }),
        )
    }

    fn notices(&self) -> Option<Notices> {
        Some(self.listener.subscribe())
    }

    fn list_by_principal<'a>(
        &'a self,
        principal: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<SessionSummary>, StoreError>> {
        Box::pin(self.maintenance.run(move |session| async move {
            let parameters: [&(dyn ToSql + Sync); 2] = [&principal, &now.as_millis()];
            let rows = session.query(&session.statements.list, &parameters).await?;
            rows.iter().map(row::summary).collect()
        }))
    }

    fn connections(&self) -> ConnectionStatistics {
        self.counters.snapshot()
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(self.maintenance.run(move |session| async move {
            let rows = session.query(&session.statements.count, &[]).await?;
            let row = rows.first().ok_or(Failure::Unexpected("no count"))?;
            Ok(u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))
        }))
    }

    fn unreadable(&self) -> UnreadableCounts {
        self.codec.unreadable()
    }
}

/// Carries out a batch: the kinds of commit side by side, in one flight, and notices behind them.
async fn commit(
    session: &Session,
    codec: &Codec,
    commits: &[Commit],
) -> Result<Vec<CommitOutcome>, Failure> {
    let rows = Rows::of(commits, codec);
    let changed = notices::changed_by(commits);
    session.end_given_up().await;
    // All are waited for, even if one fails: the server goes on with them.
    let carried_out = future::join5(
        create(session, &rows),
        update(session, &rows),
        touch(session, &rows),
        delete(session, &rows),
        rename(session, &rows),
    );
    let (carried_out, ()) = future::join(carried_out, notify::notify(session, &changed)).await;
    let (creates, updates, touches, deletes, renames) = carried_out;
    let mut outcomes = vec![CommitOutcome::Missing; commits.len()];
    for kind in [creates, updates, touches, deletes, renames] {
        for (index, outcome) in kind? {
            outcomes[index] = outcome;
        }
    }
    Ok(outcomes)
}

type Outcomes = Vec<(usize, CommitOutcome)>;

async fn create(session: &Session, rows: &Rows<'_>) -> Result<Outcomes, Failure> {
    let creates = &rows.creates;
    if creates.is_empty() {
        return Ok(Vec::new());
    }
    let done = session
        .query(&session.statements.create, &creates.insert_parameters())
        .await?;
    let made: Vec<_> = done.iter().map(row::key).collect::<Result<_, _>>()?;
    let made = creates.keys.positions(&made);
    Ok(creates.outcomes(&made, |_| CommitOutcome::Exists))
}

async fn update(session: &Session, rows: &Rows<'_>) -> Result<Outcomes, Failure> {
    let updates = &rows.updates;
    if updates.is_empty() {
        return Ok(Vec::new());
    }
    let statements = &session.statements;
    let (statement, parameters) = if let Some(parameters) = updates.single_parameters() {
        (&statements.update_one, parameters)
    } else if let Some(parameters) = updates.uniform_parameters() {
        (&statements.update_uniform, parameters)
    } else {
        (&statements.update, updates.update_parameters())
    };
    let done = session.query(statement, &parameters).await?;
    let done = positions(&done)?;
    let there = existing(session, &updates.keys, done.len()).await?;
    Ok(updates.outcomes(&done, |position| {
        if there.contains(&position) {
            CommitOutcome::Conflict
        } else {
            CommitOutcome::Missing
        }
    }))
}

async fn touch(session: &Session, rows: &Rows<'_>) -> Result<Outcomes, Failure> {
    let touches = &rows.touches;
    if touches.is_empty() {
        return Ok(Vec::new());
    }
    let done = session
        .query(&session.statements.touch, &touches.parameters())
        .await?;
    let done = positions(&done)?;
    let there = existing(session, &touches.keys, done.len()).await?;
    // A row that was there and not touched has a later access already.
    Ok(touches.outcomes(&done, |position| {
        if there.contains(&position) {
            CommitOutcome::Done
        } else {
            CommitOutcome::Missing
        }
    }))
}

async fn delete(session: &Session, rows: &Rows<'_>) -> Result<Outcomes, Failure> {
    let deletes = &rows.deletes;
    if deletes.is_empty() {
        return Ok(Vec::new());
    }
    let parameters: [&(dyn ToSql + Sync); 3] = [
        &deletes.keys.ids,
        &deletes.keys.contexts,
        &deletes.keys.hosts,
    ];
    let done = session
        .query(&session.statements.delete, &parameters)
        .await?;
    let mut done = positions(&done)?;
    if done.len() < rows.origins.len() {
        let moved = delete_moved(session, rows, &done).await?;
        // The notice that left with the batch came before this.
        let origin = |&position: &usize| deletes.keys.key(position, rows.origins[position]);
        let changed: Vec<_> = moved.iter().map(origin).collect();
        notify::notify(session, &changed).await;
        done.extend(moved);
    }
    Ok(deletes.outcomes(&done, |_| CommitOutcome::Missing))
}

/// Deletes the sessions that are not where they were, because they have moved to other ids.
async fn delete_moved(
    session: &Session,
    rows: &Rows<'_>,
    done: &[usize],
) -> Result<Vec<usize>, Failure> {
    let keys = &rows.deletes.keys;
    let mut origins: Vec<Option<&str>> = rows.origins.iter().copied().map(Some).collect();
    done.iter().for_each(|&position| origins[position] = None);
    let parameters: [&(dyn ToSql + Sync); 3] = [&origins, &keys.contexts, &keys.hosts];
    let statement = &session.statements.delete_moved;
    positions(&session.query(statement, &parameters).await?)
}

/// Where sessions are: most of them where they were, the others by their origins.
async fn locate(
    session: &Session,
    lookups: &[Lookup],
    now: Timestamp,
) -> Result<Vec<Option<SessionKey>>, Failure> {
    let keys = Keys::of(lookups.iter().map(|lookup| &lookup.key));
    let mut located = vec![None; lookups.len()];
    let statements = &session.statements;
    let now = now.as_millis();
    let parameters: [&(dyn ToSql + Sync); 4] = [&keys.ids, &keys.contexts, &keys.hosts, &now];
    for row in session.query(&statements.locate, &parameters).await? {
        let position = row::position(&row)?;
        located[position] = Some(lookups[position].key.clone());
    }
    if located.iter().all(Option::is_some) {
        return Ok(located);
    }
    let origins: Vec<Option<&str>> = lookups
        .iter()
        .zip(&located)
        .map(|(lookup, found)| found.is_none().then_some(&*lookup.origin))
        .collect();
    let parameters: [&(dyn ToSql + Sync); 4] = [&origins, &keys.contexts, &keys.hosts, &now];
    for row in session.query(&statements.locate_moved, &parameters).await? {
        let position = row::position(&row)?;
        let id: &str = row.try_get(1)?;
        located[position] = Some(lookups[position].key.with_id(id.into()));
    }
    Ok(located)
}

/// Renames are rare, and one that meets a taken id must not fail the others: a statement each.
async fn rename(session: &Session, rows: &Rows<'_>) -> Result<Outcomes, Failure> {
    let renames = rows.renames.iter().map(|rename| async move {
        let parameters = rename.row.rename_parameters(&rename.new_id, &rename.origin);
        let done = match session.query(&session.statements.rename, &parameters).await {
            Err(failure) if failure.is_duplicate() => {
                return Ok((rename.index, CommitOutcome::Exists));
            }
            done => done?,
        };
        let there = existing(session, &rename.row.keys, done.len()).await?;
        let outcome = match (done.is_empty(), there.is_empty()) {
            (false, _) => CommitOutcome::Done,
            (true, false) => CommitOutcome::Conflict,
            (true, true) => CommitOutcome::Missing,
        };
        Ok::<_, Failure>((rename.index, outcome))
    });
    future::join_all(renames).await.into_iter().collect()
}

/// Which of the keys exist; asked only if not all of them were `done` already.
async fn existing(session: &Session, keys: &Keys<'_>, done: usize) -> Result<Vec<usize>, Failure> {
    if done == keys.ids.len() {
        return Ok(Vec::new());
    }
    let parameters: [&(dyn ToSql + Sync); 3] = [&keys.ids, &keys.contexts, &keys.hosts];
    positions(
        &session
            .query(&session.statements.exists, &parameters)
            .await?,
    )
}

fn positions(rows: &[Row]) -> Result<Vec<usize>, Failure> {
    rows.iter().map(row::position).collect()
}
