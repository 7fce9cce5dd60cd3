//! A batch of commits as one transaction: the rows that they need are locked, in key order; then
//! each kind of commit is one statement.

use std::collections::BTreeMap;

use mysql_async::{Conn, Error, Row, Value, prelude::Queryable};
use serde::Serialize;

use super::{
    error::Failure,
    row::{self, Columns, KeyRow, TouchRow, WrittenRow},
    sql, transaction,
};
use crate::{
    codec::Codec,
    columns::StoredTimes,
    key::SessionKey,
    record::Version,
    store::{Commit, CommitOutcome},
};

/// No statement takes more than this (in bytes), so that it fits in `max_allowed_packet`, which is
/// 16 MiB or more by default.
const STATEMENT_LIMIT: usize = 4 << 20;

/// Carries out a batch, as a transaction, or as one statement if that is enough.
pub(super) async fn carry_out(
    conn: &mut Conn,
    codec: &Codec,
    commits: &[Commit],
) -> Result<Vec<CommitOutcome>, Failure> {
    if let [alone] = commits
        && commit_one(conn, codec, alone).await?
    {
        return Ok(vec![CommitOutcome::Done]);
    }
    transaction::begin(conn).await?;
    let result = commit(conn, codec, commits).await;
    transaction::finish(conn, result).await
}

/// Carries out a batch in the transaction that is open on `conn`.
async fn commit(
    conn: &mut Conn,
    codec: &Codec,
    commits: &[Commit],
) -> Result<Vec<CommitOutcome>, Failure> {
    let mut stored = lock(conn, commits).await?;
    count_touches(commits, &mut stored);
    let mut outcomes = vec![CommitOutcome::Missing; commits.len()];
    let mut plan = Plan::new(codec);
    for (index, (commit, stored)) in commits.iter().zip(stored).enumerate() {
        outcomes[index] = plan.add(index, commit, stored);
    }
    for (index, created) in insert(conn, &plan.creates).await? {
        outcomes[index] = created;
    }
    update(conn, &plan.updates).await?;
    write(conn, sql::TOUCH, &plan.touches, |_| KEY_SIZE).await?;
    write(conn, sql::DELETE, &plan.deletes, |_| KEY_SIZE).await?;
    for (index, rename) in &plan.renames {
        outcomes[*index] = carry_out_rename(conn, rename).await?;
    }
    for (index, key, origin) in &plan.moved {
        outcomes[*index] = delete_moved(conn, key, origin).await?;
    }
    Ok(outcomes)
}

/// Carries out a commit that is alone in its batch, without a transaction around it, if that can be
/// done in one statement; says whether it is done. If not, nothing was written.
async fn commit_one(conn: &mut Conn, codec: &Codec, commit: &Commit) -> Result<bool, Failure> {
    let Commit::Update {
        key,
        expected,
        record,
    } = commit
    else {
        return Ok(false);
    };
    let row = WrittenRow::new(key, record, i64::MIN, codec.encode(key, record));
    conn.exec_drop(sql::update_one(), row.update_parameters(*expected))
        .await?;
    Ok(conn.affected_rows() > 0)
}

/// How many bytes of a batch a key takes, at most, about.
const KEY_SIZE: usize = 512;

/// Locks the rows of all commits but creates, whose rows are not there yet.
async fn lock(conn: &mut Conn, commits: &[Commit]) -> Result<Vec<Option<StoredTimes>>, Failure> {
    let mut stored = vec![None; commits.len()];
    let locking = |commit: &Commit| !matches!(commit, Commit::Create { .. });
    let indexes: Vec<usize> = (0..commits.len())
        .filter(|&index| locking(&commits[index]))
        .collect();
    if indexes.is_empty() {
        return Ok(stored);
    }
    let keys: Vec<KeyRow<'_>> = indexes
        .iter()
        .map(|&index| commits[index].key().into())
        .collect();
    let rows: Vec<Row> = conn.exec(sql::LOCK, (row::batch(&keys),)).await?;
    for row in rows {
        let mut columns = Columns::of(row);
        let position = columns.position()?;
        stored[indexes[position]] = Some(columns.stored_times()?);
    }
    Ok(stored)
}

