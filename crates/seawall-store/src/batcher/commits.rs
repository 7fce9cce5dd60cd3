//! The lane that commits.

use std::{fmt, pin::pin, sync::Arc};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    PendingCommit, RETRY_PAUSE, Way, linger::Linger, out_of_patience, settle,
    short_timer::ShortTimer,
};
use crate::store::{Commit, CommitOutcome, StoreError};

/// A commit that waits for its batch.
pub(super) struct Waiting {
    pending: Arc<dyn PendingCommit>,
    since: Instant,
}

impl Waiting {
    pub(super) fn new(pending: Arc<dyn PendingCommit>) -> Self {
        Self {
            pending,
            since: Instant::now(),
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
    /// An earlier try may have taken effect.
    uncertain: bool,
}

pub(super) struct Lane {
    way: Way,
    queue: mpsc::Receiver<Waiting>,
    waiting: Vec<Waiting>,
    sent: Vec<Sent>,
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
            self.take();
            while !self.sent.is_empty() {
                self.send_batch().await;
            }
        }
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

    fn receive(&mut self) {
        while self.waiting.len() + self.sent.len() < self.way.settings.waiting_limit {
            let Ok(waiting) = self.queue.try_recv() else {
                break;
            };
            self.waiting.push(waiting);
        }
    }

    fn take(&mut self) {
        for Waiting { pending, since } in self.waiting.drain(..) {
            if let Some(commit) = pending.take() {
                self.sent.push(Sent {
                    commit,
                    pending,
                    since,
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
            Err(error) if error.is_transient() => {
                self.sent[..count]
                    .iter_mut()
                    .for_each(|sent| sent.uncertain = true);
                self.wait_for_the_store(&error).await;
            }
            Err(error) => self.reject(count, &error).await,
        }
    }

    async fn commit(&self, commits: &[Commit]) -> Result<Vec<CommitOutcome>, StoreError> {
        self.way.answer(self.way.store.commit(commits)).await
    }

    async fn complete(&mut self, count: usize, outcomes: Vec<CommitOutcome>) {
        for (sent, outcome) in self.sent.drain(..count).zip(outcomes) {
            let result = if sent.uncertain {
                settle::settle(&*self.way.store, &sent.commit, outcome).await
            } else {
                Ok(outcome)
            };
            sent.pending.complete(result);
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
            sent.pending.complete(result);
        }
    }

    async fn send_alone(&self, sent: &Sent) -> Result<CommitOutcome, StoreError> {
        let outcomes = self.commit(std::slice::from_ref(&sent.commit)).await?;
        settle::settle(&*self.way.store, &sent.commit, outcomes[0]).await
    }

    async fn wait_for_the_store(&mut self, error: &StoreError) {
        sleep(RETRY_PAUSE).await;
        let patience = self.way.settings.patience;
        for sent in self.sent.extract_if(.., |s| s.since.elapsed() >= patience) {
            let waited = sent.since.elapsed();
            sent.pending
                .complete(Err(out_of_patience(error, &*self.way.store, waited)));
        }
        self.receive();
        self.take();
    }
}
