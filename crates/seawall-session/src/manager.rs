//! The session manager: finds, creates, commits, rotates and ends the sessions of one application.

use std::{convert::Infallible, sync::Arc, time::Duration};

use http::HeaderValue;
use quick_cache::sync::Cache;
use seawall_store::{
    Attributes, Batcher, Clock, Commit, CommitOutcome, Read, ReadOutcome, SessionKey,
    SessionRecord, Timestamp, Version,
};
use tokio::sync::oneshot;

use crate::{
    cached::{Cached, Condition, Shared, Verdict},
    cookie::Presented,
    draft::{Draft, Intent},
    error::SessionError,
    id::SessionId,
    settings::{Consistency, SessionSettings},
    touch::PendingTouch,
};

/// The sessions of one application on one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SessionManager {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    settings: SessionSettings,
    context: Arc<str>,
    cache: Cache<SessionKey, Arc<Cached>>,
}

/// The answer of a [`visit`](SessionManager::visit).
#[derive(Debug)]
pub struct Visited<R> {
    /// What the work gave.
    pub value: R,
    /// The `Set-Cookie` header that the response must carry, if any.
    pub cookie: Option<HeaderValue>,
}

/// What became of the session itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Ended,
    Kept,
}

/// Whether a copy was read from the store for this very request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It was, or it need not be.
    Trusted,
    /// It may be older than what the store has.
    Unverified,
}

/// A session that a request found, and how far its copy is to be trusted.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) cached: Arc<Cached>,
    pub(crate) trust: Trust,
    /// Whether the client's cookie names this node.
    pub(crate) suffix_is_ours: bool,
}

