//! Stores that break a promise on purpose. The simulation must notice each.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use seawall_store::{
    BoxFuture, Commit, CommitOutcome, Expired, Lookup, Notices, Read, ReadOutcome, SessionKey,
    SessionRecord, SessionStore, SessionSummary, StoreError, Timestamp, memory::MemoryStore,
};

use super::random::Random;

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// An update is written whatever the version is.
    NoCompareAndSet,
    /// A copy that is known is taken to be current.
    NoValidation,
    /// Some updates are acknowledged and not written.
    ForgottenUpdates,
    /// A late write brings a deleted session back.
    Resurrection,
    /// A rename leaves the session under its old id too.
    RenameCopies,
    /// Sessions expire a while before their time.
    EarlyExpiry,
    /// A claimed session can be claimed again.
    ClaimedTwice,
    /// Reads come from a replica that is behind.
    StaleReplica,
    /// Deletions are acknowledged and not done.
    ForgottenDeletions,
    /// A session that has another id is not found by one who knew it before.
    LostSight,
    /// A session that was found once is found for ever.
    Mirage,
    /// What leads from a renewed id to the new one gets lost.
    LostMarks,
}

impl Mutant {
    pub(crate) const ALL: [Self; 12] = [
        Self::NoCompareAndSet,
        Self::NoValidation,
        Self::ForgottenUpdates,
        Self::Resurrection,
        Self::RenameCopies,
        Self::EarlyExpiry,
        Self::ClaimedTwice,
        Self::StaleReplica,
        Self::ForgottenDeletions,
        Self::LostSight,
        Self::Mirage,
        Self::LostMarks,
    ];
}

/// The memory store with a mutation.
#[derive(Debug)]
pub(crate) struct MutantStore {
    pub(crate) inner: MemoryStore,
    pub(crate) mutant: Option<Mutant>,
    pub(crate) random: Random,
    /// What the replica shows: each session as it was before its last update.
    replica: Mutex<BTreeMap<SessionKey, SessionRecord>>,
}

impl MutantStore {
    pub(crate) fn new(mutant: Option<Mutant>, random: Random) -> Self {
        Self {
            inner: MemoryStore::new(),
            mutant,
            random,
            replica: Mutex::default(),
        }
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    async fn row(&self, key: &SessionKey) -> Option<SessionRecord> {
        let read = Read {
            key: key.clone(),
            known: None,
        };
        match self.inner.read(&[read]).await.unwrap().remove(0) {
            ReadOutcome::Found(record) => Some(*record),
            _ => None,
        }
    }

    async fn commit_one(&self, commit: &Commit) -> CommitOutcome {
        let row = self.row(commit.key()).await;
        if let (true, Some(row)) = (self.is(Mutant::StaleReplica), &row) {
            self.replica
                .lock()
                .unwrap()
                .insert(commit.key().clone(), row.clone());
        }
        let outcome = self
            .inner
            .commit(&[self.mutated(commit, row.as_ref())])
            .await
            .unwrap()[0];
        match (self.mutant, commit, row) {
            (Some(Mutant::ForgottenUpdates), Commit::Update { key, .. }, Some(row))
                if outcome == CommitOutcome::Done && self.random.one_in(8) =>
            {
                self.put(key, row).await;
            }
            (Some(Mutant::RenameCopies), Commit::Rename { key, .. }, Some(row))
                if outcome == CommitOutcome::Done =>
            {
                self.put(key, row).await;
            }
            (Some(Mutant::LostMarks), Commit::Rename { key, .. }, Some(_)) => {
                let mark = SessionKey {
                    context: "~".into(),
                    ..key.clone()
                };
                self.inner.commit(&[Commit::delete(mark)]).await.unwrap();
            }
            (Some(Mutant::ForgottenDeletions), Commit::Delete { key, .. }, Some(row)) => {
                self.put(key, row).await;
            }
            _ => {}
        }
        outcome
    }

    /// The commit that is carried out instead.
    fn mutated(&self, commit: &Commit, row: Option<&SessionRecord>) -> Commit {
        match (self.mutant, commit, row) {
            (Some(Mutant::NoCompareAndSet), Commit::Update { key, record, .. }, Some(row)) => {
                Commit::Update {
                    key: key.clone(),
                    expected: row.version,
                    record: record.clone(),
                }
            }
            (Some(Mutant::Resurrection), Commit::Update { key, record, .. }, None) => {
                Commit::Create {
                    key: key.clone(),
                    record: record.clone(),
                }
            }
            _ => commit.clone(),
        }
    }

    async fn put(&self, key: &SessionKey, record: SessionRecord) {
        let delete = Commit::delete(key.clone());
        let create = Commit::Create {
            key: key.clone(),
            record: Arc::new(record),
        };
        self.inner.commit(&[delete, create]).await.unwrap();
    }

    async fn read_one(&self, read: &Read) -> ReadOutcome {
        let outcome = self
            .inner
            .read(std::slice::from_ref(read))
            .await
            .unwrap()
            .remove(0);
        let behind = self.replica.lock().unwrap().get(&read.key).cloned();
        match (self.mutant, outcome, behind) {
            (Some(Mutant::NoValidation), ReadOutcome::Found(record), _) if read.known.is_some() => {
                ReadOutcome::Current {
                    last_access: record.last_access,
                }
            }
            (Some(Mutant::StaleReplica), ReadOutcome::Found(_), Some(behind))
                if self.random.one_in(2) =>
            {
                ReadOutcome::Found(Box::new(behind))
            }
            (_, outcome, _) => outcome,
        }
    }
}

impl SessionStore for MutantStore {
    fn description(&self) -> &str {
        "mutant"
    }

