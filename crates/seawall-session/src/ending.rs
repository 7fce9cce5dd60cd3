//! Ending sessions, and giving them new ids.

use std::sync::Arc;

use seawall_store::{Commit, CommitOutcome, SessionKey, SessionRecord, notices};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    cached::{Cached, Verdict},
    draft::{Draft, Intent},
    error::SessionError,
    events::SessionEvent,
    id::SessionId,
    manager::{Fate, Found, SessionManager, Trust},
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
        let (mut found, since) = (found, Instant::now());
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
            let rotation = match found.cached.begin_rotation(since) {
                Ok(rotation) => rotation,
                Err(rest) => {
                    self.wait_for_rest(rest, since).await?;
                    continue;
                }
            };
            let (value, record) = self.worked_on(&found, &rotation.record, work);
            if let (CommitOutcome::Done, successor) =
                self.rename(rotation, &record, id.clone(), since).await?
            {
                return Ok(Some((value, Fate::Kept, successor)));
            }
            // It has ended, or another node wrote in between or renewed its id: looking again tells.
            found.trust = Trust::Unverified;
        }
        Err(SessionError::Contended {
            attempts: self.settings().attempt_limit,
        })
    }

    /// Waits until what is under way with a session has ended.
    async fn wait_for_rest(
        &self,
        rest: oneshot::Receiver<Verdict>,
        since: Instant,
    ) -> Result<(), SessionError> {
        let shared = &self.inner.shared;
        match shared.wait_for(rest, shared.patience(), since).await? {
            Ok(Verdict::Failed(error)) => Err(error.into()),
            _ => Ok(()),
        }
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

    pub(crate) fn tell(&self, session: &SessionKey, event: &SessionEvent<'_>) {
        self.inner.shared.listeners.tell(session, event);
    }
}
