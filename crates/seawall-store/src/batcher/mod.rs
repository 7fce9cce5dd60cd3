//! Group commit: gathers what concurrent requests ask of the store into few large batches.
//!
//! There are two lanes, one for reads and one for commits. Each sends one batch at a time; what is
//! asked for meanwhile becomes the next batch, so batches grow with the load. The commit lane waits
//! a little for commits that it can expect (see `linger.rs`).
//!
//! While the store is away, one probe at a time asks whether it is back (see `outage.rs`); a request
//! that has waited for [`BatcherSettings::patience`] is told so (P6). A commit whose answer was lost
//! is settled by reading its row back (see `settle.rs`).

mod availability;
mod commits;
mod linger;
mod metrics;
mod outage;
mod reads;
mod settle;
mod short_timer;

use std::{
    fmt,
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc, oneshot},
    time::{Instant, timeout},
};

use availability::Availability;
use metrics::{LaneMetrics, Metrics};

use crate::{
    cause::Cause,
    statistics::StoreStatistics,
    store::{Commit, CommitOutcome, Read, ReadOutcome, SessionStore, StoreError},
};

/// How a [`Batcher`] behaves.
#[derive(Debug, Clone)]
pub struct BatcherSettings {
    /// How long a request waits for a store that is away. 5 s by default. Set it longer than the
    /// store's [`answer`](crate::ServerLimits::answer) limit (3 s by default), else nobody waits for
    /// what is asked again after an answer was lost. Nothing checks it: a batcher does not know the
    /// limits of its store.
    pub patience: Duration,
    /// The most operations in one batch, 1 at least. 1,000 by default.
    pub batch_limit: usize,
    /// The most requests that wait in each lane; more are refused. 65,536 by default,
    /// 1 at least.
    pub queue_limit: usize,
    /// Whether a batch waits a moment for commits that can be expected. It saves the database work,
    /// and is on by default.
    pub linger: bool,
}

impl Default for BatcherSettings {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(5),
            batch_limit: 1_000,
            queue_limit: 65_536,
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

    /// Its time is over before it left: nothing was sent.
    fn give_up(&self, error: StoreError) {
        if self.take().is_some() {
            self.complete(Err(error));
        }
    }
}

/// The way to the store for everything that one node does. Cheap to clone.
#[derive(Clone)]
pub struct Batcher {
    store: Arc<dyn SessionStore>,
    reads: mpsc::Sender<reads::Waiting>,
    commits: mpsc::Sender<commits::Waiting>,
    availability: Arc<Availability>,
    metrics: Arc<Metrics>,
    queue_limit: usize,
    patience: Duration,
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
        let queue_limit = settings.queue_limit.clamp(1, Semaphore::MAX_PERMITS);
        let (reads, read_queue) = mpsc::channel(queue_limit);
        let (commits, commit_queue) = mpsc::channel(queue_limit);
        let (availability, metrics) = (Arc::default(), Arc::default());
        let settings = &BatcherSettings {
            batch_limit: settings.batch_limit.max(1),
            ..settings.clone()
        };
        let way = |lane| Way {
            lane,
            store: store.clone(),
            settings: settings.clone(),
            availability: Arc::clone(&availability),
            metrics: Arc::clone(&metrics),
        };
        tokio::spawn(reads::Lane::new(way(LaneKind::Reads), read_queue).run());
        tokio::spawn(commits::Lane::new(way(LaneKind::Commits), commit_queue).run());
        Self {
            reads,
            commits,
            availability,
            metrics,
            queue_limit,
            patience: settings.patience,
            runtime: Handle::current(),
            store,
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

    /// Whether the store, as far as it was asked, does not answer reads.
    #[must_use]
    pub fn cannot_read(&self) -> bool {
        self.availability.is_away_for(LaneKind::Reads)
    }

    /// Completes when one of the lanes has panicked: nothing is read, or nothing committed, any more,
    /// and the process is best ended.
    pub async fn failed(&self) {
        tokio::select! {
            () = self.reads.closed() => {}
            () = self.commits.closed() => {}
        }
    }

    /// How long a request waits for a store that is away.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// What was done so far.
    #[must_use]
    pub fn statistics(&self) -> StoreStatistics {
        let metrics = &*self.metrics;
        StoreStatistics {
            is_up: self.store_away_for().is_none(),
            outages: self.availability.outages.total(),
            reads: metrics.reads.snapshot(queued(&self.reads)),
            commits: metrics.commits.snapshot(queued(&self.commits)),
            loads: metrics.loads.total(),
            validations: metrics.validations.total(),
            committed: metrics.committed(),
            conflicts: metrics.conflicts.total(),
            connections: self.store.connections(),
            unreadable: self.store.unreadable(),
        }
    }

    /// Reads one session, or confirms a copy of it.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer in time or refuses.
    pub async fn read(&self, read: Read) -> Result<ReadOutcome, StoreError> {
        self.read_within(read, self.patience).await
    }

    /// As [`read`](Self::read), with another patience. Without any, a store that is known to be
    /// away is not asked at all.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_within(
        &self,
        read: Read,
        patience: Duration,
    ) -> Result<ReadOutcome, StoreError> {
        self.check_hurry(LaneKind::Reads, patience)?;
        let (reply, answer) = oneshot::channel();
        let waiting = reads::Waiting::new(read, reply, patience);
        self.enqueue(&self.reads, waiting, &self.metrics.reads)?;
        answer.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// Carries out one commit.
    ///
    /// # Errors
    /// [`StoreError`] when the store does not answer in time or refuses.
    pub async fn commit(&self, commit: Commit) -> Result<CommitOutcome, StoreError> {
        self.commit_within(commit, self.patience).await
    }

    /// As [`commit`](Self::commit), with another patience. Without any, a store that is known to be
    /// away is not asked at all.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub async fn commit_within(
        &self,
        commit: Commit,
        patience: Duration,
    ) -> Result<CommitOutcome, StoreError> {
        let (reply, answer) = oneshot::channel();
        let single = Single {
            commit: Mutex::new(Some(commit)),
            reply: Mutex::new(Some(reply)),
        };
        self.submit(Arc::new(single), patience)?;
        answer.await.unwrap_or_else(|_| Err(self.stopped()))
    }

