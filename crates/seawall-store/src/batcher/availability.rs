//! Whether the store answers: one log line when it goes away, and one when it is back.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::LaneKind;
use crate::{
    statistics::Counter,
    store::{SessionStore, StoreError},
};

/// What both lanes know of the store.
#[derive(Debug, Default)]
pub(super) struct Availability {
    /// For which lanes it is away, a bit each: a standby answers reads and takes no commits. Looked
    /// at for every batch, so without a lock.
    away: AtomicU8,
    away_since: Mutex<Option<Instant>>,
    pub(super) outages: Counter,
    /// Held by the lane that tries whether the store is back: one try at a time.
    pub(super) probing: tokio::sync::Mutex<()>,
}

impl Availability {
    /// How long the store has been away; `None` while it answers.
    pub(super) fn away_for(&self) -> Option<Duration> {
        if self.away.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.since().as_ref().map(Instant::elapsed)
    }

    pub(super) fn is_away_for(&self, lane: LaneKind) -> bool {
        self.away.load(Ordering::Acquire) & bit(lane) != 0
    }

    /// Takes note that the store did not answer.
    pub(super) fn lost(&self, lane: LaneKind, store: &dyn SessionStore, error: &StoreError) {
        let mut since = self.since();
        self.away.fetch_or(bit(lane), Ordering::AcqRel);
        if since.is_some() {
            return;
        }
        *since = Some(Instant::now());
        self.outages.increment();
        tracing::warn!(store = store.description(), %error, "the session store is away; requests wait");
    }

    /// Takes note that the store answered.
    pub(super) fn answered(&self, lane: LaneKind, store: &dyn SessionStore) {
        if !self.is_away_for(lane) {
            return;
        }
        let mut since = self.since();
        if self.away.fetch_and(!bit(lane), Ordering::AcqRel) != bit(lane) {
            return;
        }
        if let Some(since) = since.take() {
            let away = since.elapsed();
            tracing::info!(
                store = store.description(),
                ?away,
                "the session store is back"
            );
        }
    }

    fn since(&self) -> MutexGuard<'_, Option<Instant>> {
        self.away_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn bit(lane: LaneKind) -> u8 {
    match lane {
        LaneKind::Reads => 1,
        LaneKind::Commits => 2,
    }
}
