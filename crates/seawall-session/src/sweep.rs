//! The sweep: deleting sessions that have expired, those of dead nodes too.

use std::{sync::Arc, time::Duration};

use seawall_store::{Clock, Expired, SessionStore, StoreError};
use tokio::{task::AbortHandle, time};

use crate::events::{Listeners, SessionEvent};

/// The most sessions that one statement claims.
const BATCH_LIMIT: usize = 500;

/// Sweeps at an interval until it is dropped.
///
/// Every node runs one. The store gives each expired session to one of them only, so each expiry
/// is seen once in the whole cluster (P5).
#[derive(Debug)]
pub struct Sweeper {
    task: AbortHandle,
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
        let task = tokio::spawn(async move {
            loop {
                time::sleep(interval).await;
                match sweep(&*store, &*clock, &listeners).await {
                    Ok(0) => {}
                    Ok(sessions) => tracing::info!(sessions, "expired sessions deleted"),
                    Err(error) => tracing::debug!(%error, "no sweep this time"),
                }
            }
        });
        Self {
            task: task.abort_handle(),
        }
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Deletes all sessions that have expired, in bounded batches, tells the listeners of each, and says
/// how many they were.
///
/// # Errors
/// [`StoreError`] when the store does not answer; what was deleted until then stays deleted.
pub async fn sweep(
    store: &dyn SessionStore,
    clock: &dyn Clock,
    listeners: &Listeners,
) -> Result<u64, StoreError> {
    let mut total = 0;
    loop {
        let claimed = store.claim_expired(clock.now(), BATCH_LIMIT).await?;
        for Expired { key, record } in &claimed {
            let record = record.as_ref();
            listeners.tell(key, &SessionEvent::Expired { record });
        }
        total += claimed.len() as u64;
        if claimed.len() < BATCH_LIMIT {
            return Ok(total);
        }
    }
}
