//! `on_outage = "serve-cached"`: reading this node's copies while the store is away.
//!
//! A copy shows what was last known to be committed, and nothing that is not. It is not told to be
//! current: the answer is marked as unverified. What changes a session needs the store as always.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue};
use seawall_store::StoreError;
use tokio::time::Instant;

use crate::{
    cached::{Cached, Condition},
    draft::{Draft, Intent},
    error::SessionError,
    manager::{Fate, SessionManager},
    settings::OnOutage,
};

/// The header of a response whose session could not be checked against the store.
pub const UNVERIFIED_HEADER: HeaderName = HeaderName::from_static("seawall-session");

/// What it says.
pub const UNVERIFIED: HeaderValue = HeaderValue::from_static("unverified");

/// What [`SessionManager::work`] gives.
pub(crate) type Worked<R> = (R, Fate, Arc<Cached>);

impl SessionManager {
    pub(crate) fn serves_copies(&self) -> bool {
        self.settings().on_outage == OnOutage::ServeCached
    }

    /// Whether requests that only read are to be answered from copies now.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.serves_copies() && self.inner.shared.batcher.cannot_read()
    }

    /// How much longer a request waits, which has waited since then and could do with the copy that it
    /// has.
    pub(crate) fn patience_with_copy(&self, since: Instant) -> Duration {
        if self.serves_copies() {
            return Duration::ZERO;
        }
        let patience = self.inner.shared.batcher.patience();
        patience.saturating_sub(since.elapsed())
    }

    /// Whether a copy can stand in for a store that said this.
    pub(crate) fn can_do_without(&self, error: &StoreError) -> bool {
        self.serves_copies() && error.is_transient()
    }

    /// Does `work` on what was last known to be committed. `None` when that is not possible, or when
    /// `work` changes something.
    pub(crate) fn work_on_copy<R>(
        &self,
        cached: &Arc<Cached>,
        work: &mut impl FnMut(&mut Draft<'_>) -> R,
    ) -> Option<Worked<R>> {
        let mut cached = cached.clone();
        let (record, last_access) = loop {
            let successor = {
                let state = cached.lock();
                match state.condition() {
                    Condition::Gone { successor } => successor.clone()?,
                    Condition::Good | Condition::Stale => {
                        break (state.readable(self.now())?, state.last_access());
                    }
                }
            };
            cached = successor;
        };
        let limits = &self.settings().limits;
        let mut draft =
            Draft::existing(&cached.id, self.part(&record), limits).used_at(last_access);
        let value = work(&mut draft);
        if draft.intent() != Intent::Keep {
            return None;
        }
        self.inner.counters.unverified.increment();
        Some((value, Fate::Unverified, cached))
    }

    /// The answer from a copy after the store failed, or else what it said.
    pub(crate) fn without_the_store<R>(
        &self,
        error: SessionError,
        copy: Option<&Arc<Cached>>,
        work: &mut impl FnMut(&mut Draft<'_>) -> R,
    ) -> Result<Worked<R>, SessionError> {
        let answer = match &error {
            SessionError::Store(store) if self.can_do_without(store) => {
                copy.and_then(|copy| self.work_on_copy(copy, work))
            }
            _ => None,
        };
        answer.ok_or(error)
    }
}
