//! The conformance suite finds stores that are wrong on purpose.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt;
use seawall_store::{
    BoxFuture, Commit, CommitOutcome, Expired, Lookup, Read, ReadOutcome, SessionKey, SessionStore,
    SessionSummary, StoreError, Timestamp, conformance, memory::MemoryStore,
};

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutant {
    /// Claims a session and leaves it where it is.
    ClaimsAndKeeps,
    /// Claims more than it may.
    ClaimsBeyondItsLimit,
    /// Claims as if accesses reached the store at once.
    ClaimsEarly,
    /// Deletes what stands under the id, and not the session that has moved on.
    DeletesOnlyWhereItWas,
    /// Keeps the sessions of all applications under one key.
    ForgetsTheContext,
    /// Finds expired sessions when it lists those of a principal.
    ListsExpired,
    /// Carries out the first of several touches of one session, and calls the others done.
    LosesLaterTouches,
    /// Confirms an older version as current.
    ReadsStale,
    /// Inserts what an update does not find.
    Revives,
    /// Writes without comparing versions.
    UpdatesUnseen,
}

const MUTANTS: [Mutant; 10] = [
    Mutant::ClaimsAndKeeps,
    Mutant::ClaimsBeyondItsLimit,
    Mutant::ClaimsEarly,
    Mutant::DeletesOnlyWhereItWas,
    Mutant::ForgetsTheContext,
    Mutant::ListsExpired,
    Mutant::LosesLaterTouches,
    Mutant::ReadsStale,
    Mutant::Revives,
    Mutant::UpdatesUnseen,
];

/// The memory store with something wrong in it.
#[derive(Debug)]
struct WrongStore {
    inner: MemoryStore,
    mutant: Mutant,
}

impl WrongStore {
    fn open(mutant: Mutant) -> Arc<dyn SessionStore> {
        let inner = MemoryStore::new();
        Arc::new(Self { inner, mutant })
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == mutant
    }

    fn key(&self, key: &SessionKey) -> SessionKey {
        let mut key = key.clone();
        if self.is(Mutant::ForgetsTheContext) {
            key.context = "_app".into();
        }
        key
    }

    /// The commit as this store understands it.
    async fn understood(&self, commit: &Commit) -> Result<Commit, StoreError> {
        let mut commit = commit.clone();
        match &mut commit {
            Commit::Delete { key, origin } if self.is(Mutant::DeletesOnlyWhereItWas) => {
                *origin = key.id.clone();
            }
            Commit::Update { key, expected, .. } if self.is(Mutant::UpdatesUnseen) => {
                if let ReadOutcome::Found(record) = self.stored(key).await? {
                    *expected = record.version;
                }
            }
            Commit::Update { key, record, .. }
                if self.is(Mutant::Revives) && self.stored(key).await? == ReadOutcome::Missing =>
            {
                let (key, record) = (self.key(key), record.clone());
                return Ok(Commit::Create { key, record });
            }
            _ => {}
        }
        match &mut commit {
            Commit::Create { key, .. }
            | Commit::Delete { key, .. }
            | Commit::Rename { key, .. }
            | Commit::Touch { key, .. }
            | Commit::Update { key, .. } => *key = self.key(key),
        }
        Ok(commit)
    }

    async fn stored(&self, key: &SessionKey) -> Result<ReadOutcome, StoreError> {
        let (key, known) = (self.key(key), None);
        Ok(self.inner.read(&[Read { key, known }]).await?.remove(0))
    }
}

impl SessionStore for WrongStore {
    fn description(&self) -> &str {
        "a store that is wrong"
    }

