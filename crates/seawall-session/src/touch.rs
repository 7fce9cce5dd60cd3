//! Telling the store of accesses that changed nothing.

use seawall_store::{Commit, StoreError, Timestamp};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    cached::{Condition, Telling, Told, Verdict},
    error::SessionError,
    manager::{Found, SessionManager},
};

impl SessionManager {
    /// Notes an access, for a request that has waited since then. Once per touch interval the store is
    /// told, and the requests wait for that: the stored expiry allows for one interval, so an access
    /// that is answered counts, even if this node or the store goes away right afterwards (P5). Where
    /// copies are served, a store that is away is not waited for; the next request tries again.
    pub(crate) async fn touch(&self, found: &Found, since: Instant) -> Result<(), SessionError> {
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
        loop {
            let error = match cached.begin_telling(interval) {
                Telling::Done => return Ok(()),
                Telling::Own(turn, last_access) => {
                    let told = self.tell_of(found, last_access, since).await;
                    turn.end(&told);
                    match told {
                        Ok(()) => return Ok(()),
                        Err(error) => error,
                    }
                }
                Telling::Others(told) => match self.told_by_others(told, since).await {
                    Ok(()) => continue,
                    // That one's patience was over, and this one's is not.
                    Err(error)
                        if error.is_transient() && !self.patience_with_copy(since).is_zero() =>
                    {
                        continue;
                    }
                    Err(error) => error,
                },
            };
            return if self.can_do_without(&error) {
                Ok(())
            } else {
                Err(error.into())
            };
        }
    }

    /// Tells the store of an access, for a request that has waited since then.
    async fn tell_of(&self, found: &Found, last_access: Timestamp, since: Instant) -> Told {
        if self.note_device(found, last_access, since).await? {
            return Ok(());
        }
        let touch = Commit::Touch {
            key: found.cached.key.clone(),
            last_access,
        };
        let batcher = &self.inner.shared.batcher;
        let patience = self.patience_with_copy(since);
        batcher.commit_within(touch, patience).await?;
        found.cached.lock().told(last_access);
        Ok(())
    }

    /// What became of the telling of another request. Fine, too, when that one was cancelled: looking
    /// again tells.
    async fn told_by_others(&self, told: oneshot::Receiver<Told>, since: Instant) -> Told {
        let shared = &self.inner.shared;
        let patience = shared.batcher.patience();
        let told = shared.wait_for(told, patience, since).await?;
        told.unwrap_or(Ok(()))
    }

    /// Tells the store of an access and of the device that it came from, if that is another one
    /// than before. So a device that changes costs no write beside those of the touch interval.
    /// False when there was nothing to write, or another node wrote in between.
    async fn note_device(
        &self,
        found: &Found,
        last_access: Timestamp,
        since: Instant,
    ) -> Result<bool, StoreError> {
        let Found { cached, device, .. } = found;
        let Some(device) = device else {
            return Ok(false);
        };
        let verdict = {
            let mut state = cached.lock();
            if !matches!(state.condition(), Condition::Good) || state.tip().is_device(device) {
                return Ok(false);
            }
            let record = self.accessed(state.tip().clone(), last_access, Some(device));
            cached.change(&mut state, record, since)
        };
        let shared = &self.inner.shared;
        let patience = shared.batcher.patience();
        match shared.wait_for(verdict, patience, since).await? {
            Ok(Verdict::Failed(error)) => Err(error),
            verdict => Ok(matches!(verdict, Ok(Verdict::Committed))),
        }
    }
}
