//! A session's new id on its way to the store.
//!
//! What is on its way goes on whether or not its request still waits. So the commit owns the rotation,
//! and this node's copy moves, and commits of the session go on, when the store has answered: never
//! while it may still carry the rename out.

use std::sync::{Arc, Mutex};

use seawall_store::{Commit, CommitOutcome, PendingCommit, SessionRecord, StoreError};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    cached::{Cached, Rotation},
    error::SessionError,
    events::SessionEvent,
    id::SessionId,
    manager::SessionManager,
};

type Answer = Result<CommitOutcome, StoreError>;

/// A rename that waits for its batch, or for the store.
struct Renaming {
    manager: SessionManager,
    /// The session as it is once the store has renamed it.
    successor: Arc<Cached>,
    commit: Mutex<Option<Commit>>,
    /// Until it is over.
    under_way: Mutex<Option<(Rotation, oneshot::Sender<Answer>)>>,
}

impl PendingCommit for Renaming {
    fn take(&self) -> Option<Commit> {
        self.commit.lock().expect(UNPOISONED).take()
    }

    fn complete(&self, result: Answer) {
        let Some((rotation, reply)) = self.under_way.lock().expect(UNPOISONED).take() else {
            return;
        };
        match result {
            Ok(CommitOutcome::Done) => self.manager.moved(&rotation, &self.successor),
            // It has ended, or another node has given it another id.
            Ok(CommitOutcome::Missing) => {
                rotation.cached.end(None);
                self.manager.forget(&rotation.cached);
            }
            // Another node wrote in between, or nobody knows: the copy is to be checked.
            _ => rotation.cached.lock().distrust(),
        }
        drop(rotation);
        // The request may have been cancelled; the commit stands all the same.
        let _ = reply.send(result);
    }
}

const UNPOISONED: &str = "nothing panics while it holds this lock";

impl SessionManager {
    /// Gives the session the new id, with `record` in place of what it held, for a request that has
    /// waited since then. The copy of it under that id counts if the outcome is that it is done; then
    /// this node has moved to it already.
    pub(crate) async fn rename(
        &self,
        rotation: Rotation,
        record: &Arc<SessionRecord>,
        id: SessionId,
        since: Instant,
    ) -> Result<(CommitOutcome, Arc<Cached>), SessionError> {
        let shared = self.inner.shared.clone();
        let now = shared.clock.now();
        let key = rotation.cached.key.clone();
        let mut renamed = (**record).clone().written_by(&self.settings().node, now);
        if self.settings().renewal_timeout.is_some() {
            renamed.set_issued_at(now);
        }
        renamed.origin.get_or_insert_with(|| key.id.clone());
        let commit = Commit::Rename {
            key,
            new_id: id.stored(),
            expected: record.version,
            record: Arc::new(renamed.clone()),
        };
        let successor = Cached::loaded(shared.clone(), self.key(&id), id, renamed);
        let (reply, answer) = oneshot::channel();
        let renaming = Renaming {
            manager: self.clone(),
            successor: successor.clone(),
            commit: Mutex::new(Some(commit)),
            under_way: Mutex::new(Some((rotation, reply))),
        };
        let batcher = &shared.batcher;
        batcher.submit(Arc::new(renaming), shared.patience_since(since))?;
        let outcome = answer.await.unwrap_or_else(|_| Err(batcher.stopped()))?;
        Ok((outcome, successor))
    }

    /// The store has the session under its new id; so has this node from now on.
    fn moved(&self, rotation: &Rotation, successor: &Arc<Cached>) {
        let cached = &rotation.cached;
        // Before anybody can commit under the new id: events come in order.
        let from = &cached.key;
        self.tell(&successor.key, &SessionEvent::Rotated { from });
        let record = successor.lock().tip().clone();
        let listeners = &self.inner.shared.listeners;
        listeners.tell_commit(&successor.key, Some(&rotation.record), &record);
        self.inner.counters.rotated.increment();
        self.inner.cache.insert(successor);
        cached.end(Some(successor.clone()));
        self.forget(cached);
    }
}
