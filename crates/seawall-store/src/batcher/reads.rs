//! The lane that reads and validates.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::{
    Way, out_of_patience,
    outage::{self, Waiters},
};
use crate::store::{Read, ReadOutcome, StoreError};

/// A read that waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    read: Read,
    reply: oneshot::Sender<Result<ReadOutcome, StoreError>>,
    since: Instant,
    patience: Duration,
}

impl Waiting {
    pub(super) fn new(
        read: Read,
        reply: oneshot::Sender<Result<ReadOutcome, StoreError>>,
        patience: Duration,
    ) -> Self {
        Self {
            read,
            reply,
            since: Instant::now(),
            patience,
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
                self.publish_held();
                self.send_batch().await;
            }
            self.publish_held();
        }
    }

    async fn send_batch(&mut self) {
        let count = self.waiting.len().min(self.way.settings.batch_limit);
        self.waiting[..count].sort_by(|a, b| a.read.key.cmp(&b.read.key));
        let reads: Vec<Read> = self.waiting[..count]
            .iter()
            .map(|w| w.read.clone())
            .collect();
        let asked = self.way.store.read(&reads);
        match self.way.answer(reads.len(), asked).await {
            Ok(outcomes) => {
                self.way.metrics.count_reads(&reads);
                for (waiting, outcome) in self.waiting.drain(..count).zip(outcomes) {
                    waiting.answer(Ok(outcome));
                }
            }
            Err(error) if error.is_transient() => outage::outlast(self, error).await,
            Err(error) => {
                for waiting in self.waiting.drain(..count) {
                    waiting.answer(Err(error.clone()));
                }
            }
        }
    }

    fn publish_held(&self) {
        let held = &self.way.metrics().held;
        held.store(self.waiting.len(), Relaxed);
    }
}

impl Waiters for Lane {
    fn way(&self) -> &Way {
        &self.way
    }

    async fn probe(way: Way) -> Result<(), StoreError> {
        let read = Read {
            key: outage::nobody(),
            known: None,
        };
        let reads = [read];
        way.within_patience(1, way.store.read(&reads))
            .await
            .map(drop)
    }

    fn look_after(&mut self, error: &StoreError) {
        while self.waiting.len() < self.way.settings.queue_limit {
            let Ok(waiting) = self.queue.try_recv() else {
                break;
            };
            self.waiting.push(waiting);
        }
        for waiting in self
            .waiting
            .extract_if(.., |w| w.since.elapsed() >= w.patience)
        {
            self.way.metrics().timed_out.increment();
            let error = out_of_patience(error, &*self.way.store, waiting.since.elapsed());
            waiting.answer(Err(error));
        }
        self.publish_held();
    }

    fn is_deserted(&self) -> bool {
        self.is_empty() && self.queue.is_closed() && self.queue.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
