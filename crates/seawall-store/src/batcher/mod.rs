//! Group commit: gathers what concurrent requests ask of the store into few large batches.
//!
//! There are two lanes, one for reads and one for commits. Each sends one batch at a time; what is
//! asked for meanwhile becomes the next batch, so batches grow with the load. The commit lane waits
//! a little for commits that it can expect (see `linger.rs`).
//!
//! While the store is away both lanes keep trying; a request that has waited for
//! [`BatcherSettings::patience`] is told so (P6). A commit whose answer was lost is settled by
//! reading its row back (see `settle.rs`).

mod availability;
mod commits;
mod linger;
mod reads;
mod settle;
mod short_timer;

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
    time::timeout,
};

use availability::Availability;

use crate::store::{Commit, CommitOutcome, Read, ReadOutcome, SessionStore, StoreError};

/// The longest pause between two tries while the store is away.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How a [`Batcher`] behaves.
#[derive(Debug, Clone)]
pub struct BatcherSettings {
    /// How long a request waits for a store that is away.
    pub patience: Duration,
    /// The most operations in one batch.
    pub batch_limit: usize,
    /// The most requests that wait in each lane; more are refused.
    pub waiting_limit: usize,
    /// Whether a batch waits a moment for commits that can be expected. It saves the database work.
    pub linger: bool,
}

impl Default for BatcherSettings {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(5),
            batch_limit: 1_000,
            waiting_limit: 65_536,
            linger: true,
        }
    }
}

/// A commit that is put together when its batch leaves, not when it is asked for.
///
/// So everything that concurrent requests change in one session until then goes into one commit.
pub trait PendingCommit: Send + Sync {
    /// The commit to send now; `None` when there is nothing left to do.
    fn take(&self) -> Option<Commit>;

    /// What became of the commit that [`take`](Self::take) gave.
    fn complete(&self, result: Result<CommitOutcome, StoreError>);
}

/// The way to the store for everything that one node does. Cheap to clone.
#[derive(Clone)]
pub struct Batcher {
    store: Arc<dyn SessionStore>,
    reads: mpsc::Sender<reads::Waiting>,
    commits: mpsc::Sender<commits::Waiting>,
    availability: Arc<Availability>,
    waiting_limit: usize,
    runtime: Handle,
}

impl fmt::Debug for Batcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

impl Batcher {
    /// Starts both lanes on the current tokio runtime. They end when the last clone is dropped.
    ///
    /// # Panics
    /// Outside a tokio runtime with time and I/O.
    #[must_use]
    pub fn spawn(store: Arc<dyn SessionStore>, settings: &BatcherSettings) -> Self {
        let (reads, read_queue) = mpsc::channel(settings.waiting_limit);
        let (commits, commit_queue) = mpsc::channel(settings.waiting_limit);
        let availability = Arc::new(Availability::default());
        let way = Way {
            store: store.clone(),
            settings: settings.clone(),
            availability: availability.clone(),
        };
        tokio::spawn(reads::Lane::new(way.clone(), read_queue).run());
        tokio::spawn(commits::Lane::new(way, commit_queue).run());
        Self {
            store,
            reads,
            commits,
            availability,
            waiting_limit: settings.waiting_limit,
            runtime: Handle::current(),
        }
    }

    /// The store behind this batcher.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn SessionStore> {
        &self.store
    }

    /// The runtime that the lanes run on.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// How long the store has been away; `None` while it answers.
    #[must_use]
    pub fn store_away_for(&self) -> Option<Duration> {
        self.availability.away_for()
    }

    /// Reads one session, or confirms a copy of it.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer in time or refuses.
    pub async fn read(&self, read: Read) -> Result<ReadOutcome, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.reads
            .try_send(reads::Waiting::new(read, reply))
            .map_err(|_| self.overloaded())?;
        answer.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// Carries out one commit.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer in time or refuses.
    pub async fn commit(&self, commit: Commit) -> Result<CommitOutcome, StoreError> {
        let (reply, answer) = oneshot::channel();
        let single = Single {
            commit: Mutex::new(Some(commit)),
            reply: Mutex::new(Some(reply)),
        };
        self.submit(Arc::new(single))?;
        answer.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// Puts a commit into the next batch; its outcome goes to [`PendingCommit::complete`].
    ///
    /// # Errors
    /// [`StoreError::Overloaded`]; `complete` is not called then.
    pub fn submit(&self, pending: Arc<dyn PendingCommit>) -> Result<(), StoreError> {
        self.commits
            .try_send(commits::Waiting::new(pending))
            .map_err(|_| self.overloaded())
    }

    fn overloaded(&self) -> StoreError {
        StoreError::Overloaded {
            store: self.store.description().into(),
            waiting: self.waiting_limit,
        }
    }

    fn stopped(&self) -> StoreError {
        StoreError::Unavailable {
            store: self.store.description().into(),
            reason: "this node is shutting down".into(),
        }
    }
}

/// What a lane sends its batches with.
#[derive(Debug, Clone)]
struct Way {
    store: Arc<dyn SessionStore>,
    settings: BatcherSettings,
    availability: Arc<Availability>,
}

impl Way {
    /// Waits for an answer of the store, at most as long as a request does.
    async fn answer<T>(
        &self,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let patience = self.settings.patience;
        let answer = timeout(patience, asked).await.unwrap_or_else(|_| {
            Err(StoreError::Timeout {
                store: self.store.description().into(),
                waited: patience,
            })
        });
        match &answer {
            Err(error) if error.is_transient() => self.availability.lost(&*self.store, error),
            _ => self.availability.answered(&*self.store),
        }
        answer
    }
}

/// A commit that is known in full from the start.
struct Single {
    commit: Mutex<Option<Commit>>,
    reply: Mutex<Option<oneshot::Sender<Result<CommitOutcome, StoreError>>>>,
}

impl PendingCommit for Single {
    fn take(&self) -> Option<Commit> {
        self.commit.lock().expect(UNPOISONED).take()
    }

    fn complete(&self, result: Result<CommitOutcome, StoreError>) {
        if let Some(reply) = self.reply.lock().expect(UNPOISONED).take() {
            // The request may have been cancelled; the commit stands all the same.
            let _ = reply.send(result);
        }
    }
}

const UNPOISONED: &str = "nothing panics while it holds this lock";

/// The error of a request whose time is up: what the store said last.
fn out_of_patience(error: &StoreError, store: &dyn SessionStore, waited: Duration) -> StoreError {
    match error {
        StoreError::Timeout { .. } => StoreError::Timeout {
            store: store.description().into(),
            waited,
        },
        error => error.clone(),
    }
}

#[cfg(test)]
mod tests;
