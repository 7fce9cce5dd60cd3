//! The two threads that work on the file: one writes, one reads, each with its own connection.

use std::{sync::Arc, thread};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::{
    error::{store_error, unavailable},
    file::OpenedFile,
    statements::{Encoded, Statements},
    sweep::Sweep,
};
use crate::{
    clock::Timestamp,
    codec::Codec,
    key::SessionKey,
    store::{
        Commit, CommitOutcome, Expired, Lookup, Read, ReadOutcome, SessionSummary, StoreError,
    },
};

/// How many requests may wait for one thread.
const QUEUE_LEN: usize = 256;

/// Where the answer to a request goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// A request to the writer.
#[derive(Debug)]
pub(super) enum WriteRequest {
    Commit {
        commits: Vec<Commit>,
        answer: Answer<Vec<CommitOutcome>>,
    },
    Claim {
        now: Timestamp,
        limit: usize,
        answer: Answer<Vec<Expired>>,
    },
}

/// A request to the reader.
#[derive(Debug)]
pub(super) enum ReadRequest {
    Read {
        reads: Vec<Read>,
        answer: Answer<Vec<ReadOutcome>>,
    },
    List {
        principal: Arc<str>,
        now: Timestamp,
        answer: Answer<Vec<SessionSummary>>,
    },
    Locate {
        lookups: Vec<Lookup>,
        now: Timestamp,
        answer: Answer<Vec<Option<SessionKey>>>,
    },
    Count {
        answer: Answer<u64>,
    },
}

/// A request to a thread.
pub(super) trait Request: Send + 'static {
    /// Whether nobody waits for the answer any more.
    fn is_given_up(&self) -> bool;
}

impl Request for WriteRequest {
    fn is_given_up(&self) -> bool {
        match self {
            Self::Commit { answer, .. } => answer.is_closed(),
            Self::Claim { answer, .. } => answer.is_closed(),
        }
    }
}

impl Request for ReadRequest {
    fn is_given_up(&self) -> bool {
        match self {
            Self::Read { answer, .. } => answer.is_closed(),
            Self::List { answer, .. } => answer.is_closed(),
            Self::Locate { answer, .. } => answer.is_closed(),
            Self::Count { answer } => answer.is_closed(),
        }
    }
}

/// Starts a thread that serves requests until the returned sender is dropped. Those that were given up
/// while they waited are left: others wait behind them.
pub(super) fn spawn<R: Request>(
    store: &Arc<str>,
    name: &str,
    mut serve: impl FnMut(R) + Send + 'static,
) -> Result<mpsc::Sender<R>, StoreError> {
    let (sender, mut requests) = mpsc::channel::<R>(QUEUE_LEN);
    thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            while let Some(request) = requests.blocking_recv() {
                if !request.is_given_up() {
                    serve(request);
                }
            }
        })
        .map_err(|error| unavailable(store, &format!("cannot start a thread: {error}")))?;
    Ok(sender)
}

/// Hands a request to a thread and waits for the answer.
pub(super) async fn ask<R, T>(
    store: &Arc<str>,
    thread: &mpsc::Sender<R>,
    request: impl FnOnce(Answer<T>) -> R,
) -> Result<T, StoreError> {
    let (sender, answer) = oneshot::channel();
    thread
        .try_send(request(sender))
        .map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => unavailable(
                store,
                &format!("{QUEUE_LEN} batches already wait for the file"),
            ),
            mpsc::error::TrySendError::Closed(_) => ended(store),
        })?;
    answer.await.unwrap_or_else(|_| Err(ended(store)))
}

fn ended(store: &Arc<str>) -> StoreError {
    unavailable(
        store,
        "the thread that works on the file has ended; restart the program",
    )
}

/// A connection to the file, and what work on it needs.
#[derive(Debug)]
pub(super) struct Access {
    pub(super) store: Arc<str>,
    pub(super) file: OpenedFile,
    pub(super) connection: Connection,
    pub(super) codec: Codec,
}

