//! What the batcher does with a copy: it takes the tip as one commit, and says what became of it.

use std::{sync::Arc, time::Duration};

use seawall_store::{
    Commit, CommitOutcome, PendingCommit, SessionRecord, StoreError, Timestamp, Version,
};
use tokio::time::Instant;

use super::{Cached, Condition, InFlight, State, Verdict};

impl PendingCommit for Cached {
    fn take(&self) -> Option<Commit> {
        let mut state = self.lock();
        state.queued = false;
        if !state.has_work() {
            return None;
        }
        let key = self.key.clone();
        let base = state.committed_version();
        let record = state.tip_to_commit(&self.shared.node, self.shared.clock.now());
        let record = Arc::new(record);
        let generation = state.tip_generation;
        state.in_flight = Some(InFlight {
            generation,
            record: record.clone(),
        });
        Some(match base {
            Some(expected) => Commit::Update {
                key,
                expected,
                record,
            },
            None => Commit::Create { key, record },
        })
    }

    fn complete(&self, result: Result<CommitOutcome, StoreError>) {
        let mut state = self.lock();
        match result {
            Ok(CommitOutcome::Done) => {
                let change = state.committed();
                if state.tip_generation > state.committed_generation {
                    self.enqueue(&mut state);
                }
                drop(state);
                if let Some((before, after)) = change {
                    let listeners = &self.shared.listeners;
                    listeners.tell_commit(&self.key, before.as_deref(), &after);
                }
            }
            Ok(CommitOutcome::Conflict) => {
                state.discard_tip();
                state.tell_all(|| Verdict::Retry);
            }
            Ok(CommitOutcome::Exists | CommitOutcome::Missing) => {
                state.discard_tip();
                state.end(None);
            }
            Err(error) => state.give_up(&error, self.shared.patience()),
        }
    }

    fn give_up(&self, error: StoreError) {
        let mut state = self.lock();
        state.queued = false;
        if state.has_work() {
            state.give_up(&error, self.shared.patience());
        }
    }
}

impl State {
    /// Whether there is something to commit now.
    fn has_work(&self) -> bool {
        !self.rotating && matches!(self.condition, Condition::Good) && !self.is_settled()
    }

    /// The tip as `node` commits it on top of what is committed.
    fn tip_to_commit(&self, node: &Arc<str>, now: Timestamp) -> SessionRecord {
        let tip = (*self.tip).clone();
        let stored = match &self.committed {
            Some(committed) => SessionRecord {
                version: committed.version,
                last_node: committed.last_node.clone(),
                writers: committed.writers.clone(),
                ..tip
            },
            None => SessionRecord {
                version: Version::default(),
                ..tip
            },
        };
        stored.written_by(node, now)
    }

    /// Takes note that what was in flight is committed; what was there before, and is now.
    fn committed(&mut self) -> Option<(Option<Arc<SessionRecord>>, Arc<SessionRecord>)> {
        let InFlight { generation, record } = self.in_flight.take()?;
        let before = self.committed.clone();
        self.told_access = self.told_access.max(record.last_access);
        self.last_access = self.last_access.max(record.last_access);
        self.validated_at = Some(Instant::now());
        self.committed = Some(record.clone());
        self.committed_generation = generation;
        if self.tip_generation == generation {
            self.tip = record.clone();
        }
        self.tell_committed();
        Some((before, record))
    }

    /// Tells those who wait for no more than what is committed.
    pub(super) fn tell_committed(&mut self) {
        let committed = self.committed_generation;
        let waiters = &mut self.waiters;
        for waiter in waiters.extract_if(.., |waiter| waiter.generation <= committed) {
            let _ = waiter.sender.send(Verdict::Committed);
        }
    }

    /// The store failed. Those whose change may have been carried out are told, and those who have
    /// waited for their patience; what the others did was never sent, and they do it again.
    pub(super) fn give_up(&mut self, error: &StoreError, patience: Duration) {
        let sent = self.in_flight.as_ref().map(|sent| sent.generation);
        self.discard_tip();
        // There is no place for a second try either.
        let is_full = matches!(error, StoreError::Overloaded { .. });
        for waiter in self.waiters.drain(..) {
            let may_be_done = waiter.has_changed && Some(waiter.generation) <= sent;
            let is_over = is_full || waiter.since.elapsed() >= patience;
            let verdict = if may_be_done || is_over {
                Verdict::Failed(error.clone())
            } else {
                Verdict::Retry
            };
            let _ = waiter.sender.send(verdict);
        }
    }
}
