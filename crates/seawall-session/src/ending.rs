//! Ending sessions, and giving them new ids.

use std::sync::Arc;

use seawall_store::{Commit, CommitOutcome, SessionKey, SessionRecord, notices};

use crate::{
    cached::{Cached, Rotation},
    draft::{Draft, Intent},
    error::SessionError,
    events::SessionEvent,
    id::SessionId,
    manager::{Fate, Found, SessionManager},
    outage::Worked,
};

impl SessionManager {
    /// Ends a session on every node. Once this answers, no node accepts its id (P4), or the new id
    /// that it was given meanwhile.
    pub(crate) async fn invalidate(&self, cached: &Arc<Cached>) -> Result<(), SessionError> {
        let deleting = self.delete(cached.deletion(), Some(cached.clone()));
        deleting.await.map(drop)
    }

    /// Deletes a session, tells the listeners, and ends this node's copies of it, if it has any.
    /// False when it had ended already.
    pub(crate) async fn delete(
        &self,
        deletion: Commit,
        cached: Option<Arc<Cached>>,
    ) -> Result<bool, SessionError> {
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
        Ok(outcome == CommitOutcome::Done)
    }

    /// Does `work` on a session and gives it a new id, in one atomic step (P8). `None` when the session
    /// has ended.
    pub(crate) async fn rotate_id<R>(
        &self,
        found: Found,
        id: &SessionId,
        work: &mut impl FnMut(&mut Draft<'_>) -> R,
    ) -> Result<Option<Worked<R>>, SessionError> {
        let mut found = found;
        for _ in 0..self.settings().attempt_limit {
            let Some((_, _, cached)) = self.work(found.clone(), &mut |_| ()).await? else {
                // Its new id may be this one already: an earlier try whose answer was lost.
                let Some((cached, trust)) = self.look_up(id).await? else {
                    return Ok(None);
                };
                (found.cached, found.trust) = (cached, trust);
                return self.work(found, work).await;
            };
            found.cached = cached;
            if found.cached.id == *id {
                return self.work(found, work).await;
            }
            let Some(rotation) = found.cached.begin_rotation() else {
                continue;
            };
            let (value, record) = self.worked_on(&found, &rotation.record, work);
            let renaming = self.rename(&found.cached.key, &record, id.clone());
            match renaming.await? {
                (CommitOutcome::Done, successor) => {
                    self.moved(&rotation, successor.clone());
                    return Ok(Some((value, Fate::Kept, successor)));
                }
                // It has ended, or another node has renewed its id: looking again tells.
                (CommitOutcome::Missing, _) => {
                    found.cached.end(None);
                    self.forget(&found.cached);
                }
                // Another node wrote in between: look again.
                _ => {}
            }
        }
        Err(SessionError::Contended {
            attempts: self.settings().attempt_limit,
        })
    }

    /// What `work` makes of a session that is committed like this.
    fn worked_on<R>(
        &self,
        found: &Found,
        committed: &Arc<SessionRecord>,
        work: &mut impl FnMut(&mut Draft<'_>) -> R,
    ) -> (R, Arc<SessionRecord>) {
        let limits = &self.settings().limits;
        let last_access = found.cached.lock().last_access();
        let mut draft =
            Draft::existing(&found.cached.id, self.part(committed), limits).used_at(last_access);
        let value = work(&mut draft);
        let record = match draft.intent() {
            Intent::Commit => self.written(found, committed, draft),
            Intent::Invalidate | Intent::Keep => committed.clone(),
        };
        (value, record)
    }

    /// The store has the session under its new id; so has this node from now on.
    pub(crate) fn moved(&self, rotation: &Rotation, successor: Arc<Cached>) {
        let cached = &rotation.cached;
        // Before anybody can commit under the new id: events come in order.
        let from = &cached.key;
        self.tell(&successor.key, &SessionEvent::Rotated { from });
        let record = successor.lock().tip().clone();
        let listeners = &self.inner.shared.listeners;
        listeners.tell_commit(&successor.key, Some(&rotation.record), &record);
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
