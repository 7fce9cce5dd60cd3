//! The memory back end: for tests, and the model that the other back ends are compared with.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    clock::Timestamp,
    key::SessionKey,
    notices::{self, NoticeSender, Notices},
    record::{SessionRecord, Version},
    store::{
        BoxFuture, Commit, CommitOutcome, Expired, LIST_LIMIT, Lookup, Read, ReadOutcome,
        SessionStore, SessionSummary, StoreError,
    },
};

/// Sessions in the memory of this process. They end with it.
#[derive(Debug)]
pub struct MemoryStore {
    rows: Mutex<Rows>,
    notices: NoticeSender,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            rows: Mutex::default(),
            notices: NoticeSender::new(true),
        }
    }
}

type Rows = BTreeMap<SessionKey, SessionRecord>;

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The sessions that it holds now.
    #[cfg(feature = "conformance")]
    pub(crate) fn sessions(&self) -> Vec<(SessionKey, SessionRecord)> {
        let rows = self.rows();
        rows.iter()
            .map(|(key, row)| (key.clone(), row.clone()))
            .collect()
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clone for MemoryStore {
    /// Another store, with the sessions that this one holds now.
    fn clone(&self) -> Self {
        let rows = Mutex::new(self.rows().clone());
        Self {
            rows,
            ..Self::default()
        }
    }
}

impl SessionStore for MemoryStore {
    fn description(&self) -> &str {
        "memory"
    }

    fn read<'a>(
        &'a self,
        reads: &'a [Read],
    ) -> BoxFuture<'a, Result<Vec<ReadOutcome>, StoreError>> {
        let rows = self.rows();
        let outcomes = reads.iter().map(|read| read_row(&rows, read)).collect();
        Box::pin(async move { Ok(outcomes) })
    }

    fn commit<'a>(
        &'a self,
        commits: &'a [Commit],
    ) -> BoxFuture<'a, Result<Vec<CommitOutcome>, StoreError>> {
        let mut rows = self.rows();
        let outcomes = commits
            .iter()
            .map(|commit| carry_out(&mut rows, commit))
            .collect();
        drop(rows);
        self.notices.tell_changed(|| notices::changed_by(commits));
        Box::pin(async move { Ok(outcomes) })
    }

    fn claim_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Expired>, StoreError>> {
        let mut rows = self.rows();
        let expired = rows
            .extract_if(.., |_, record| record.is_expired(now))
            .take(limit);
        let expired: Vec<_> = expired
            .map(|(key, record)| Expired {
                key,
                record: Some(record),
            })
            .collect();
        drop(rows);
        self.notices
            .tell_changed(|| notices::changed_by_claim(&expired));
        Box::pin(async move { Ok(expired) })
    }

    fn locate<'a>(
        &'a self,
        lookups: &'a [Lookup],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Option<SessionKey>>, StoreError>> {
        let rows = self.rows();
        let located = lookups
            .iter()
            .map(|lookup| locate(&rows, lookup, now))
            .collect();
        Box::pin(async move { Ok(located) })
    }

    fn notices(&self) -> Option<Notices> {
        Some(self.notices.subscribe())
    }

    fn list_by_principal<'a>(
        &'a self,
        principal: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<SessionSummary>, StoreError>> {
        let rows = self.rows();
        let mut sessions: Vec<_> = rows
            .iter()
            .filter(|(_, record)| record.principal.as_deref() == Some(principal))
            .filter(|(_, record)| !record.is_expired(now))
            .map(|(key, record)| SessionSummary {
                key: key.clone(),
                origin: record.origin.clone(),
                created_at: record.created_at,
                last_access: record.last_access,
                last_node: record.last_node.clone(),
            })
            .collect();
        sessions.sort_by_key(|session| std::cmp::Reverse(session.last_access));
        sessions.truncate(usize::from(LIST_LIMIT));
        Box::pin(async move { Ok(sessions) })
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        let count = self.rows().len() as u64;
        Box::pin(async move { Ok(count) })
    }
}

fn read_row(rows: &Rows, read: &Read) -> ReadOutcome {
    match rows.get(&read.key) {
        Some(record) if Some(record.version) == read.known => ReadOutcome::Current {
            last_access: record.last_access,
        },
        Some(record) => ReadOutcome::Found(Box::new(record.clone())),
        None => ReadOutcome::Missing,
    }
}

fn locate(rows: &Rows, Lookup { key, origin }: &Lookup, now: Timestamp) -> Option<SessionKey> {
    let (key, record) = match rows.get_key_value(key) {
        Some(row) => row,
        None => rows
            .iter()
            .find(|(now, record)| is_moved(now, record, key, origin))?,
    };
    (!record.is_expired(now)).then(|| key.clone())
}

/// Whether this row is the session with that origin, under another id than that of `key`.
fn is_moved(now: &SessionKey, record: &SessionRecord, key: &SessionKey, origin: &Arc<str>) -> bool {
    record.origin.as_ref() == Some(origin) && *now == key.with_id(now.id.clone())
}

fn carry_out(rows: &mut Rows, commit: &Commit) -> CommitOutcome {
    match commit {
        Commit::Create { key, record } => {
            if rows.contains_key(key) {
                return CommitOutcome::Exists;
            }
            rows.insert(key.clone(), (**record).clone());
            CommitOutcome::Done
        }
        Commit::Delete { key, origin } => {
            if rows.remove(key).is_some() || remove_moved(rows, key, origin) {
                CommitOutcome::Done
            } else {
                CommitOutcome::Missing
            }
        }
        Commit::Rename {
            key,
            new_id,
            expected,
            record,
        } => {
            let renamed = key.with_id(new_id.clone());
            let outcome = compare(rows, key, *expected);
            if outcome != CommitOutcome::Done {
                return outcome;
            }
            if rows.contains_key(&renamed) {
                return CommitOutcome::Exists;
            }
            replace(rows, key, record);
            if let Some(row) = rows.remove(key) {
                let origin = record.origin.clone();
                rows.insert(renamed, SessionRecord { origin, ..row });
            }
            CommitOutcome::Done
        }
        Commit::Touch { key, last_access } => match rows.get_mut(key) {
            Some(row) => {
                row.last_access = row.last_access.max(*last_access);
                CommitOutcome::Done
            }
            None => CommitOutcome::Missing,
        },
        Commit::Update {
            key,
            expected,
            record,
        } => {
            let outcome = compare(rows, key, *expected);
            if outcome == CommitOutcome::Done {
                replace(rows, key, record);
            }
            outcome
        }
    }
}

/// Removes the session with this origin, from wherever it is now.
fn remove_moved(rows: &mut Rows, key: &SessionKey, origin: &Arc<str>) -> bool {
    let moved = rows.extract_if(.., |now, record| is_moved(now, record, key, origin));
    moved.count() > 0
}

fn compare(rows: &Rows, key: &SessionKey, expected: Version) -> CommitOutcome {
    match rows.get(key) {
        Some(row) if row.version == expected => CommitOutcome::Done,
        Some(_) => CommitOutcome::Conflict,
        None => CommitOutcome::Missing,
    }
}

fn replace(rows: &mut Rows, key: &SessionKey, record: &SessionRecord) {
    if let Some(row) = rows.get_mut(key) {
        let last_access = row.last_access.max(record.last_access);
        *row = SessionRecord {
            last_access,
            origin: row.origin.clone(),
            ..record.clone()
        };
    }
}