    fn read<'a>(
        &'a self,
        reads: &'a [Read],
    ) -> BoxFuture<'a, Result<Vec<ReadOutcome>, StoreError>> {
        Box::pin(async move {
            let mut outcomes = Vec::new();
            for Read { key, known } in reads {
                let outcome = self.stored(key).await?;
                outcomes.push(match (&outcome, known) {
                    (ReadOutcome::Found(record), Some(known))
                        if record.version == *known
                            || self.is(Mutant::ReadsStale) && record.version > *known =>
                    {
                        let last_access = record.last_access;
                        ReadOutcome::Current { last_access }
                    }
                    _ => outcome,
                });
            }
            Ok(outcomes)
        })
    }

    fn commit<'a>(
        &'a self,
        commits: &'a [Commit],
    ) -> BoxFuture<'a, Result<Vec<CommitOutcome>, StoreError>> {
        Box::pin(async move {
            let mut touched = BTreeMap::new();
            let mut outcomes = Vec::new();
            for commit in commits {
                let commit = self.understood(commit).await?;
                if let (Commit::Touch { key, .. }, Mutant::LosesLaterTouches) =
                    (&commit, self.mutant)
                    && let Some(outcome) = touched.get(key)
                {
                    outcomes.push(*outcome);
                    continue;
                }
                let outcome = self.inner.commit(std::slice::from_ref(&commit)).await?[0];
                touched.insert(commit.key().clone(), outcome);
                outcomes.push(outcome);
            }
            Ok(outcomes)
        })
    }

    fn claim_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Expired>, StoreError>> {
        let (now, limit) = match self.mutant {
            Mutant::ClaimsEarly => (now.plus(Duration::from_secs(60)), limit),
            Mutant::ClaimsBeyondItsLimit => (now, limit + 1),
            _ => (now, limit),
        };
        Box::pin(async move {
            let claimed = self.inner.claim_expired(now, limit).await?;
            for Expired { key, record } in &claimed {
                if let (Some(record), Mutant::ClaimsAndKeeps) = (record, self.mutant) {
                    let (key, record) = (key.clone(), Arc::new(record.clone()));
                    self.inner.commit(&[Commit::Create { key, record }]).await?;
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
        self.inner.locate(lookups, now)
    }

    fn list_by_principal<'a>(
        &'a self,
        principal: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<SessionSummary>, StoreError>> {
        let now = if self.is(Mutant::ListsExpired) {
            Timestamp::from_millis(0)
        } else {
            now
        };
        self.inner.list_by_principal(principal, now)
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.inner.count()
    }
}

/// What the suite says of a store, or `None` when it has nothing to say.
async fn complaint(suite: impl Future<Output = ()>) -> Option<String> {
    let panic = AssertUnwindSafe(suite).catch_unwind().await.err()?;
    Some(panic.downcast_ref::<String>().unwrap().clone())
}

#[tokio::test]
async fn every_wrong_store_is_found_by_random_operations() {
    for mutant in MUTANTS {
        let store = WrongStore::open(mutant);
        let complaint = complaint(async move {
            conformance::random_operations(&*store, conformance::SEEDS, Duration::MAX).await;
        });
        let complaint = complaint.await;
        let complaint = complaint.unwrap_or_else(|| panic!("{mutant:?} goes unnoticed"));
        println!("{mutant:?}: {complaint}");
        assert!(complaint.contains("expected") && complaint.contains("seed"));
        let steps = complaint
            .lines()
            .filter(|line| line.starts_with(char::is_numeric));
        assert!(
            steps.count() <= 6,
            "{mutant:?} is not shown briefly: {complaint}"
        );
    }
}

#[tokio::test]
async fn every_wrong_store_is_found_by_its_behaviour() {
    for mutant in MUTANTS {
        let store = WrongStore::open(mutant);
        let complaint = complaint(conformance::behaviours(async || store.clone())).await;
        let complaint = complaint.unwrap_or_else(|| panic!("{mutant:?} goes unnoticed"));
        println!("{mutant:?}: {complaint}");
        assert!(complaint.contains("do not hold:\n- "), "{complaint}");
    }
}

#[tokio::test]
async fn a_seed_replays_the_same_failure() {
    let failure = async || {
        let store = WrongStore::open(Mutant::UpdatesUnseen);
        let random = async move {
            conformance::random_operations(&*store, 3..4, Duration::ZERO).await;
        };
        complaint(random).await.unwrap()
    };
    assert_eq!(failure().await, failure().await);
}
