//! The session manager: finds and creates the sessions of one application.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::HeaderValue;
use seawall_store::{
    Attributes, Batcher, Clock, Read, ReadOutcome, SessionKey, SessionRecord, Timestamp, Version,
    Writers,
};

use crate::{
    cache::{SessionCache, memory_of},
    cached::{Cached, Shared, Verdict},
    cookie::Presented,
    draft::{Draft, Intent},
    error::SessionError,
    id::SessionId,
    settings::SessionSettings,
    statistics::Counters,
    watch::{Task, Watches},
};

/// The sessions of one application on one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SessionManager {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    settings: SessionSettings,
    context: Arc<str>,
    pub(crate) cache: SessionCache,
    pub(crate) counters: Counters,
    pub(crate) watches: Arc<Watches>,
    /// Once something is watched.
    pub(crate) looking: OnceLock<Task>,
}

/// The answer of a [`visit`](SessionManager::visit).
#[derive(Debug)]
pub struct Visited<R> {
    /// What the work gave.
    pub value: R,
    /// The `Set-Cookie` header that the response must carry, if any.
    pub cookie: Option<HeaderValue>,
    /// Whether the session could not be checked because the store was away; see
    /// [`OnOutage::ServeCached`](crate::OnOutage::ServeCached).
    pub is_unverified: bool,
}

/// What became of the session itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Ended,
    Kept,
    /// It is as it was last known to be.
    Unverified,
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
            listeners: settings.listeners.clone(),
            on_outage: settings.on_outage,
        };
        let inner = Inner {
            shared: Arc::new(shared),
            context: settings.stored_context(),
            cache: SessionCache::new(&settings),
            counters: Counters::default(),
            watches: Arc::default(),
            looking: OnceLock::new(),
            settings,
        };
        let manager = Self {
            inner: Arc::new(inner),
        };
        manager.listen_if_sticky();
        Ok(manager)
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
                is_unverified: fate == Fate::Unverified,
            });
        }
        let (value, created) = self.create(&mut work).await?;
        Ok(Visited {
            value,
            cookie: created.map(|cached| self.issue(&cached.id)),
            is_unverified: false,
        })
    }

    fn cookie_after(&self, fate: Fate, reissue: bool, id: &SessionId) -> Option<HeaderValue> {
        match fate {
            Fate::Ended => Some(self.settings().cookie.expire()),
            Fate::Kept | Fate::Unverified => reissue.then(|| self.issue(id)),
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
                self.inner.counters.hits.increment();
                return Ok(Some(Found {
                    cached,
                    trust: Trust::Unverified,
                    suffix_is_ours,
                }));
            }
            self.inner.counters.misses.increment();
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

    pub(crate) fn key(&self, id: &SessionId) -> SessionKey {
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
        let patience = self.inner.shared.patience();
        match self.read(&key, None, patience).await? {
            ReadOutcome::Found(record) if !record.is_expired(self.inner.shared.clock.now()) => {
                let shared = self.inner.shared.clone();
                let loaded = Cached::loaded(shared, key.clone(), id.clone(), *record);
                Ok(Some(self.keep(&loaded)))
            }
            ReadOutcome::Unreadable(reason) => {
                self.inner.counters.unreadable.increment();
                // The store has counted it, and logged the reason when it first met it.
                tracing::debug!(session = ?key, %reason, "session unreadable; it is left as it is");
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Puts a loaded copy into the cache. Of requests that load at the same time, all use the
    /// copy of the first; it may be older than what the others read.
    fn keep(&self, loaded: &Arc<Cached>) -> (Arc<Cached>, Trust) {
        let kept = self.inner.cache.get_or_insert(loaded);
        let trust = if Arc::ptr_eq(&kept, loaded) {
            Trust::Trusted
        } else {
            Trust::Unverified
        };
        (kept, trust)
    }

    pub(crate) async fn read(
        &self,
        key: &SessionKey,
        known: Option<Version>,
        patience: Duration,
    ) -> Result<ReadOutcome, SessionError> {
        let read = Read {
            key: key.clone(),
            known,
        };
        let reading = self.inner.shared.batcher.read_within(read, patience);
        Ok(reading.await?)
    }

    /// Does `work` on a new session, which comes into being if `work` wants it to.
    pub(crate) async fn create<R>(
        &self,
        work: &mut impl FnMut(&mut Draft<'_>) -> R,
    ) -> Result<(R, Option<Arc<Cached>>), SessionError> {
        let id = SessionId::generate();
        let now = self.inner.shared.clock.now();
        let mut draft = Draft::new(&id, Arc::new(self.blank_record()), &self.settings().limits);
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
                self.inner.cache.insert(&cached);
                self.inner.counters.created.increment();
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
            origin: None,
            last_node: settings.node.clone(),
            writers: Writers::new(),
            attributes: Attributes::new(),
            notes: Attributes::new(),
        }
    }

    /// The record with this access in it.
    pub(crate) fn accessed(
        &self,
        mut record: Arc<SessionRecord>,
        now: Timestamp,
    ) -> Arc<SessionRecord> {
        let changed = Arc::make_mut(&mut record);
        changed.last_access = changed.last_access.max(now);
        changed.expiry_slack = self.settings().touch_interval(changed.idle_timeout);
        record
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.inner.shared.clock.now()
    }

    /// Takes note of how large a copy is now.
    pub(crate) fn reweigh(&self, cached: &Arc<Cached>) {
        let record = cached.lock().tip().clone();
        self.inner.cache.reweigh(cached, memory_of(&record));
    }

    pub(crate) fn forget(&self, cached: &Arc<Cached>) {
        self.inner.cache.remove(cached);
    }
}
