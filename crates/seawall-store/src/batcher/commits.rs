//! The lane that commits.

mod apart;

use std::{
    fmt,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use self::apart::Apart;
use super::{
    PendingCommit, Way,
    linger::Linger,
    out_of_patience,
    outage::{self, Waiters},
    settle,
    short_timer::ShortTimer,
};
use crate::{
    cause::Cause,
    clock::Timestamp,
    store::{Commit, CommitOutcome, StoreError},
};

/// A commit that waits for its batch.
pub(super) struct Waiting {
    pending: Arc<dyn PendingCommit>,
    since: Instant,
    patience: Duration,
}

impl Waiting {
    pub(super) fn new(pending: Arc<dyn PendingCommit>, patience: Duration) -> Self {
        Self {
            pending,
            since: Instant::now(),
            patience,
        }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("since", &self.since)
            .finish_non_exhaustive()
    }
}

/// A commit that has left its session and awaits the store's answer.
struct Sent {
    commit: Commit,
    pending: Arc<dyn PendingCommit>,
    since: Instant,
    patience: Duration,
    /// An earlier try may have taken effect.
    uncertain: bool,
}

impl Sent {
    fn finish(self, way: &Way, result: Result<CommitOutcome, StoreError>) {
        if let Ok(outcome) = result {
            way.metrics.count_commit(&self.commit, outcome);
        }
        self.pending.complete(result);
    }
}

pub(super) struct Lane {
    way: Way,
    queue: mpsc::Receiver<Waiting>,
    waiting: Vec<Waiting>,
    sent: Vec<Sent>,
    /// What is sent by itself, because somebody holds its row or that of another one in its batch.
    apart: Apart,
    linger: Linger,
    /// Without one, which a full descriptor table can cause, batches leave at once.
    timer: Option<ShortTimer>,
}

impl Lane {
    pub(super) fn new(way: Way, queue: mpsc::Receiver<Waiting>) -> Self {
        let (waiting, sent) = (Vec::new(), Vec::new());
        let timer = way
            .settings
            .linger
            .then(|| ShortTimer::new().ok())
            .flatten();
        Self {
            way,
            queue,
            waiting,
            sent,
            apart: Apart::default(),
            linger: Linger::default(),
            timer,
        }
    }

    pub(super) async fn run(mut self) {
        while self
            .queue
            .recv_many(&mut self.waiting, self.way.settings.batch_limit)
            .await
            > 0
        {
            self.wait_for_company().await;
            while !self.is_empty() {
                self.take();
                self.publish_held();
                if !self.sent.is_empty() {
                    self.send_batch().await;
                }
                self.send_apart().await;
            }
            self.publish_held();
        }
    }

    fn publish_held(&self) {
        let held = self.waiting.len() + self.sent.len() + self.apart.len();
        self.way.metrics().held.store(held, Relaxed);
    }

    async fn wait_for_company(&mut self) {
        let Some(timer) = self
            .timer
            .as_ref()
            .filter(|_| self.linger.expects_more_than(self.waiting.len()))
        else {
            return;
        };
        let mut over = pin!(timer.wait(self.linger.limit()));
        while self.linger.expects_more_than(self.waiting.len()) {
            tokio::select! {
                () = over.as_mut() => return,
                count = self.queue.recv_many(&mut self.waiting, self.way.settings.batch_limit) => {
                    if count == 0 {
                        return;
                    }
                }
            }
        }
    }

    fn take(&mut self) {
        for waiting in self.waiting.drain(..) {
            if let Some(commit) = waiting.pending.take() {
                self.sent.push(Sent {
                    commit,
                    pending: waiting.pending,
                    since: waiting.since,
                    patience: waiting.patience,
                    uncertain: false,
                });
            }
        }
    }

    async fn send_batch(&mut self) {
        let count = self.sent.len().min(self.way.settings.batch_limit);
        self.sent[..count].sort_by(|a, b| a.commit.key().cmp(b.commit.key()));
        let commits: Vec<Commit> = self.sent[..count]
            .iter()
            .map(|s| s.commit.clone())
            .collect();
        let started = Instant::now();
        match self.commit(&commits).await {
            Ok(outcomes) => {
                let (took, came) = (started.elapsed(), self.queue.len());
                self.linger.observe(took, count, came);
                self.complete(count, outcomes).await;
            }
            Err(error) if error.cause() == Cause::Locked => self.set_apart(count, error),
            Err(error) if error.is_transient() => self.outlast(count, error).await,
            Err(error) => self.reject(count, &error).await,
        }
    }

    /// The first `count` wait until the store is back, with what comes meanwhile.
    async fn outlast(&mut self, count: usize, error: StoreError) {
        let sent = self.sent[..count].iter_mut();
        sent.for_each(|sent| sent.uncertain = true);
        outage::outlast(self, error).await;
        self.take();
    }

    async fn commit(&self, commits: &[Commit]) -> Result<Vec<CommitOutcome>, StoreError> {
        let asked = self.way.store.commit(commits);
        self.way.answer(commits.len(), asked).await
    }

    async fn complete(&mut self, count: usize, outcomes: Vec<CommitOutcome>) {
        for (sent, outcome) in self.sent.drain(..count).zip(outcomes) {
            let result = if sent.uncertain {
                settle::settle(&self.way, &sent.commit, outcome).await
            } else {
                Ok(outcome)
            };
            sent.finish(&self.way, result);
        }
    }

    /// The store refuses the batch. One commit that it cannot take must not drag the others along:
    /// each is sent again by itself. Parts of the batch may have taken effect before.
    async fn reject(&mut self, count: usize, error: &StoreError) {
        let batch: Vec<Sent> = self.sent.drain(..count).collect();
        let alone = batch.len() == 1;
        for sent in batch {
            let result = if alone {
                Err(error.clone())
            } else {
                self.send_alone(&sent).await
            };
            sent.finish(&self.way, result);
        }
    }

    async fn send_alone(&self, sent: &Sent) -> Result<CommitOutcome, StoreError> {
        let outcomes = self.commit(std::slice::from_ref(&sent.commit)).await?;
        settle::settle(&self.way, &sent.commit, outcomes[0]).await
    }
}

impl Waiters for Lane {
    fn way(&self) -> &Way {
        &self.way
    }

    /// A touch writes nothing here, but only a store that takes commits takes it.
    async fn probe(way: Way) -> Result<(), StoreError> {
        let touch = Commit::Touch {
            key: outage::nobody(),
            last_access: Timestamp::default(),
        };
        let commits = [touch];
        way.within_patience(way.store.commit(&commits))
            .await
            .map(drop)
    }

    fn look_after(&mut self, error: &StoreError) {
        while self.waiting.len() + self.sent.len() + self.apart.len()
            < self.way.settings.queue_limit
        {
            let Ok(waiting) = self.queue.try_recv() else {
                break;
            };
            self.waiting.push(waiting);
        }
        let Self {
            way,
            waiting,
            sent,
            apart,
            ..
        } = self;
        let tell = |pending: &dyn PendingCommit, since: Instant| {
            way.metrics().timed_out.increment();
            let error = out_of_patience(error, &*way.store, since.elapsed());
            pending.complete(Err(error));
        };
        let is_over = |sent: &Sent| sent.since.elapsed() >= sent.patience;
        let apart = apart.extract(is_over).into_iter();
        for sent in sent.extract_if(.., |sent| is_over(sent)).chain(apart) {
            tell(&*sent.pending, sent.since);
        }
        for waiting in waiting.extract_if(.., |w| w.since.elapsed() >= w.patience) {
            // It leaves the queue, as it would with its batch.
            if waiting.pending.take().is_some() {
                tell(&*waiting.pending, waiting.since);
            }
        }
        self.publish_held();
    }

    fn is_deserted(&self) -> bool {
        self.is_empty() && self.queue.is_closed() && self.queue.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.sent.is_empty() && self.apart.is_empty()
    }
}
