//! Telling the store of accesses that changed nothing.

use std::sync::Arc;

use seawall_store::Commit;

use crate::{cached::Cached, error::SessionError, manager::SessionManager};

impl SessionManager {
    /// Notes an access. Once per touch interval the store is told, and the request waits for that:
    /// the stored expiry allows for one interval, so an access that is answered counts, even if
    /// this node or the store goes away right afterwards (P5). Where copies are served, a store that
    /// is away is not waited for; the next request tries again.
    pub(crate) async fn touch(&self, cached: &Arc<Cached>) -> Result<(), SessionError> {
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
}