    /// Puts a commit into the next batch; its outcome goes to [`PendingCommit::complete`], or to
    /// [`PendingCommit::give_up`] that it has none. Without any patience, a store that is known to be
    /// away is not asked at all.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`], or that the store is away; neither is called then.
    pub fn submit(
        &self,
        pending: Arc<dyn PendingCommit>,
        patience: Duration,
    ) -> Result<(), StoreError> {
        self.check_hurry(LaneKind::Commits, patience)?;
        let waiting = commits::Waiting::new(pending, patience);
        self.enqueue(&self.commits, waiting, &self.metrics.commits)
    }

    fn enqueue<T>(
        &self,
        queue: &mpsc::Sender<T>,
        waiting: T,
        metrics: &LaneMetrics,
    ) -> Result<(), StoreError> {
        let is_full = metrics.held.load(Relaxed) + queued(queue) >= self.queue_limit;
        if is_full || queue.try_send(waiting).is_err() {
            if queue.is_closed() {
                return Err(self.stopped());
            }
            metrics.refused.increment();
            return Err(StoreError::Overloaded {
                store: self.store.description().into(),
                waiting: self.queue_limit,
            });
        }
        Ok(())
    }

    /// Refuses who would not wait for a store that is away.
    fn check_hurry(&self, lane: LaneKind, patience: Duration) -> Result<(), StoreError> {
        if patience.is_zero() && self.availability.is_away_for(lane) {
            return Err(StoreError::Unavailable {
                store: self.store.description().into(),
                reason: "it has been away for a while".into(),
                cause: Cause::Other,
            });
        }
        Ok(())
    }

    /// What those are told whose commits were dropped because the lanes have ended.
    #[must_use]
    pub fn stopped(&self) -> StoreError {
        StoreError::Unavailable {
            store: self.store.description().into(),
            reason: "this node is shutting down".into(),
            cause: Cause::Other,
        }
    }
}

/// How many requests are in a queue.
fn queued<T>(queue: &mpsc::Sender<T>) -> usize {
    queue.max_capacity() - queue.capacity()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LaneKind {
    Commits,
    Reads,
}

/// What a lane sends its batches with.
#[derive(Debug, Clone)]
struct Way {
    lane: LaneKind,
    store: Arc<dyn SessionStore>,
    settings: BatcherSettings,
    availability: Arc<Availability>,
    metrics: Arc<Metrics>,
}

impl Way {
    fn metrics(&self) -> &LaneMetrics {
        match self.lane {
            LaneKind::Commits => &self.metrics.commits,
            LaneKind::Reads => &self.metrics.reads,
        }
    }

    fn store_answered(&self) {
        self.availability.answered(self.lane, &*self.store);
    }

    /// Waits for the store's answer to a batch of `size`; takes note of whether there was one.
    async fn answer<T>(
        &self,
        size: usize,
        asked: impl Future<Output = Result<Vec<T>, StoreError>>,
    ) -> Result<Vec<T>, StoreError> {
        let started = Instant::now();
        let answer = self.within_patience(size, asked).await;
        let metrics = self.metrics();
        match &answer {
            // One lock that somebody holds is no outage.
            Err(error) if error.is_transient() && error.cause() != Cause::Locked => {
                metrics.failures.increment();
                self.availability.lost(self.lane, &*self.store, error);
            }
            _ => {
                metrics.batch_sizes.record(size as u64);
                metrics.answer_micros.record_micros(started.elapsed());
                self.store_answered();
            }
        }
        answer
    }

    /// What those are told whose patience is at its end while the store may answer others.
    fn no_answer(&self) -> StoreError {
        StoreError::Timeout {
            store: self.store.description().into(),
            waited: self.settings.patience,
        }
    }

    /// Waits for an answer of the store, at most as long as a request does. All answers come through
    /// here, so it is here that each operation is seen to have its outcome: a back end may be anybody's.
    async fn within_patience<T>(
        &self,
        size: usize,
        asked: impl Future<Output = Result<Vec<T>, StoreError>>,
    ) -> Result<Vec<T>, StoreError> {
        let patience = self.settings.patience;
        let outcomes = timeout(patience, asked).await;
        let outcomes = outcomes.unwrap_or_else(|_| Err(self.no_answer()))?;
        if outcomes.len() == size {
            return Ok(outcomes);
        }
        let answered = outcomes.len();
        let reason = format!(
            "it gave {answered} outcomes where {size} were asked for: its back end is at fault"
        );
        Err(StoreError::Rejected {
            store: self.store.description().into(),
            reason: reason.into(),
            cause: Cause::Other,
        })
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