impl Access {
    /// Does the same for each of some items, in one transaction, so that the file is locked once for
    /// all of them.
    fn each<I, T>(
        &mut self,
        behavior: TransactionBehavior,
        items: &[I],
        work: impl Fn(&Transaction<'_>, &Codec, &I) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        in_transaction(&mut self.connection, behavior, |transaction| {
            let done = items
                .iter()
                .map(|item| work(transaction, &self.codec, item));
            done.collect()
        })
    }

    /// Answers. What was done in a file that is no longer the store's was not done.
    fn reply<T>(&self, answer: Answer<T>, result: rusqlite::Result<T>) {
        let result = result.map_err(|error| store_error(&self.store, &error));
        // Nobody listens any more when the caller gave up; what was done stays done.
        let _ = answer.send(self.file.check(&self.store).and(result));
    }
}

/// What changes sessions.
#[derive(Debug)]
pub(super) struct Writer {
    access: Access,
    statements: Statements,
    sweep: Sweep,
}

impl Writer {
    pub(super) fn new(access: Access) -> Self {
        Self {
            access,
            statements: Statements::new(),
            sweep: Sweep::new(),
        }
    }

    pub(super) fn serve(&mut self, request: WriteRequest) {
        match request {
            WriteRequest::Commit { commits, answer } => {
                let outcomes = self.commit(commits);
                self.access.reply(answer, outcomes);
            }
            WriteRequest::Claim { now, limit, answer } => {
                let claimed = self.claim(now, limit);
                self.access.reply(answer, claimed);
            }
        }
    }

    fn commit(&mut self, commits: Vec<Commit>) -> rusqlite::Result<Vec<CommitOutcome>> {
        // Before the file is locked.
        let encode = |commit| Encoded::new(commit, &self.access.codec);
        let encoded: Vec<_> = commits.into_iter().map(encode).collect();
        let behavior = TransactionBehavior::Immediate;
        self.access.each(behavior, &encoded, |transaction, _, one| {
            self.statements.carry_out(transaction, one)
        })
    }

    fn claim(&mut self, now: Timestamp, limit: usize) -> rusqlite::Result<Vec<Expired>> {
        let Access {
            connection, codec, ..
        } = &mut self.access;
        in_transaction(connection, TransactionBehavior::Immediate, |transaction| {
            self.sweep.claim(transaction, codec, now, limit)
        })
    }
}

/// What looks sessions up.
#[derive(Debug)]
pub(super) struct Reader {
    access: Access,
    statements: Statements,
}

impl Reader {
    pub(super) fn new(access: Access) -> Self {
        Self {
            access,
            statements: Statements::new(),
        }
    }

    pub(super) fn serve(&mut self, request: ReadRequest) {
        match request {
            ReadRequest::Read { reads, answer } => {
                let outcomes = self.read(&reads);
                self.access.reply(answer, outcomes);
            }
            ReadRequest::List {
                principal,
                now,
                answer,
            } => {
                let connection = &self.access.connection;
                let sessions = self.statements.list(connection, &principal, now);
                self.access.reply(answer, sessions);
            }
            ReadRequest::Locate {
                lookups,
                now,
                answer,
            } => {
                let located = self.locate(&lookups, now);
                self.access.reply(answer, located);
            }
            ReadRequest::Count { answer } => {
                let count = count(&self.access.connection);
                self.access.reply(answer, count);
            }
        }
    }

    fn read(&mut self, reads: &[Read]) -> rusqlite::Result<Vec<ReadOutcome>> {
        let behavior = TransactionBehavior::Deferred;
        self.access
            .each(behavior, reads, |transaction, codec, one| {
                self.statements.read(transaction, codec, one)
            })
    }

    /// In one transaction a session that moves meanwhile is not missed.
    fn locate(
        &mut self,
        lookups: &[Lookup],
        now: Timestamp,
    ) -> rusqlite::Result<Vec<Option<SessionKey>>> {
        let behavior = TransactionBehavior::Deferred;
        self.access.each(behavior, lookups, |transaction, _, one| {
            self.statements.locate(transaction, one, now)
        })
    }
}

fn count(connection: &Connection) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached("SELECT count(*) FROM JettySessions")?;
    let count: i64 = statement.query_row((), |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Runs `work` in a transaction: committed when it succeeds, rolled back when it fails.
fn in_transaction<T>(
    connection: &mut Connection,
    behavior: TransactionBehavior,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let transaction = connection.transaction_with_behavior(behavior)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}
