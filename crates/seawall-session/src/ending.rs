//! Ending sessions, and giving them new ids.

use std::sync::Arc;

use seawall_store::{Commit, CommitOutcome, SessionKey, SessionRecord, notices};

use crate::{
    cached::Cached,
    error::SessionError,
    events::SessionEvent,
    id::SessionId,
    manager::{Found, SessionManager},
};

impl SessionManager {
    /// Ends a session on every node. Once this answers, no node accepts its id (P4), or the new id
    /// that it was given meanwhile.
    pub(crate) async fn invalidate(&self, cached: &Arc<Cached>) -> Result<(), SessionError> {
        self.delete(cached.deletion(), Some(cached.clone())).await
    }

    /// Deletes a session, tells the listeners, and ends this node's copies of it, if it has any.
    pub(crate) async fn delete(
        &self,
        deletion: Commit,
        cached: Option<Arc<Cached>>,
    ) -> Result<(), SessionError> {
        let key = deletion.key().clone();
        let changed = notices::changed_by(std::slice::from_ref(&deletion));
        let shared = &self.inner.shared;
        let outcome = shared
            .batcher
            .commit_within(deletion, shared.patience())
            .await?;
        if outcome == CommitOutcome::Done {
            self.inner.counters.invalidated.increment();
            self.tell(&key, &SessionEvent::Invalidated);
        }
        self.inner.watches.suspect(&changed);
        let mut next = cached;
        while let Some(ended) = next {
            next = ended.end(None);
            self.forget(&ended);
        }
        Ok(())
    }

    /// Gives a session a new id in one atomic step (P8). `None` when the session has ended.
    pub(crate) async fn rotate_id(
        &self,
        found: Found,
    ) -> Result<Option<Arc<Cached>>, SessionError> {
        let mut found = found;
        for _ in 0..self.settings().attempt_limit {
            let Some((_, _, cached)) = self.work(found.clone(), &mut |_| ()).await? else {
                return Ok(None);
            };
            found = Found {
                cached: cached.clone(),
                ..found
            };
            let Some(rotation) = cached.begin_rotation() else {
                continue;
            };
            let renaming = self.rename(&cached.key, &rotation.record, SessionId::generate());
            match renaming.await? {
                (CommitOutcome::Done, successor) => {
                    self.moved(&cached, successor.clone());
                    return Ok(Some(successor));
                }
                // It has ended, or another node has renewed its id: looking again tells.
                (CommitOutcome::Missing, _) => {
                    cached.end(None);
                    self.forget(&cached);
                }
                // Another node wrote in between: look again.
                _ => {}
            }
        }
        Err(SessionError::Contended {
            attempts: self.settings().attempt_limit,
        })
    }

    /// The store has the session under its new id; so has this node from now on.
    pub(crate) fn moved(&self, cached: &Arc<Cached>, successor: Arc<Cached>) {
        // Before anybody can commit under the new id: events come in order.
        let from = &cached.key;
        self.tell(&successor.key, &SessionEvent::Rotated { from });
        self.inner.counters.rotated.increment();
        self.inner.cache.insert(&successor);
        cached.end(Some(successor));
        self.forget(cached);
    }

    fn tell(&self, session: &SessionKey, event: &SessionEvent<'_>) {
        self.inner.shared.listeners.tell(session, event);
    }

    pub(crate) async fn rename(
        &self,
        key: &SessionKey,
        record: &Arc<SessionRecord>,
        id: SessionId,
    ) -> Result<(CommitOutcome, Arc<Cached>), SessionError> {
        let now = self.inner.shared.clock.now();
        let mut renamed = (**record).clone().written_by(&self.settings().node, now);
        if self.settings().renewal_timeout.is_some() {
            renamed.set_issued_at(now);
        }
        renamed.origin.get_or_insert_with(|| key.id.clone());
        let commit = Commit::Rename {
            key: key.clone(),
            new_id: id.stored(),
            expected: record.version,
            record: Arc::new(renamed.clone()),
        };
        let shared = self.inner.shared.clone();
        let outcome = shared
            .batcher
            .commit_within(commit, shared.patience())
            .await?;
        Ok((outcome, Cached::loaded(shared, self.key(&id), id, renamed)))
    }
}