    fn read<'a>(
        &'a self,
        reads: &'a [Read],
    ) -> BoxFuture<'a, Result<Vec<ReadOutcome>, StoreError>> {
        Box::pin(async move {
            let mut outcomes = Vec::new();
            for read in reads {
                outcomes.push(self.read_one(read).await);
            }
            Ok(outcomes)
        })
    }

    fn commit<'a>(
        &'a self,
        commits: &'a [Commit],
    ) -> BoxFuture<'a, Result<Vec<CommitOutcome>, StoreError>> {
        Box::pin(async move {
            let mut outcomes = Vec::new();
            for commit in commits {
                outcomes.push(self.commit_one(commit).await);
            }
            Ok(outcomes)
        })
    }

    fn claim_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Expired>, StoreError>> {
        let now = if self.is(Mutant::EarlyExpiry) {
            now.plus(Duration::from_secs(15))
        } else {
            now
        };
        Box::pin(async move {
            let claimed = self.inner.claim_expired(now, limit).await?;
            if self.is(Mutant::ClaimedTwice) {
                for Expired { key, record } in &claimed {
                    self.put(key, record.clone().unwrap()).await;
                }
            }
            Ok(claimed)
        })
    }

    fn locate<'a>(
        &'a self,
        lookups: &'a [Lookup],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Option<SessionKey>>, StoreError>> {
        Box::pin(async move {
            let mut located = self.inner.locate(lookups, now).await?;
            for (lookup, found) in lookups.iter().zip(&mut located) {
                match self.mutant {
                    Some(Mutant::LostSight) if found.as_ref() != Some(&lookup.key) => *found = None,
                    Some(Mutant::Mirage) => *found = Some(lookup.key.clone()),
                    _ => {}
                }
            }
            Ok(located)
        })
    }

    fn notices(&self) -> Option<Notices> {
        self.inner.notices()
    }

    fn list_by_principal<'a>(
        &'a self,
        principal: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<SessionSummary>, StoreError>> {
        self.inner.list_by_principal(principal, now)
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.inner.count()
    }
}