/// Has the writes of a batch count the touches of the same session: they come first, so to say.
fn count_touches(commits: &[Commit], stored: &mut [Option<StoredTimes>]) {
    let mut touches = BTreeMap::new();
    for commit in commits {
        if let Commit::Touch { key, last_access } = commit {
            let latest = touches.entry(key).or_insert(*last_access);
            *latest = (*latest).max(*last_access);
        }
    }
    if touches.is_empty() {
        return;
    }
    for (commit, stored) in commits.iter().zip(stored) {
        if let (Commit::Rename { key, .. } | Commit::Update { key, .. }, Some(stored)) =
            (commit, stored)
            && let Some(touched) = touches.get(key)
        {
            stored.access = stored.access.max(touched.as_millis());
        }
    }
}

/// What is to be written, by kind of commit.
struct Plan<'a> {
    codec: &'a Codec,
    creates: Vec<(usize, WrittenRow<'a>)>,
    updates: Vec<WrittenRow<'a>>,
    touches: Vec<TouchRow<'a>>,
    deletes: Vec<KeyRow<'a>>,
    /// The session that is deleted last: of several deletions of it, one did it.
    deleted: Option<&'a SessionKey>,
    /// The session that is written last: of several commits that go by its version, one takes effect.
    written: Option<&'a SessionKey>,
    renames: Vec<(usize, Rename<'a>)>,
    /// Sessions to delete that are not where they were, with their origins.
    moved: Vec<(usize, &'a SessionKey, &'a str)>,
    /// The session that is touched last, with what is stored of it then: several touches of one
    /// session follow each other, and the latest counts.
    touched: Option<(&'a SessionKey, StoredTimes)>,
}

impl<'a> Plan<'a> {
    fn new(codec: &'a Codec) -> Self {
        Self {
            codec,
            creates: Vec::new(),
            updates: Vec::new(),
            touches: Vec::new(),
            deletes: Vec::new(),
            deleted: None,
            written: None,
            renames: Vec::new(),
            moved: Vec::new(),
            touched: None,
        }
    }

    /// Adds a commit, whose row holds `stored`; gives its outcome, if nothing else comes up.
    fn add(
        &mut self,
        index: usize,
        commit: &'a Commit,
        stored: Option<StoredTimes>,
    ) -> CommitOutcome {
        match commit {
            Commit::Create { key, record } => {
                let map = self.codec.encode(key, record);
                let row = WrittenRow::new(key, record, 0, map);
                self.creates.push((index, row));
                CommitOutcome::Done
            }
            Commit::Delete { key, .. } if self.deleted == Some(key) => CommitOutcome::Missing,
            Commit::Delete { key, origin } => {
                match stored {
                    Some(_) => {
                        self.deletes.push(key.into());
                        self.deleted = Some(key);
                    }
                    None => self.moved.push((index, key, origin)),
                }
                CommitOutcome::Done
            }
            Commit::Rename {
                key,
                new_id,
                expected,
                record,
            } => match self.compare(key, *expected, stored) {
                Ok(stored) => {
                    let map = self.codec.encode(&key.with_id(new_id.clone()), record);
                    let row = WrittenRow::new(key, record, stored.access, map);
                    let origin = record.origin.as_deref();
                    let rename = Rename {
                        new_id,
                        origin,
                        row,
                        expected: *expected,
                    };
                    self.renames.push((index, rename));
                    CommitOutcome::Done
                }
                Err(outcome) => outcome,
            },
            Commit::Touch { key, last_access } => match stored {
                Some(stored) => {
                    self.touch(key, stored, last_access.as_millis());
                    CommitOutcome::Done
                }
                None => CommitOutcome::Missing,
            },
            Commit::Update {
                key,
                expected,
                record,
            } => match self.compare(key, *expected, stored) {
                Ok(stored) => {
                    let map = self.codec.encode(key, record);
                    let row = WrittenRow::new(key, record, stored.access, map);
                    self.updates.push(row);
                    CommitOutcome::Done
                }
                Err(outcome) => outcome,
            },
        }
    }

    /// What is stored, if it has the expected version, and nothing in the batch writes it before.
    fn compare(
        &mut self,
        key: &'a SessionKey,
        expected: Version,
        stored: Option<StoredTimes>,
    ) -> Result<StoredTimes, CommitOutcome> {
        let stored = stored.ok_or(CommitOutcome::Missing)?;
        if stored.version != Some(expected.as_i64()) || self.written == Some(key) {
            return Err(CommitOutcome::Conflict);
        }
        self.written = Some(key);
        Ok(stored)
    }

    fn touch(&mut self, key: &'a SessionKey, stored: StoredTimes, access: i64) {
        let stored = match self.touched {
            Some((touched, latest)) if touched == key => {
                if access <= latest.access {
                    return;
                }
                self.touches.pop();
                stored
            }
            _ => stored,
        };
        if access > stored.access {
            self.touches.push(TouchRow::new(key, stored, access));
            self.touched = Some((key, StoredTimes { access, ..stored }));
        }
    }
}

/// Inserts rows. One id that is taken must not fail the others: then each is inserted by itself.
async fn insert(
    conn: &mut Conn,
    creates: &[(usize, WrittenRow<'_>)],
) -> Result<Vec<(usize, CommitOutcome)>, Failure> {
    let mut outcomes = Vec::new();
    for piece in pieces(creates, |(_, row)| row.size()) {
        for piece in binary(piece) {
            if create(conn, piece).await? == CommitOutcome::Done {
                continue;
            }
            for alone in piece.chunks(1) {
                outcomes.push((alone[0].0, create(conn, alone).await?));
            }
        }
    }
    Ok(outcomes)
}

async fn create(
    conn: &mut Conn,
    rows: &[(usize, WrittenRow<'_>)],
) -> Result<CommitOutcome, Failure> {
    let values: Vec<Value> = rows.iter().flat_map(|(_, row)| row.values()).collect();
    taken_is_exists(conn.exec_drop(sql::create(rows.len()), values).await)
}

/// Writes rows that are there, and locked.
async fn update(conn: &mut Conn, rows: &[WrittenRow<'_>]) -> Result<(), Failure> {
    for piece in pieces(rows, WrittenRow::size) {
        for piece in binary(piece) {
            let values: Vec<Value> = piece.iter().flat_map(WrittenRow::values).collect();
            conn.exec_drop(sql::update(piece.len()), values).await?;
        }
    }
    Ok(())
}

/// Rows in pieces of 1, 2, 4, … rows, the largest first, so that a connection prepares few
/// statements.
fn binary<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut left = rows;
    std::iter::from_fn(move || {
        let size = 1 << left.len().checked_ilog2()?;
        let (piece, rest) = left.split_at(size);
        left = rest;
        Some(piece)
    })
}

/// A session that gets another id.
struct Rename<'a> {
    new_id: &'a str,
    origin: Option<&'a str>,
    row: WrittenRow<'a>,
    expected: Version,
}

async fn carry_out_rename(conn: &mut Conn, rename: &Rename<'_>) -> Result<CommitOutcome, Failure> {
    let parameters = rename
        .row
        .rename_parameters(rename.new_id, rename.origin, rename.expected);
    let outcome = taken_is_exists(conn.exec_drop(sql::rename(), parameters).await)?;
    // The same batch may have deleted it.
    let is_gone = outcome == CommitOutcome::Done && conn.affected_rows() == 0;
    Ok(if is_gone {
        CommitOutcome::Missing
    } else {
        outcome
    })
}

async fn delete_moved(
    conn: &mut Conn,
    key: &SessionKey,
    origin: &str,
) -> Result<CommitOutcome, Failure> {
    let parameters = (origin, &*key.context, &*key.virtual_host);
    conn.exec_drop(sql::DELETE_MOVED, parameters).await?;
    Ok(match conn.affected_rows() {
        0 => CommitOutcome::Missing,
        _ => CommitOutcome::Done,
    })
}

/// A statement that meets a taken id changes nothing, and the transaction goes on.
fn taken_is_exists(result: Result<(), Error>) -> Result<CommitOutcome, Failure> {
    match result.map_err(Failure::from) {
        Ok(()) => Ok(CommitOutcome::Done),
        Err(failure) if failure.is_duplicate() => Ok(CommitOutcome::Exists),
        Err(failure) => Err(failure),
    }
}

/// Runs a statement over rows.
async fn write<T: Serialize>(
    conn: &mut Conn,
    statement: &str,
    rows: &[T],
    size: impl Fn(&T) -> usize,
) -> Result<(), Failure> {
    for piece in pieces(rows, size) {
        conn.exec_drop(statement, (row::batch(piece),)).await?;
    }
    Ok(())
}

/// Rows in pieces that are not too large for a statement. One row that is too large by itself is
/// for the server to judge.
fn pieces<T>(rows: &[T], size: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut pieces, mut left) = (Vec::new(), rows);
    while !left.is_empty() {
        let mut total = 0;
        let fitting = left.iter().take_while(|row| {
            total += size(row);
            total <= STATEMENT_LIMIT
        });
        let (piece, rest) = left.split_at(fitting.count().max(1));
        pieces.push(piece);
        left = rest;
    }
    pieces
}
