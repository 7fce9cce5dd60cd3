//! The lane that commits.

mod apart;
mod refused;

use std::{
    fmt,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use self::{apart::Apart, refused::Refused};
use super::{
    PendingCommit, Way,
    linger::Linger,
    out_of_patience,
    outage::{self, Waiters},
    settle::{self, Places, Rows},
    short_timer::ShortTimer,
};
use crate::{
    cause::Cause,
    clock::Timestamp,
    store::{Commit, CommitOutcome, StoreError},
};

/// For how long what a batch left over is sent before another batch has its turn.
const ROUND: Duration = Duration::from_millis(100);

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
    /// What is sent in parts, because the store refused it as a whole.
    refused: Refused,
    /// Outcomes of a last try, while the rows are read that tell what they mean.
    unsettled: Vec<(Sent, CommitOutcome)>,
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
            refused: Refused::default(),
            unsettled: Vec::new(),
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
                self.send_refused().await;
                self.send_apart().await;
            }
            self.publish_held();
        }
    }

    fn held(&self) -> usize {
        let again = self.apart.len() + self.refused.len() + self.unsettled.len();
        self.waiting.len() + self.sent.len() + again
    }

    fn publish_held(&self) {
        self.way.metrics().held.store(self.held(), Relaxed);
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
        self.send_first(count).await;
    }

    /// Sends the first `count` as one batch.
    async fn send_first(&mut self, count: usize) {
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
            Err(error) => self.reject(count, &error),
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
        let mut places = Places::new();
        for (sent, outcome) in self.sent.drain(..count).zip(outcomes) {
            if !sent.uncertain {
                sent.finish(&self.way, Ok(outcome));
                continue;
            }
            places.extend(settle::place(&sent.commit, outcome));
            self.unsettled.push((sent, outcome));
        }
        if !self.unsettled.is_empty() {
            self.settle(places).await;
        }
    }

    /// Those whose rows take long to read are looked after like all others.
    async fn settle(&mut self, places: Places) {
        let rows = if places.is_empty() {
            Ok(Rows::new())
        } else {
            let (reading, error) = (settle::read(self.way.clone(), places), self.way.no_answer());
            outage::look_until_done(self, &error, reading).await
        };
        for (sent, outcome) in self.unsettled.drain(..) {
            let result = match &rows {
                Ok(rows) => settle::settle(&self.way, &sent.commit, outcome, rows),
                Err(error) => Err(error.clone()),
            };
            sent.finish(&self.way, result);
        }
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
        way.within_patience(1, way.store.commit(&commits))
            .await
            .map(drop)
    }

    fn look_after(&mut self, error: &StoreError) {
        while self.held() < self.way.settings.queue_limit {
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
            refused,
            unsettled,
            ..
        } = self;
        let told = |since: Instant| {
            way.metrics().timed_out.increment();
            out_of_patience(error, &*way.store, since.elapsed())
        };
        let is_over = |sent: &Sent| sent.since.elapsed() >= sent.patience;
        let mut over = apart.extract(is_over);
        over.extend(refused.extract(is_over));
        over.extend(sent.extract_if(.., |sent| is_over(sent)));
        let unsettled = unsettled.extract_if(.., |(sent, _)| is_over(sent));
        over.extend(unsettled.map(|(sent, _)| sent));
        for sent in over {
            sent.pending.complete(Err(told(sent.since)));
        }
        for waiting in waiting.extract_if(.., |w| w.since.elapsed() >= w.patience) {
            waiting.pending.give_up(told(waiting.since));
        }
        self.publish_held();
    }

    fn is_deserted(&self) -> bool {
        self.is_empty() && self.queue.is_closed() && self.queue.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.held() == 0
    }
}
