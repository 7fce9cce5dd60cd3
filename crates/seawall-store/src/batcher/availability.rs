//! Whether the store answers: one log line when it goes away, and one when it is back.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::store::{SessionStore, StoreError};

/// What both lanes know of the store.
#[derive(Debug, Default)]
pub(super) struct Availability {
    /// Looked at for every batch, so without a lock.
    is_away: AtomicBool,
    away_since: Mutex<Option<Instant>>,
}

impl Availability {
    /// How long the store has been away; `None` while it answers.
    pub(super) fn away_for(&self) -> Option<Duration> {
        self.since().as_ref().map(Instant::elapsed)
    }

    /// Takes note that the store did not answer.
    pub(super) fn lost(&self, store: &dyn SessionStore, error: &StoreError) {
        let mut since = self.since();
        if since.is_some() {
            return;
        }
        *since = Some(Instant::now());
        self.is_away.store(true, Ordering::Release);
        tracing::warn!(store = store.description(), %error, "the session store is away; requests wait");
    }

    /// Takes note that the store answered.
    pub(super) fn answered(&self, store: &dyn SessionStore) {
        if !self.is_away.load(Ordering::Acquire) {
            return;
        }
        if let Some(since) = self.since().take() {
            self.is_away.store(false, Ordering::Release);
            let away = since.elapsed();
            tracing::info!(
                store = store.description(),
                ?away,
                "the session store is back"
            );
        }
    }

    fn since(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.away_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