impl SessionManager {
    /// A manager over the store behind `batcher`.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub fn new(
        batcher: Batcher,
        clock: Arc<dyn Clock>,
        settings: SessionSettings,
    ) -> Result<Self, String> {
        settings.validate()?;
        let shared = Shared {
            batcher,
            clock,
            node: settings.node.clone(),
        };
        let inner = Inner {
            shared: Arc::new(shared),
            context: settings.stored_context(),
            cache: Cache::new(settings.cache_capacity),
            settings,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// How these sessions behave.
    #[must_use]
    pub fn settings(&self) -> &SessionSettings {
        &self.inner.settings
    }

    /// How many sessions this node holds copies of.
    #[must_use]
    pub fn cached_sessions(&self) -> usize {
        self.inner.cache.len()
    }

    /// Does `work` on the session that the client presents, or on a new one, commits what it
    /// changed, and then answers.
    ///
    /// `work` must be pure: it is done again on the reloaded session when another node wrote in
    /// between. A new session comes into being when `work` changes it or looks at its id.
    ///
    /// # Errors
    /// [`SessionError::Store`] when the store does not answer; nothing is committed then, or the
    /// outcome is unknown.
    pub async fn visit<R>(
        &self,
        presented: &[Presented],
        mut work: impl FnMut(&mut Draft<'_>) -> R,
    ) -> Result<Visited<R>, SessionError> {
        if let Some(found) = self.find(presented).await?
            && let Some((value, fate, cached)) = self.work(found.clone(), &mut work).await?
        {
            let reissue = !found.suffix_is_ours || !Arc::ptr_eq(&cached, &found.cached);
            return Ok(Visited {
                value,
                cookie: self.cookie_after(fate, reissue, &cached.id),
            });
        }
        let (value, created) = self.create(&mut work).await?;
        Ok(Visited {
            value,
            cookie: created.map(|cached| self.issue(&cached.id)),
        })
    }

    fn cookie_after(&self, fate: Fate, reissue: bool, id: &SessionId) -> Option<HeaderValue> {
        match fate {
            Fate::Ended => Some(self.settings().cookie.expire()),
            Fate::Kept => reissue.then(|| self.issue(id)),
        }
    }

    pub(crate) fn issue(&self, id: &SessionId) -> HeaderValue {
        self.settings().cookie.issue(id, &self.settings().node)
    }

    /// The first of the presented sessions that exists.
    pub(crate) async fn find(
        &self,
        presented: &[Presented],
    ) -> Result<Option<Found>, SessionError> {
        for Presented { id, node } in presented {
            let suffix_is_ours = node.as_ref() == Some(&self.settings().node);
            let key = self.key(id);
            if let Some(cached) = self.inner.cache.get(&key) {
                return Ok(Some(Found {
                    cached,
                    trust: Trust::Unverified,
                    suffix_is_ours,
                }));
            }
            if let Some((cached, trust)) = self.load(key, id).await? {
                return Ok(Some(Found {
                    cached,
                    trust,
                    suffix_is_ours,
                }));
            }
        }
        Ok(None)
    }

    fn key(&self, id: &SessionId) -> SessionKey {
        SessionKey {
            id: id.stored(),
            context: self.inner.context.clone(),
            virtual_host: self.settings().virtual_host.clone(),
        }
    }

    async fn load(
        &self,
        key: SessionKey,
        id: &SessionId,
    ) -> Result<Option<(Arc<Cached>, Trust)>, SessionError> {
        match self.read(&key, None).await? {
            ReadOutcome::Found(record) if !record.is_expired(self.inner.shared.clock.now()) => {
                let shared = self.inner.shared.clone();
                let loaded = Cached::loaded(shared, key.clone(), id.clone(), *record);
                Ok(Some(self.keep(&loaded)))
            }
            ReadOutcome::Unreadable(reason) => {
                tracing::warn!(session = ?key, %reason, "session unreadable; it is left as it is");
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Puts a loaded copy into the cache. Of requests that load at the same time, all use the
    /// copy of the first; it may be older than what the others read.
    fn keep(&self, loaded: &Arc<Cached>) -> (Arc<Cached>, Trust) {
        let fresh = loaded.clone();
        let kept = self
            .inner
            .cache
            .get_or_insert_with(&loaded.key, || Ok::<_, Infallible>(fresh));
        let Ok(kept) = kept;
        let trust = if Arc::ptr_eq(&kept, loaded) {
            Trust::Trusted
        } else {
            Trust::Unverified
        };
        (kept, trust)
    }

    async fn read(
        &self,
        key: &SessionKey,
        known: Option<Version>,
    ) -> Result<ReadOutcome, SessionError> {
        let read = Read {
            key: key.clone(),
            known,
        };
        Ok(self.inner.shared.batcher.read(read).await?)
    }

    /// Does `work` on an existing session until it is committed. `None` when the session ended.
    pub(crate) async fn work<R>(
        &self,
        found: Found,
        work: &mut impl FnMut(&mut Draft<'_>) -> R,
    ) -> Result<Option<(R, Fate, Arc<Cached>)>, SessionError> {
        let Found {
            mut cached,
            mut trust,
            suffix_is_ours,
        } = found;
        for _ in 0..self.settings().attempt_limit {
            match self.attempt(&cached, trust, suffix_is_ours, work).await? {
                Attempt::Answered(value, fate) => return Ok(Some((value, fate, cached))),
                Attempt::Again => trust = Trust::Unverified,
                Attempt::Stale => {
                    if !self.reload(&cached).await? {
                        return Ok(None);
                    }
                    trust = Trust::Trusted;
                }
                Attempt::Gone(Some(successor)) => cached = successor,
                Attempt::Gone(None) => {
                    self.forget(&cached);
                    return Ok(None);
                }
            }
        }
        Err(SessionError::Contended {
            attempts: self.settings().attempt_limit,
        })
    }

    async fn attempt<R>(
        &self,
        cached: &Arc<Cached>,
        trust: Trust,
        suffix_is_ours: bool,
        work: &mut impl FnMut(&mut Draft<'_>) -> R,
    ) -> Result<Attempt<R>, SessionError> {
        let now = self.inner.shared.clock.now();
        let (value, next) = {
            let mut state = cached.lock();
            match state.condition() {
                Condition::Good => {}
                Condition::Stale => return Ok(Attempt::Stale),
                Condition::Gone { successor } => return Ok(Attempt::Gone(successor.clone())),
            }
            if state.expires_at().is_some_and(|expiry| expiry <= now) {
                let known_to_be = trust == Trust::Trusted && state.is_settled();
                return Ok(if known_to_be {
                    Attempt::Gone(None)
                } else {
                    Attempt::Stale
                });
            }
            let mut draft = Draft::existing(&cached.id, state.tip().clone());
            let value = work(&mut draft);
            let next = match draft.intent() {
                Intent::Invalidate => Next::Invalidate,
                Intent::Commit => {
                    let record = self.accessed(draft.into_record(), now);
                    Next::Commit(cached.change(&mut state, record))
                }
                Intent::Keep if state.is_settled() => Next::Validate {
                    epoch: state.epoch(),
                    version: state.committed_version(),
                    needed: trust == Trust::Unverified
                        && !self.is_trusted(state.validated_at().elapsed(), suffix_is_ours),
                },
                // What the request saw is not committed yet.
                Intent::Keep => Next::WaitThenLookAgain(state.wait_for_tip()),
            };
            (value, next)
        };
        self.finish(cached, value, next).await
    }

    async fn finish<R>(
        &self,
        cached: &Arc<Cached>,
        value: R,
        next: Next,
    ) -> Result<Attempt<R>, SessionError> {
        Ok(match next {
            Next::Invalidate => {
                self.invalidate(cached).await?;
                Attempt::Answered(value, Fate::Ended)
            }
            Next::Commit(verdict) => match verdict.await {
                Ok(Verdict::Committed) => Attempt::Answered(value, Fate::Kept),
                verdict => Attempt::after(verdict)?,
            },
            Next::WaitThenLookAgain(verdict) => match verdict.await {
                Ok(Verdict::Committed) => Attempt::Again,
                verdict => Attempt::after(verdict)?,
            },
            Next::Validate { needed: false, .. } => {
                self.touch(cached);
                Attempt::Answered(value, Fate::Kept)
            }
            Next::Validate { epoch, version, .. } => {
                match self.validate(cached, epoch, version).await? {
                    Validity::Current => {
                        self.touch(cached);
                        Attempt::Answered(value, Fate::Kept)
                    }
                    Validity::Ended => Attempt::Gone(None),
                    Validity::Outdated => Attempt::Again,
                }
            }
        })
    }

    /// Whether what a request saw of a session is still what the store has.
    async fn validate(
        &self,
        cached: &Arc<Cached>,
        epoch: u64,
        version: Option<Version>,
    ) -> Result<Validity, SessionError> {
        let outcome = self.read(&cached.key, version).await?;
        let mut state = cached.lock();
        Ok(match outcome {
            ReadOutcome::Current { last_access } => {
                state.confirm(last_access);
                Validity::Current
            }
            // Only commits of this node came in between, and they built on what the request saw:
            // it was current when the first of them was made, after the request began.
            ReadOutcome::Found(record)
                if state.epoch() == epoch && state.is_own(record.version) =>
            {
                Validity::Current
            }
            ReadOutcome::Found(record) => {
                state.replace(*record);
                Validity::Outdated
            }
            ReadOutcome::Missing | ReadOutcome::Unreadable(_) => {
                state.end(None);
                Validity::Ended
            }
        })
    }

    /// Takes over what the store has. False when the session has ended.
    async fn reload(&self, cached: &Arc<Cached>) -> Result<bool, SessionError> {
        let outcome = self.read(&cached.key, None).await?;
        let now = self.inner.shared.clock.now();
        let mut state = cached.lock();
        match outcome {
            ReadOutcome::Found(record) if !record.is_expired(now) => {
                state.replace(*record);
                Ok(true)
            }
            _ => {
                state.end(None);
                drop(state);
                self.forget(cached);
                Ok(false)
            }
        }
    }

    /// Does `work` on a new session, which comes into being if `work` wants it to.
    pub(crate) async fn create<R>(
        &self,
        work: &mut impl FnMut(&mut Draft<'_>) -> R,
    ) -> Result<(R, Option<Arc<Cached>>), SessionError> {
        let id = SessionId::generate();
        let now = self.inner.shared.clock.now();
        let mut draft = Draft::new(&id, Arc::new(self.blank_record()));
        let value = work(&mut draft);
        if draft.intent() != Intent::Commit {
            return Ok((value, None));
        }
        let record = self.accessed(draft.into_record(), now);
        let shared = self.inner.shared.clone();
        let cached = Cached::unborn(shared, self.key(&id), id, record.clone());
        let verdict = cached.change(&mut cached.lock(), record);
        match verdict.await {
            Ok(Verdict::Committed) => {
                self.inner.cache.insert(cached.key.clone(), cached.clone());
                Ok((value, Some(cached)))
            }
            Ok(Verdict::Failed(error)) => Err(error.into()),
            _ => Err(SessionError::Ended),
        }
    }

    pub(crate) fn blank_record(&self) -> SessionRecord {
        let now = self.inner.shared.clock.now();
        let settings = self.settings();
        SessionRecord {
            version: Version::default(),
            created_at: now,
            last_access: now,
            idle_timeout: settings.idle_timeout,
            expiry_slack: settings.touch_interval(settings.idle_timeout),
            deadline: settings.absolute_timeout.map(|timeout| now.plus(timeout)),
            principal: None,
            last_node: settings.node.clone(),
            attributes: Attributes::new(),
        }
    }

    /// The record with this access in it.
    fn accessed(&self, mut record: Arc<SessionRecord>, now: Timestamp) -> Arc<SessionRecord> {
        let changed = Arc::make_mut(&mut record);
        changed.last_access = changed.last_access.max(now);
        changed.expiry_slack = self.settings().touch_interval(changed.idle_timeout);
        record
    }

    /// Ends a session on every node. Once this answers, no node accepts the id (P4).
    pub(crate) async fn invalidate(&self, cached: &Arc<Cached>) -> Result<(), SessionError> {
        let delete = Commit::Delete {
            key: cached.key.clone(),
        };
        self.inner.shared.batcher.commit(delete).await?;
        cached.end(None);
        self.forget(cached);
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
            match self.rename(&cached.key, &rotation.record).await? {
                (CommitOutcome::Done, successor) => {
                    self.inner
                        .cache
                        .insert(successor.key.clone(), successor.clone());
                    cached.end(Some(successor.clone()));
                    self.forget(&cached);
                    return Ok(Some(successor));
                }
                (CommitOutcome::Missing, _) => {
                    cached.end(None);
                    self.forget(&cached);
                    return Ok(None);
                }
                // Another node wrote in between: look again.
                _ => {}
            }
        }
        Err(SessionError::Contended {
            attempts: self.settings().attempt_limit,
        })
    }

    async fn rename(
        &self,
        key: &SessionKey,
        record: &Arc<SessionRecord>,
    ) -> Result<(CommitOutcome, Arc<Cached>), SessionError> {
        let id = SessionId::generate();
        let mut renamed = (**record).clone();
        renamed.version = record.version.next(self.inner.shared.clock.now());
        renamed.last_node = self.settings().node.clone();
        let commit = Commit::Rename {
            key: key.clone(),
            new_id: id.stored(),
            expected: record.version,
            record: Arc::new(renamed.clone()),
        };
        let outcome = self.inner.shared.batcher.commit(commit).await?;
        let shared = self.inner.shared.clone();
        Ok((outcome, Cached::loaded(shared, self.key(&id), id, renamed)))
    }

    fn forget(&self, cached: &Arc<Cached>) {
        self.inner
            .cache
            .remove_if(&cached.key, |kept| Arc::ptr_eq(kept, cached));
    }

    /// Tells the store of an access, when it is time to; nobody waits for that.
    fn touch(&self, cached: &Arc<Cached>) {
        let now = self.inner.shared.clock.now();
        let mut state = cached.lock();
        let interval = self.settings().touch_interval(state.tip().idle_timeout);
        let before = state.last_access();
        if let Some(last_access) = state.access(now, interval) {
            drop(state);
            let touch = PendingTouch::new(cached.clone(), last_access, before);
            if self.inner.shared.batcher.submit(Arc::new(touch)).is_err() {
                cached.lock().access_untold(before);
            }
        }
    }

    fn is_trusted(&self, age: Duration, suffix_is_ours: bool) -> bool {
        let settings = self.settings();
        settings.consistency == Consistency::Sticky && suffix_is_ours && age < settings.sticky_trust
    }
}

/// How one attempt at a request's work ended.
enum Attempt<R> {
    Again,
    Answered(R, Fate),
    Gone(Option<Arc<Cached>>),
    Stale,
}

impl<R> Attempt<R> {
    /// The attempt after a commit that did not go through.
    fn after(verdict: Result<Verdict, oneshot::error::RecvError>) -> Result<Self, SessionError> {
        match verdict {
            Ok(Verdict::Committed | Verdict::Retry) | Err(_) => Ok(Self::Again),
            Ok(Verdict::Failed(error)) => Err(error.into()),
            Ok(Verdict::Gone) => Ok(Self::Gone(None)),
        }
    }
}

/// What is left to do after a request's work on its draft.
enum Next {
    Commit(oneshot::Receiver<Verdict>),
    Invalidate,
    Validate {
        epoch: u64,
        version: Option<Version>,
        needed: bool,
    },
    WaitThenLookAgain(oneshot::Receiver<Verdict>),
}

enum Validity {
    Current,
    Ended,
    Outdated,
}
