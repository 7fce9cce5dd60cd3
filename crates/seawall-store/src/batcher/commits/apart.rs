//! Commits that met a lock which somebody else holds.
//!
//! A session's row may be held for long: by a person's transaction, or by another node whose disk hangs.
//! The other sessions of its batch must not wait for that. So each commit of such a batch is sent again
//! by itself, between the batches of what comes meanwhile, until it is done or its request's patience
//! is at its end.

use std::{collections::VecDeque, slice};

use tokio::time::Instant;

use super::{super::outage::Waiters, Lane, ROUND, Sent};
use crate::{cause::Cause, store::StoreError};

/// What is sent by itself.
#[derive(Default)]
pub(super) struct Apart {
    queue: VecDeque<Sent>,
    /// What the store said of the lock.
    lock: Option<StoreError>,
}

impl Apart {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Takes those out to which `is_over` applies.
    pub(super) fn extract(&mut self, is_over: impl Fn(&Sent) -> bool) -> Vec<Sent> {
        let (over, left) = self.queue.drain(..).partition(is_over);
        self.queue = left;
        Vec::from(over)
    }
}

impl Lane {
    /// Sets the first `count` apart. Some of them may have taken effect.
    pub(super) fn set_apart(&mut self, count: usize, lock: StoreError) {
        let batch = self.sent.drain(..count).map(|sent| Sent {
            uncertain: true,
            ..sent
        });
        self.apart.queue.extend(batch);
        self.apart.lock = Some(lock);
    }

    /// Sends what is apart, each by itself, for a round or until one has to wait. Then the others get
    /// their turn, unless it is the whole table that is held, or the store that is away.
    pub(super) async fn send_apart(&mut self) {
        if let Err(error) = self.send_round().await {
            if error.cause() != Cause::Locked || Self::probe(self.way.clone()).await.is_err() {
                self.sent.extend(self.apart.queue.drain(..));
                return self.outlast(self.sent.len(), error).await;
            }
            self.apart.lock = Some(error);
        }
        if !self.apart.is_empty()
            && let Some(lock) = self.apart.lock.clone()
        {
            self.look_after(&lock);
            self.take();
        }
    }

    /// The error is that of a commit that has to wait.
    async fn send_round(&mut self) -> Result<(), StoreError> {
        let begun = Instant::now();
        while begun.elapsed() < ROUND
            && let Some(sent) = self.apart.queue.pop_front()
        {
            let started = Instant::now();
            match self.commit(slice::from_ref(&sent.commit)).await {
                Ok(outcomes) => {
                    self.sent.insert(0, sent);
                    self.complete(1, outcomes).await;
                }
                Err(error) if error.is_transient() => {
                    self.apart.queue.push_back(sent);
                    return Err(error);
                }
                Err(error) => sent.finish(&self.way, Err(error)),
            }
            // All that are left are better off together.
            if started.elapsed() > ROUND {
                self.sent.extend(self.apart.queue.drain(..));
            }
        }
        Ok(())
    }
}
