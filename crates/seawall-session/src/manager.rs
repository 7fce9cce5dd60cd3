//! The session manager: finds and creates the sessions of one application.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::HeaderValue;
use seawall_store::{
    Attributes, Batcher, Clock, Device, Read, ReadOutcome, SessionKey, SessionRecord, Timestamp,
    Version, Writers,
};
use tokio::time::Instant;

use crate::{
    cache::{SessionCache, memory_of},
    cached::{Cached, Shared, Verdict},
    compartment::Compartment,
    cookie::Presented,
    draft::{Draft, Intent},
    error::SessionError,
    id::SessionId,
    settings::{SessionSettings, SettingsError},
    statistics::Counters,
    watch::{Task, Watches},
};

/// The sessions of one application on one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SessionManager {
    pub(crate) inner: Arc<Inner>,
    /// The application's part of the sessions, when it shares them with others.
    pub(crate) compartment: Option<Compartment>,
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
    /// Whether the client's cookie is right: it names this node, and the id that the session has.
    pub(crate) suffix_is_ours: bool,
    /// Who the client is, when that is to be noted.
    pub(crate) device: Option<Arc<Device>>,
}

impl Found {
    /// Whether the request went on with another copy: the session has another id now.
    pub(crate) fn is_not(&self, cached: &Arc<Cached>) -> bool {
        !Arc::ptr_eq(&self.cached, cached)
    }
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
    ) -> Result<Self, SettingsError> {
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
            context: settings.key_context(),
            cache: SessionCache::new(&settings),
            counters: Counters::default(),
            watches: Arc::default(),
            looking: OnceLock::new(),
            settings,
        };
        let settings = &inner.settings;
        let is_shared = settings.shared_id;
        let manager = Self {
            compartment: is_shared.then(|| Compartment::new(&settings.stored_context())),
            inner: Arc::new(inner),
        };
        manager.listen_if_sticky();
        Ok(manager)
    }

    /// The sessions of another application that shares the ids of this one
    /// ([`SessionSettings::shared_id`]), and this node's copies of them. All have the settings of the
    /// first one, its context path too.
    ///
    /// # Errors
    /// What is wrong, when they are not shared or the path is too long.
    pub fn application(&self, context_path: &str) -> Result<Self, SettingsError> {
        let settings = SessionSettings {
            context_path: context_path.into(),
            ..self.settings().clone()
        };
        settings.validate()?;
        if !settings.shared_id {
            return Err(SettingsError::NotShared);
        }
        Ok(Self {
            inner: self.inner.clone(),
            compartment: Some(Compartment::new(&settings.stored_context())),
        })
    }

    /// Whether `other` is a clone of this manager.
    pub(crate) fn is_clone_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner) && self.compartment == other.compartment
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
        work: impl FnMut(&mut Draft<'_>) -> R,
    ) -> Result<Visited<R>, SessionError> {
        self.visit_from(None, presented, work).await
    }

    /// As [`visit`](Self::visit), by a client that is known: what is known is noted in the session
    /// if [`SessionSettings::device_notes`] says so.
    ///
    /// # Errors
    /// As [`visit`](Self::visit).
    pub async fn visit_from<R>(
        &self,
        device: Option<Device>,
        presented: &[Presented],
        mut work: impl FnMut(&mut Draft<'_>) -> R,
    ) -> Result<Visited<R>, SessionError> {
        let device = self.noted(device);
        if let Some(found) = self.find(presented, device.as_ref()).await?
            && let Some((value, fate, cached)) = self.work(found.clone(), &mut work).await?
        {
            let reissue = self.must_reissue(&found, &cached);
            return Ok(Visited {
                value,
                cookie: self.cookie_after(fate, reissue, &cached).await,
                is_unverified: fate == Fate::Unverified,
            });
        }
        let (value, created) = self.create(&mut work, device.as_ref()).await?;
        Ok(Visited {
            value,
            cookie: created.map(|cached| self.issue(&cached.id)),
            is_unverified: false,
        })
    }

    async fn cookie_after(
        &self,
        fate: Fate,
        reissue: bool,
        cached: &Arc<Cached>,
    ) -> Option<HeaderValue> {
        if fate == Fate::Ended {
            return Some(self.settings().cookie.expire());
        }
        match self.renew_if_due(cached).await {
            Some(renewed) => Some(self.issue(&renewed)),
            // A login or logout meanwhile: the cookie that counts comes with its answer.
            None if cached.lock().is_gone() => None,
            None => reissue.then(|| self.issue(&cached.id)),
        }
    }

    /// The device, if devices are to be noted.
    pub(crate) fn noted(&self, device: Option<Device>) -> Option<Arc<Device>> {
        let device = device.filter(|_| self.settings().device_notes);
        device.map(Arc::new)
    }

    /// Whether the client needs a cookie again, after a request that found this and went on with
    /// `cached`.
    pub(crate) fn must_reissue(&self, found: &Found, cached: &Arc<Cached>) -> bool {
        let ages = self.settings().cookie.max_age.is_some();
        ages || !found.suffix_is_ours || found.is_not(cached)
    }

    pub(crate) fn issue(&self, id: &SessionId) -> HeaderValue {
        self.settings().cookie.issue(id, &self.settings().node)
    }

    /// The first of the presented sessions that exists.
    pub(crate) async fn find(
        &self,
        presented: &[Presented],
        device: Option<&Arc<Device>>,
    ) -> Result<Option<Found>, SessionError> {
        for Presented { id, node } in presented {
            let found = match self.look_up(id).await? {
                None => self.follow(id).await?,
                found => found,
            };
            if let Some((cached, trust)) = found {
                let suffix_is_ours = node.as_ref() == Some(&self.settings().node);
                return Ok(Some(Found {
                    suffix_is_ours: suffix_is_ours && cached.id == *id,
                    cached,
                    trust,
                    device: device.cloned(),
                }));
            }
        }
        Ok(None)
    }

    /// The session with this id, and how far the copy is to be trusted.
    pub(crate) async fn look_up(
        &self,
        id: &SessionId,
    ) -> Result<Option<(Arc<Cached>, Trust)>, SessionError> {
        let key = self.key(id);
        match self.inner.cache.get(&key) {
            Some(cached) => {
                self.inner.counters.hits.increment();
                Ok(Some((cached, Trust::Unverified)))
            }
            None => {
                self.inner.counters.misses.increment();
                self.load(key, id).await
            }
        }
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
        device: Option<&Arc<Device>>,
    ) -> Result<(R, Option<Arc<Cached>>), SessionError> {
        let id = SessionId::generate();
        let now = self.inner.shared.clock.now();
        let mut draft = Draft::new(&id, Arc::new(self.blank_record()), &self.settings().limits);
        let value = work(&mut draft);
        if draft.intent() != Intent::Commit {
            return Ok((value, None));
        }
        let record = self.whole(&Attributes::new(), draft.into_record());
        let record = self.accessed(record, now, device);
        let shared = self.inner.shared.clone();
        let cached = Cached::unborn(shared, self.key(&id), id, record.clone());
        let verdict = cached.change(&mut cached.lock(), record, Instant::now());
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
            idle_timeout: settings.idle_timeout.filter(|timeout| !timeout.is_zero()),
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

    /// What the application sees of a session.
    pub(crate) fn part(&self, whole: &Arc<SessionRecord>) -> Arc<SessionRecord> {
        match &self.compartment {
            Some(compartment) => compartment.part(whole),
            None => whole.clone(),
        }
    }

    /// A session, whose attributes were these before, with what the application made of its part.
    pub(crate) fn whole(
        &self,
        before: &Attributes,
        part: Arc<SessionRecord>,
    ) -> Arc<SessionRecord> {
        match &self.compartment {
            Some(compartment) => compartment.whole(before, part),
            None => part,
        }
    }

    /// The record with this access in it.
    pub(crate) fn accessed(
        &self,
        mut record: Arc<SessionRecord>,
        now: Timestamp,
        device: Option<&Arc<Device>>,
    ) -> Arc<SessionRecord> {
        let changed = Arc::make_mut(&mut record);
        if let Some(device) = device {
            changed.set_device(device);
        }
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
