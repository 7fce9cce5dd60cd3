//! Watching sessions: who waits for the end of a session is told, whichever node ends it.
//!
//! ```text
//! notice of the store ──┐
//! end on this node ─────┼─▶ due ──look()──▶ the store: where is it now? ──▶ gone: whoever waits is told
//! time that has passed ─┘                                                └▶ moved: watched on there
//! ```
//! A notice only makes a session due to be looked for; the store decides. So notices are about speed:
//! false ones cost a lookup, and what a lost one was about is found a little later.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use seawall_store::{Lookup, Notice, Notices, SessionKey, StoreError};
use tokio::{
    sync::{Notify, SetOnce},
    task::AbortHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    cached::Cached,
    cookie::Presented,
    error::SessionError,
    manager::{Inner, SessionManager},
    settings::Consistency,
};

/// How often all watched sessions are looked for while the store sends no notices.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How often they are while it does: notices may be lost unnoticed, and of a session that expires
/// there is none until it is swept.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// The most sessions that are looked for at once.
const BATCH_LIMIT: usize = 1_000;

/// A session that is watched, for as long as a clone of this is kept.
#[derive(Debug, Clone)]
pub struct Watch {
    watched: Arc<Watched>,
    /// Keeps the task that looks.
    _manager: SessionManager,
}

impl Watch {
    /// Completes when the session has ended, on whatever node: it was invalidated, revoked, or it
    /// expired. A session that gets another id goes on.
    ///
    /// That is known at once on stores that send notices (PostgreSQL, Redis), and within about a
    /// second on others; for an expiry it takes up to ten seconds, or until the sweep. While the
    /// store is away nobody can tell, and this waits.
    pub async fn ended(&self) {
        self.watched.ended.wait().await;
    }

    fn is_of(&self, first: &SessionKey) -> bool {
        self.watched.first == *first
    }
}

/// What the clones of a watch share.
#[derive(Debug)]
struct Watched {
    first: SessionKey,
    ended: SetOnce<()>,
    watches: Weak<Watches>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(watches) = self.watches.upgrade() {
            watches.forget(&self.first);
        }
    }
}

/// All sessions that are watched on this node.
#[derive(Debug, Default)]
pub(crate) struct Watches {
    sessions: Mutex<Sessions>,
    /// Something is due.
    wake: Notify,
}

/// Sessions by their first keys, which they keep.
#[derive(Debug, Default)]
struct Sessions {
    entries: HashMap<SessionKey, Entry>,
    /// Those of them that are to be looked for.
    due: HashSet<SessionKey>,
}

#[derive(Debug)]
struct Entry {
    /// Where the session was last.
    key: SessionKey,
    watched: Weak<Watched>,
}

/// The task that looks; it ends with its manager.
#[derive(Debug)]
pub(crate) struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watches {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a session. A first look tells whether it is there still.
    fn watch(self: &Arc<Self>, first: SessionKey, key: SessionKey) -> Arc<Watched> {
        let mut sessions = self.sessions();
        let known = sessions.entries.get(&first);
        if let Some(watched) = known.and_then(|entry| entry.watched.upgrade()) {
            return watched;
        }
        let watched = Arc::new(Watched {
            first: first.clone(),
            ended: SetOnce::new(),
            watches: Arc::downgrade(self),
        });
        let entry = Entry {
            key,
            watched: Arc::downgrade(&watched),
        };
        sessions.due.insert(first.clone());
        sessions.entries.insert(first, entry);
        self.wake.notify_one();
        watched
    }

    /// Nobody waits any more; unless somebody new does.
    fn forget(&self, first: &SessionKey) {
        let mut sessions = self.sessions();
        let is_deserted = |entry: &Entry| entry.watched.strong_count() == 0;
        if sessions.entries.get(first).is_some_and(is_deserted) {
            sessions.entries.remove(first);
            sessions.due.remove(first);
        }
    }

    /// These sessions are to be looked for, of those that are watched.
    pub(crate) fn suspect(&self, suspects: &[SessionKey]) {
        let Sessions { entries, due } = &mut *self.sessions();
        let watched = suspects.iter().filter(|first| entries.contains_key(first));
        due.extend(watched.cloned());
        if !due.is_empty() {
            self.wake.notify_one();
        }
    }

    fn suspect_all(&self) {
        let Sessions { entries, due } = &mut *self.sessions();
        due.extend(entries.keys().cloned());
    }

    fn is_empty(&self) -> bool {
        self.sessions().entries.is_empty()
    }

    /// Takes up to [`BATCH_LIMIT`] sessions that are due.
    fn take_due(&self) -> Vec<Lookup> {
        let Sessions { entries, due } = &mut *self.sessions();
        due.extract_if(|_| true)
            .take(BATCH_LIMIT)
            .filter_map(|first| {
                let key = entries.get(&first)?.key.clone();
                let origin = first.id;
                Some(Lookup { key, origin })
            })
            .collect()
    }

    /// Takes note of where sessions are, and tells those who wait for one that is nowhere.
    fn located(&self, lookups: &[Lookup], located: Vec<Option<SessionKey>>) {
        let mut ended = Vec::new();
        let mut sessions = self.sessions();
        for (lookup, key) in lookups.iter().zip(located) {
            let first = first_key(lookup);
            match key {
                Some(key) => {
                    if let Some(entry) = sessions.entries.get_mut(&first) {
                        entry.key = key;
                    }
                }
                None => {
                    let entry = sessions.entries.remove(&first);
                    ended.extend(entry.and_then(|entry| entry.watched.upgrade()));
                }
            }
        }
        drop(sessions);
        for watched in ended {
            // Nobody else tells them.
            let _ = watched.ended.set(());
        }
    }
}

