//! Telling the store of accesses that changed nothing.

use seawall_store::{Commit, Timestamp};

use crate::{
    cached::{Condition, Verdict},
    error::SessionError,
    manager::{Found, SessionManager},
};

impl SessionManager {
    /// Notes an access. Once per touch interval the store is told, and the request waits for that:
    /// the stored expiry allows for one interval, so an access that is answered counts, even if
    /// this node or the store goes away right afterwards (P5). Where copies are served, a store that
    /// is away is not waited for; the next request tries again.
    pub(crate) async fn touch(&self, found: &Found) -> Result<(), SessionError> {
        let cached = &found.cached;
        let now = self.inner.shared.clock.now();
        let interval = {
            let mut state = cached.lock();
            state.access(now);
            let interval = self.settings().touch_interval(state.tip().idle_timeout);
            if state.untold_access(interval).is_none() {
                return Ok(());
            }
            interval
        };
        // One request tells; the others of the session wait, and find it told.
        let _turn = cached.touching.lock().await;
        let Some(last_access) = cached.lock().untold_access(interval) else {
            return Ok(());
        };
        if self.note_device(found, last_access).await {
            return Ok(());
        }
        let touch = Commit::Touch {
            key: cached.key.clone(),
            last_access,
        };
        let batcher = &self.inner.shared.batcher;
        match batcher
            .commit_within(touch, self.patience_with_copy())
            .await
        {
            Err(error) if self.can_do_without(&error) => return Ok(()),
            told => drop(told?),
        }
        cached.lock().told(last_access);
        Ok(())
    }

    /// Tells the store of an access and of the device that it came from, if that is another one
    /// than before. So a device that changes costs no write beside those of the touch interval.
    /// False when there was nothing to write, or another node wrote in between.
    async fn note_device(&self, found: &Found, last_access: Timestamp) -> bool {
        let Found { cached, device, .. } = found;
        let Some(device) = device else {
            return false;
        };
        let verdict = {
            let mut state = cached.lock();
            if !matches!(state.condition(), Condition::Good) || state.tip().is_device(device) {
                return false;
            }
            let record = self.accessed(state.tip().clone(), last_access, Some(device));
            cached.change(&mut state, record)
        };
        matches!(verdict.await, Ok(Verdict::Committed))
    }
}
