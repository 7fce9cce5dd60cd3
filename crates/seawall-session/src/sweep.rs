//! The sweep: deleting sessions that have expired, those of dead nodes too.

use std::{sync::Arc, time::Duration};

use seawall_store::{Clock, Expired, SessionStore, StoreError, statistics::Counter};
use tokio::{
    task::AbortHandle,
    time::{self, Instant},
};

use crate::{
    events::{Listeners, SessionEvent},
    manager::SessionManager,
    renewal::MARK_CONTEXT,
};

/// The most sessions that one statement claims: a request may have to wait for it.
const BATCH_LIMIT: usize = 200;

/// After a batch a sweep rests for this many times as long as the batch took.
///
/// Gently, batches take no more than a hundredth of the time, so 99 % of all requests meet none of
/// them, in a fast store and in a slow one. A quick one leaves most of the time to requests.
const GENTLE_REST: u32 = 99;
const QUICK_REST: u32 = 3;

/// No rest is longer: one batch that met an outage must not hold up the sweep.
const REST_LIMIT: Duration = Duration::from_secs(5);

/// A gentle sweep that goes on for longer does not keep up with the sessions that expire: it
/// becomes a quick one.
const GENTLE_LIMIT: Duration = Duration::from_secs(600);

/// Sweeps at an interval until it is dropped.
///
/// Every node runs one. The store gives each expired session to one of them only, so each expiry
/// is seen once in the whole cluster (P5).
#[derive(Debug)]
pub struct Sweeper {
    task: AbortHandle,
    expired: Arc<Counter>,
}

impl Sweeper {
    /// Starts to sweep on the current tokio runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn spawn(
        store: Arc<dyn SessionStore>,
        clock: Arc<dyn Clock>,
        interval: Duration,
        listeners: Listeners,
    ) -> Self {
        let expired = Arc::new(Counter::default());
        let counter = expired.clone();
        let task = tokio::spawn(async move {
            loop {
                time::sleep(interval).await;
                match sweep_gently(&*store, &*clock, &listeners).await {
                    Ok(0) => {}
                    Ok(sessions) => {
                        counter.add(sessions);
                        tracing::info!(sessions, "expired sessions deleted");
                    }
                    Err(error) => tracing::debug!(%error, "no sweep this time"),
                }
            }
        });
        Self {
            task: task.abort_handle(),
            expired,
        }
    }

    /// How many expired sessions this sweeper has deleted.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.expired.total()
    }
}

impl SessionManager {
    /// Starts to delete expired sessions from the store, those of other nodes and applications too,
    /// every `interval` (60 s are fine) until the answer is dropped. They are dead without that, and
    /// their rows stay.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use = "it sweeps until it is dropped"]
    pub fn sweep_every(&self, interval: Duration) -> Sweeper {
        let shared = &self.inner.shared;
        let listeners = shared.listeners.clone();
        Sweeper::spawn(
            shared.batcher.store().clone(),
            shared.clock.clone(),
            interval,
            listeners,
        )
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Deletes all sessions that have expired, in bounded batches, tells the listeners of each, and says
/// how many they were. Requests notice it; [`sweep_gently`] takes its time.
///
/// # Errors
/// [`StoreError`] when the store does not answer; what was deleted until then stays deleted.
pub async fn sweep(
    store: &dyn SessionStore,
    clock: &dyn Clock,
    listeners: &Listeners,
) -> Result<u64, StoreError> {
    sweep_with(store, clock, listeners, |_| QUICK_REST).await
}

/// Does the same beside requests, so that nearly none of them notices: it may take minutes.
///
/// # Errors
/// [`StoreError`] when the store does not answer; what was deleted until then stays deleted.
pub async fn sweep_gently(
    store: &dyn SessionStore,
    clock: &dyn Clock,
    listeners: &Listeners,
) -> Result<u64, StoreError> {
    sweep_with(store, clock, listeners, gentle_rest).await
}

/// For how many times a batch's time a gentle sweep rests that has been going on for so long.
fn gentle_rest(sweeping: Duration) -> u32 {
    if sweeping < GENTLE_LIMIT {
        GENTLE_REST
    } else {
        QUICK_REST
    }
}

async fn sweep_with(
    store: &dyn SessionStore,
    clock: &dyn Clock,
    listeners: &Listeners,
    rest: impl Fn(Duration) -> u32,
) -> Result<u64, StoreError> {
    let (started, mut total) = (Instant::now(), 0);
    loop {
        let asked = Instant::now();
        let claimed = store.claim_expired(clock.now(), BATCH_LIMIT).await?;
        let took = asked.elapsed();
        // A mark is no session: see renewal.rs.
        let sessions = || claimed.iter().filter(|e| *e.key.context != *MARK_CONTEXT);
        for Expired { key, record } in sessions() {
            let record = record.as_ref();
            listeners.tell(key, &SessionEvent::Expired { record });
        }
        total += sessions().count() as u64;
        if claimed.len() < BATCH_LIMIT {
            return Ok(total);
        }
        let rest = took.saturating_mul(rest(started.elapsed()));
        time::sleep(rest.min(REST_LIMIT)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gentle_sweep_leaves_99_of_100_requests_alone_until_it_does_not_keep_up() {
        let batch = Duration::from_millis(5);
        let share = |rest: u32| batch.as_secs_f64() / (batch + batch * rest).as_secs_f64();
        assert!(share(gentle_rest(Duration::ZERO)) <= 0.01);
        assert!(share(gentle_rest(GENTLE_LIMIT)) > 0.1);
    }
}
