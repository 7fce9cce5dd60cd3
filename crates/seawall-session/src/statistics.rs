//! What a manager counts.

use std::iter::Sum;

use seawall_store::statistics::Counter;

use crate::manager::SessionManager;

/// What a [`SessionManager`] counts while it works; each once for a request, or more rarely.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) created: Counter,
    pub(crate) invalidated: Counter,
    pub(crate) rotated: Counter,
    pub(crate) repeated: Counter,
    pub(crate) unverified: Counter,
    pub(crate) unreadable: Counter,
}

/// What a [`SessionManager`] held, and had done, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionStatistics {
    /// Sessions of which this node holds a copy.
    pub cached_sessions: u64,
    /// What those take of [`cache_bytes`](crate::SessionSettings::cache_bytes).
    pub cache_bytes: u64,
    /// Requests that found a copy of their session.
    pub cache_hits: u64,
    /// Requests whose session had to be looked for in the store.
    pub cache_misses: u64,
    /// Copies that had to make room for others.
    pub cache_evictions: u64,
    /// Sessions that came into being here.
    pub created: u64,
    /// Sessions that were ended here.
    pub invalidated: u64,
    /// Sessions that got a new id here.
    pub rotated: u64,
    /// How often a request's work was done again, because its copy was not current.
    pub repeated: u64,
    /// Requests that were answered from a copy because the store was away.
    pub unverified: u64,
    /// Sessions that were found in the store and could not be read.
    pub unreadable: u64,
}

impl Sum for SessionStatistics {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            cached_sessions: sum.cached_sessions + one.cached_sessions,
            cache_bytes: sum.cache_bytes + one.cache_bytes,
            cache_hits: sum.cache_hits + one.cache_hits,
            cache_misses: sum.cache_misses + one.cache_misses,
            cache_evictions: sum.cache_evictions + one.cache_evictions,
            created: sum.created + one.created,
            invalidated: sum.invalidated + one.invalidated,
            rotated: sum.rotated + one.rotated,
            repeated: sum.repeated + one.repeated,
            unverified: sum.unverified + one.unverified,
            unreadable: sum.unreadable + one.unreadable,
        })
    }
}

impl SessionManager {
    /// What this node holds, and has done so far.
    #[must_use]
    pub fn statistics(&self) -> SessionStatistics {
        let (cache, counters) = (&self.inner.cache, &self.inner.counters);
        SessionStatistics {
            cached_sessions: cache.len() as u64,
            cache_bytes: cache.weight_of_all(),
            cache_hits: counters.hits.total(),
            cache_misses: counters.misses.total(),
            cache_evictions: cache.evictions(),
            created: counters.created.total(),
            invalidated: counters.invalidated.total(),
            rotated: counters.rotated.total(),
            repeated: counters.repeated.total(),
            unverified: counters.unverified.total(),
            unreadable: counters.unreadable.total(),
        }
    }
}
