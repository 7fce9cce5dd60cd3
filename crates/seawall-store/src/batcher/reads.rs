//! The lane that reads and validates.

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};

use super::{RETRY_PAUSE, Way, out_of_patience};
use crate::store::{Read, ReadOutcome, StoreError};

/// A read that waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    read: Read,
    reply: oneshot::Sender<Result<ReadOutcome, StoreError>>,
    since: Instant,
}

impl Waiting {
    pub(super) fn new(read: Read, reply: oneshot::Sender<Result<ReadOutcome, StoreError>>) -> Self {
        Self {
            read,
            reply,
            since: Instant::now(),
        }
    }

    fn answer(self, result: Result<ReadOutcome, StoreError>) {
        // The request may have been cancelled; then nobody listens.
        let _ = self.reply.send(result);
    }
}

pub(super) struct Lane {
    way: Way,
    queue: mpsc::Receiver<Waiting>,
    waiting: Vec<Waiting>,
}

impl Lane {
    pub(super) fn new(way: Way, queue: mpsc::Receiver<Waiting>) -> Self {
        Self {
            way,
            queue,
            waiting: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) {
        while self
            .queue
            .recv_many(&mut self.waiting, self.way.settings.batch_limit)
            .await
            > 0
        {
            while !self.waiting.is_empty() {
                self.send_batch().await;
            }
        }
    }

    async fn send_batch(&mut self) {
        let count = self.waiting.len().min(self.way.settings.batch_limit);
        self.waiting[..count].sort_by(|a, b| a.read.key.cmp(&b.read.key));
        let reads: Vec<Read> = self.waiting[..count]
            .iter()
            .map(|w| w.read.clone())
            .collect();
        match self.read(&reads).await {
            Ok(outcomes) => {
                for (waiting, outcome) in self.waiting.drain(..count).zip(outcomes) {
                    waiting.answer(Ok(outcome));
                }
            }
            Err(error) if error.is_transient() => self.wait_for_the_store(&error).await,
            Err(error) => {
                for waiting in self.waiting.drain(..count) {
                    waiting.answer(Err(error.clone()));
                }
            }
        }
    }

    async fn read(&self, reads: &[Read]) -> Result<Vec<ReadOutcome>, StoreError> {
        self.way.answer(self.way.store.read(reads)).await
    }

    async fn wait_for_the_store(&mut self, error: &StoreError) {
        sleep(RETRY_PAUSE).await;
        while self.waiting.len() < self.way.settings.waiting_limit {
            let Ok(waiting) = self.queue.try_recv() else {
                break;
            };
            self.waiting.push(waiting);
        }
        let patience = self.way.settings.patience;
        for waiting in self
            .waiting
            .extract_if(.., |w| w.since.elapsed() >= patience)
        {
            let error = out_of_patience(error, &*self.way.store, waiting.since.elapsed());
            waiting.answer(Err(error));
        }
    }
}
