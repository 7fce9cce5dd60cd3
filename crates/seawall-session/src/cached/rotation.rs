//! A rotation of a session's id: commits of the session wait while it is under way.

use std::sync::Arc;

use seawall_store::SessionRecord;
use tokio::{sync::oneshot, time::Instant};

use super::{Cached, Condition, Verdict};

/// A rotation of the id under way. Dropping it lets commits of the session go on.
#[derive(Debug)]
pub(crate) struct Rotation {
    pub(crate) cached: Arc<Cached>,
    /// The session as it is to be renamed.
    pub(crate) record: Arc<SessionRecord>,
}

impl Cached {
    /// Stops commits, so that the id can be rotated. What to wait for, before looking again, when a
    /// commit or another rotation is under way, for a request that has waited since then.
    pub(crate) fn begin_rotation(
        self: &Arc<Self>,
        since: Instant,
    ) -> Result<Rotation, oneshot::Receiver<Verdict>> {
        let mut state = self.lock();
        let at_rest = !state.rotating && state.is_settled();
        match state.committed.clone() {
            Some(record) if at_rest && matches!(state.condition, Condition::Good) => {
                state.rotating = true;
                Ok(Rotation {
                    cached: self.clone(),
                    record,
                })
            }
            _ => Err(state.wait_for_tip(since)),
        }
    }
}

impl Drop for Rotation {
    fn drop(&mut self) {
        let mut state = self.cached.lock();
        state.rotating = false;
        let alive = matches!(state.condition, Condition::Good);
        if alive && state.tip_generation > state.committed_generation {
            self.cached.enqueue(&mut state);
        }
        // Others that want to rotate the id.
        state.tell_committed();
    }
}
