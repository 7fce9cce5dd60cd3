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

/// Starts a thread that serves requests until the returned sender is dropped.
pub(super) fn spawn<R: Send + 'static>(
    store: &Arc<str>,
    name: &str,
    mut serve: impl FnMut(R) + Send + 'static,
) -> Result<mpsc::Sender<R>, StoreError> {
    let (sender, mut requests) = mpsc::channel(QUEUE_LEN);
    thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            while let Some(request) = requests.blocking_recv() {
                serve(request);
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

/// The connection that writes.
#[derive(Debug)]
pub(super) struct Writer {
    store: Arc<str>,
    file: OpenedFile,
    connection: Connection,
    codec: Codec,
    statements: Statements,
    sweep: Sweep,
}

impl Writer {
    pub(super) fn new(
        store: Arc<str>,
        file: OpenedFile,
        connection: Connection,
        codec: Codec,
    ) -> Self {
        Self {
            store,
            file,
            connection,
            codec,
            statements: Statements::new(),
            sweep: Sweep::new(),
        }
    }

    pub(super) fn serve(&mut self, request: WriteRequest) {
        match request {
            WriteRequest::Commit { commits, answer } => {
                if !answer.is_closed() {
                    let outcomes = self.commit(commits);
                    self.reply(answer, outcomes);
                }
            }
            WriteRequest::Claim { now, limit, answer } => {
                if !answer.is_closed() {
                    let claimed = in_transaction(
                        &mut self.connection,
                        TransactionBehavior::Immediate,
                        |transaction| self.sweep.claim(transaction, &self.codec, now, limit),
                    );
                    self.reply(answer, claimed);
                }
            }
        }
    }

    fn reply<T>(&self, answer: Answer<T>, result: rusqlite::Result<T>) {
        reply(answer, &self.store, &self.file, result);
    }

    fn commit(&mut self, commits: Vec<Commit>) -> rusqlite::Result<Vec<CommitOutcome>> {
        let encode = |commit| Encoded::new(commit, &self.codec);
        let encoded: Vec<_> = commits.into_iter().map(encode).collect();
        let behavior = TransactionBehavior::Immediate;
        in_transaction(&mut self.connection, behavior, |transaction| {
            encoded
                .iter()
                .map(|commit| self.statements.carry_out(transaction, commit))
                .collect()
        })
    }
}

/// The connection that reads.
#[derive(Debug)]
pub(super) struct Reader {
    store: Arc<str>,
    file: OpenedFile,
    connection: Connection,
    codec: Codec,
    statements: Statements,
}

impl Reader {
    pub(super) fn new(
        store: Arc<str>,
        file: OpenedFile,
        connection: Connection,
        codec: Codec,
    ) -> Self {
        Self {
            store,
            file,
            connection,
            codec,
            statements: Statements::new(),
        }
    }

    pub(super) fn serve(&mut self, request: ReadRequest) {
        match request {
            ReadRequest::Read { reads, answer } => {
                if !answer.is_closed() {
                    let outcomes = self.read(&reads);
                    self.reply(answer, outcomes);
                }
            }
            ReadRequest::List {
                principal,
                now,
                answer,
            } => {
                let sessions = self.statements.list(&self.connection, &principal, now);
                self.reply(answer, sessions);
            }
            ReadRequest::Locate {
                lookups,
                now,
                answer,
            } => {
                let located = self.locate(&lookups, now);
                self.reply(answer, located);
            }
            ReadRequest::Count { answer } => {
                let count = count(&self.connection);
                self.reply(answer, count);
            }
        }
    }

    fn reply<T>(&self, answer: Answer<T>, result: rusqlite::Result<T>) {
        reply(answer, &self.store, &self.file, result);
    }

    /// Reads in one transaction, so that the file is locked once for the whole batch.
    fn read(&mut self, reads: &[Read]) -> rusqlite::Result<Vec<ReadOutcome>> {
        in_transaction(
            &mut self.connection,
            TransactionBehavior::Deferred,
            |transaction| {
                reads
                    .iter()
                    .map(|read| self.statements.read(transaction, &self.codec, read))
                    .collect()
            },
        )
    }

    /// Looks for sessions in one transaction: one that moves meanwhile is not missed.
    fn locate(
        &mut self,
        lookups: &[Lookup],
        now: Timestamp,
    ) -> rusqlite::Result<Vec<Option<SessionKey>>> {
        in_transaction(
            &mut self.connection,
            TransactionBehavior::Deferred,
            |transaction| {
                lookups
                    .iter()
                    .map(|lookup| self.statements.locate(transaction, lookup, now))
                    .collect()
            },
        )
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

/// Answers. What was done in a file that is no longer the store's was not done.
fn reply<T>(answer: Answer<T>, store: &Arc<str>, file: &OpenedFile, result: rusqlite::Result<T>) {
    let result = result.map_err(|error| store_error(store, &error));
    // Nobody listens any more when the caller gave up; what was done stays done.
    let _ = answer.send(file.check(store).and(result));
}