fn first_key(lookup: &Lookup) -> SessionKey {
    lookup.key.with_id(lookup.origin.clone())
}

impl SessionManager {
    /// Watches the session that a client presents. `None` when it has none.
    ///
    /// For a handler that holds a [`Session`](crate::Session) there is
    /// [`Session::ended`](crate::Session::ended).
    ///
    /// # Errors
    /// [`SessionError::Store`] when the store does not answer.
    pub async fn watch(&self, presented: &[Presented]) -> Result<Option<Watch>, SessionError> {
        let found = self.find(presented, None).await?;
        Ok(found.map(|found| self.watch_cached(&found.cached, None)))
    }

    /// Watches a session of which this node has a copy. `known` is taken if it is a watch of it.
    pub(crate) fn watch_cached(&self, cached: &Cached, known: Option<Watch>) -> Watch {
        let first = first_key(&cached.lookup());
        if let Some(known) = known.filter(|known| known.is_of(&first)) {
            return known;
        }
        self.start_looking();
        Watch {
            watched: self.inner.watches.watch(first, cached.key.clone()),
            _manager: self.clone(),
        }
    }

    /// Starts the task that looks, if something needs it from the start: copies that are trusted
    /// are distrusted when a notice comes.
    pub(crate) fn listen_if_sticky(&self) {
        if self.is_sticky() {
            self.start_looking();
        }
    }

    fn is_sticky(&self) -> bool {
        self.settings().consistency == Consistency::Sticky
    }

    /// Lets nobody trust the copies that a notice is about.
    fn distrust(&self, notice: &Notice) {
        let cache = &self.inner.cache;
        match notice {
            Notice::Missed => cache.all().for_each(|cached| cached.lock().distrust()),
            Notice::Changed(sessions) => {
                let copies = sessions.iter().filter_map(|session| cache.peek(session));
                copies.for_each(|cached| cached.lock().distrust());
            }
        }
    }

    fn start_looking(&self) {
        self.inner.looking.get_or_init(|| {
            let looker = Looker {
                watches: self.inner.watches.clone(),
                manager: Arc::downgrade(&self.inner),
            };
            let runtime = self.inner.shared.batcher.runtime();
            Task(runtime.spawn(looker.run()).abort_handle())
        });
    }
}

/// What the task works with. It does not keep its manager.
struct Looker {
    watches: Arc<Watches>,
    manager: Weak<Inner>,
}

impl Looker {
    async fn run(self) {
        let Some(store) = self.manager.upgrade().map(|inner| inner.shared.clone()) else {
            return;
        };
        let mut notices = store.batcher.store().notices();
        drop(store);
        let mut looked_at = Instant::now();
        loop {
            let is_live = notices.as_ref().is_some_and(Notices::is_live);
            let interval = if is_live {
                CHECK_INTERVAL
            } else {
                LOOK_INTERVAL
            };
            tokio::select! {
                notice = next(&mut notices) => self.heed(&notice),
                () = self.watches.wake.notified() => {}
                () = sleep_until(looked_at + interval), if !self.watches.is_empty() => {
                    self.watches.suspect_all();
                    looked_at = Instant::now();
                }
            }
            // Notices wait meanwhile; those for which there is no room are told as missed.
            while let Err(error) = self.look().await {
                tracing::debug!(%error, "watched sessions cannot be looked for now");
                sleep(LOOK_INTERVAL).await;
            }
        }
    }

    /// Does what a notice asks for.
    fn heed(&self, notice: &Notice) {
        match notice {
            Notice::Missed => self.watches.suspect_all(),
            Notice::Changed(sessions) => self.watches.suspect(sessions),
        }
        let manager = self.manager.upgrade().map(|inner| SessionManager {
            inner,
            compartment: None,
        });
        if let Some(manager) = manager.filter(SessionManager::is_sticky) {
            manager.distrust(notice);
        }
    }

    /// Looks for everything that is due.
    async fn look(&self) -> Result<(), StoreError> {
        loop {
            let lookups = self.watches.take_due();
            let Some(manager) = self.manager.upgrade().filter(|_| !lookups.is_empty()) else {
                return Ok(());
            };
            let shared = manager.shared.clone();
            drop(manager);
            let now = shared.clock.now();
            match shared.batcher.store().locate(&lookups, now).await {
                Ok(located) => self.watches.located(&lookups, located),
                Err(error) => {
                    let due: Vec<_> = lookups.iter().map(first_key).collect();
                    self.watches.suspect(&due);
                    return Err(error);
                }
            }
        }
    }
}

/// The next notice; never any from a store that sends none.
async fn next(notices: &mut Option<Notices>) -> Notice {
    match notices {
        Some(notices) => notices.next().await,
        None => std::future::pending().await,
    }
}
