//! A node's way to the store: slow, and broken now and then.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use seawall_store::{
    BoxFuture, Cause, Commit, CommitOutcome, Expired, Lookup, Notices, Read, ReadOutcome,
    SessionKey, SessionStore, SessionSummary, StoreError, Timestamp,
};
use tokio::time::{Instant, sleep};

use super::{
    random::Random,
    watchers::{self, Push},
};

/// The longest way to the store, and back.
const DELAY: Duration = Duration::from_millis(20);

/// What can go wrong. It is shared by all nodes.
#[derive(Debug)]
pub(crate) struct Weather {
    /// One in so many calls fails, before or after it took effect; never when 0.
    pub(crate) failure_in: usize,
    /// When the store is away, from and to.
    pub(crate) outages: Vec<(Instant, Instant)>,
    /// After all clients are done everything works.
    pub(crate) is_over: AtomicBool,
}

impl Weather {
    fn is_away(&self) -> bool {
        let now = Instant::now();
        self.outages
            .iter()
            .any(|(from, to)| *from <= now && now < *to)
    }
}

/// The store as one node reaches it.
#[derive(Debug)]
pub(crate) struct FaultyStore {
    pub(crate) inner: Arc<dyn SessionStore>,
    pub(crate) weather: Arc<Weather>,
    pub(crate) random: Random,
    pub(crate) push: Push,
    /// The node has crashed: nothing that it sends arrives any more.
    pub(crate) is_dead: AtomicBool,
}

/// How far a call gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// It never arrives.
    Nowhere,
    /// It takes effect, and its answer is lost.
    There,
    /// All is well.
    ThereAndBack,
}

impl FaultyStore {
    async fn reach(&self) -> Reach {
        sleep(self.random.up_to(DELAY)).await;
        if self.is_dead.load(Ordering::Relaxed) || self.weather.is_away() {
            return Reach::Nowhere;
        }
        let failure_in = self.weather.failure_in;
        let is_fine = failure_in == 0 || self.weather.is_over.load(Ordering::Relaxed);
        if is_fine || !self.random.one_in(failure_in) {
            return Reach::ThereAndBack;
        }
        if self.random.one_in(2) {
            Reach::There
        } else {
            Reach::Nowhere
        }
    }

    async fn back<T>(&self, reach: Reach, value: T) -> Result<T, StoreError> {
        sleep(self.random.up_to(DELAY)).await;
        if reach == Reach::ThereAndBack && !self.is_dead.load(Ordering::Relaxed) {
            return Ok(value);
        }
        Err(self.broken())
    }

    fn broken(&self) -> StoreError {
        StoreError::Unavailable {
            store: self.description().into(),
            reason: "simulated".into(),
            cause: Cause::Other,
        }
    }
}

impl SessionStore for FaultyStore {
    fn description(&self) -> &str {
        "simulated store"
    }

    fn read<'a>(
        &'a self,
        reads: &'a [Read],
    ) -> BoxFuture<'a, Result<Vec<ReadOutcome>, StoreError>> {
        Box::pin(async move {
            match self.reach().await {
                Reach::Nowhere => Err(self.broken()),
                reach => {
                    let outcomes = self.inner.read(reads).await?;
                    self.back(reach, outcomes).await
                }
            }
        })
    }

    /// What is lost on the way may have taken effect in part: each kind of commit is a transaction
    /// of its own.
    fn commit<'a>(
        &'a self,
        commits: &'a [Commit],
    ) -> BoxFuture<'a, Result<Vec<CommitOutcome>, StoreError>> {
        Box::pin(async move {
            match self.reach().await {
                Reach::Nowhere => Err(self.broken()),
                Reach::There => {
                    let part = self.random.below(commits.len() + 1);
                    let outcomes = self.inner.commit(&commits[..part]).await?;
                    self.back(Reach::There, outcomes).await
                }
                Reach::ThereAndBack => {
                    let outcomes = self.inner.commit(commits).await?;
                    self.back(Reach::ThereAndBack, outcomes).await
                }
            }
        })
    }

    /// Never lost on the way back: an expiry event that is claimed by a node that crashes is lost,
    /// which `docs/guarantees.md` says.
    fn claim_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Expired>, StoreError>> {
        Box::pin(async move {
            match self.reach().await {
                Reach::Nowhere => Err(self.broken()),
                _ => self.inner.claim_expired(now, limit).await,
            }
        })
    }

    fn locate<'a>(
        &'a self,
        lookups: &'a [Lookup],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Option<SessionKey>>, StoreError>> {
        Box::pin(async move {
            match self.reach().await {
                Reach::ThereAndBack => self.inner.locate(lookups, now).await,
                Reach::Nowhere | Reach::There => Err(self.broken()),
            }
        })
    }

    fn notices(&self) -> Option<Notices> {
        watchers::reach(&*self.inner, self.push, self.random.fork())
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
