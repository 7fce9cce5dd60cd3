//! Renewal: a session gets a new id by itself when its id is old.
//!
//! The request that finds the id too old renews it after its work is done. Others may be under way
//! with the old id then, on any node, and the answer with the new id may be lost; so a *mark* stays
//! where the session was, for [`SessionSettings::renewal_grace`](crate::SessionSettings). It is
//! written before the session moves, so that there is no moment without the one or the other:
//!
//! 1. the mark, under the old id in a context of its own: random bytes, and a deadline;
//! 2. the rename, which decides (P8).
//!
//! The new id is made from the old one, in clear, and the mark. So whoever comes with the old id
//! gets the new one from any node; whoever knows only one of the two, an old cookie or a stolen
//! table, has nothing. A mark is no session: an explicit rotation leaves none, and where the session
//! has ended a mark leads nowhere.

use std::sync::Arc;

use seawall_store::{Commit, CommitOutcome, ReadOutcome, SessionKey, SessionRecord, Timestamp};
use tokio::time::Instant;

use crate::{
    cached::Cached,
    error::SessionError,
    id::SessionId,
    manager::{SessionManager, Trust},
};

/// The context of marks. Jetty's form of a context path begins with `_`, so no application has it.
pub(crate) const MARK_CONTEXT: &str = "~";

/// How many renewals a request follows, one after the other.
const HOP_LIMIT: usize = 8;

impl SessionManager {
    /// Renews the session's id if it is old enough: the id that the client is to have then.
    ///
    /// The request's work is done and committed, so an error is not the client's concern: the next
    /// request tries again.
    pub(crate) async fn renew_if_due(&self, cached: &Arc<Cached>) -> Option<SessionId> {
        let timeout = self.settings().renewal_timeout?;
        if self.is_cut_off() {
            return None;
        }
        let now = self.inner.shared.clock.now();
        if now < cached.lock().tip().issued_at().plus(timeout) {
            return None;
        }
        match self.renew(cached, now).await {
            Ok(id) => id,
            Err(error) => {
                tracing::debug!(session = ?cached.key, %error, "session id not renewed yet");
                None
            }
        }
    }

    async fn renew(
        &self,
        cached: &Arc<Cached>,
        now: Timestamp,
    ) -> Result<Option<SessionId>, SessionError> {
        let since = Instant::now();
        // While something is on its way to the store, a later request is good enough.
        let Ok(rotation) = cached.begin_rotation(since) else {
            return Ok(None);
        };
        let Some(id) = self.mark(&cached.id, now, since).await? else {
            return Ok(None);
        };
        let record = rotation.record.clone();
        match self.rename(rotation, &record, id.clone(), since).await?.0 {
            CommitOutcome::Done => Ok(Some(id)),
            // Another node did something to the session. If it was the same, the client gets the
            // same id from both.
            CommitOutcome::Missing => {
                let successor = self
                    .follow(&cached.id)
                    .await?
                    .map(|(successor, _)| successor);
                cached.end(successor.clone());
                Ok(successor.map(|successor| successor.id.clone()))
            }
            _ => Ok(None),
        }
    }

    /// Sees to it that there is a mark: the id that it leads to. `None` when an old mark vanishes
    /// at this moment.
    async fn mark(
        &self,
        id: &SessionId,
        now: Timestamp,
        since: Instant,
    ) -> Result<Option<SessionId>, SessionError> {
        let key = self.mark_key(id);
        let deadline = now.plus(self.settings().renewal_grace);
        let mut fresh = SessionRecord {
            idle_timeout: None,
            expiry_slack: std::time::Duration::ZERO,
            deadline: Some(deadline),
            ..self.blank_record()
        };
        fresh.set_successor(&SessionId::random_bytes());
        let create = Commit::Create {
            key: key.clone(),
            record: Arc::new(fresh.written_by(&self.settings().node, now)),
        };
        let shared = &self.inner.shared;
        let creating = shared
            .batcher
            .commit_within(create, shared.patience_since(since));
        creating.await?;
        // Which of several nodes made it, the mark says: they all go on with the same id.
        let patience = self.inner.shared.patience_since(since);
        let ReadOutcome::Found(mark) = self.read(&key, None, patience).await? else {
            return Ok(None);
        };
        let next = mark.successor().map(|bytes| id.successor(bytes));
        if mark.deadline >= Some(now.plus(self.settings().renewal_grace / 2)) {
            return Ok(next);
        }
        // It was left by a node that got no further.
        let expected = mark.version;
        let later = SessionRecord {
            deadline: Some(deadline),
            ..*mark
        };
        let update = Commit::Update {
            key,
            expected,
            record: Arc::new(later.written_by(&self.settings().node, now)),
        };
        let updating = shared
            .batcher
            .commit_within(update, shared.patience_since(since));
        let outcome = updating.await?;
        Ok(next.filter(|_| outcome == CommitOutcome::Done))
    }

    /// The session that had this id until a moment ago.
    pub(crate) async fn follow(
        &self,
        id: &SessionId,
    ) -> Result<Option<(Arc<Cached>, Trust)>, SessionError> {
        if self.settings().renewal_timeout.is_none() {
            return Ok(None);
        }
        let patience = self.inner.shared.patience();
        let mut id = id.clone();
        for _ in 0..HOP_LIMIT {
            let now = self.inner.shared.clock.now();
            let next = match self.read(&self.mark_key(&id), None, patience).await? {
                ReadOutcome::Found(mark) if !mark.is_expired(now) => {
                    mark.successor().map(|bytes| id.successor(bytes))
                }
                _ => None,
            };
            let Some(next) = next else {
                return Ok(None);
            };
            if let Some(found) = self.look_up(&next).await? {
                return Ok(Some(found));
            }
            id = next;
        }
        Ok(None)
    }

    fn mark_key(&self, id: &SessionId) -> SessionKey {
        SessionKey {
            context: MARK_CONTEXT.into(),
            ..self.key(id)
        }
    }
}
