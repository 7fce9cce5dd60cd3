//! A rotation of a session's id: commits of the session wait while it is under way.

use std::sync::Arc;

use seawall_store::SessionRecord;

use super::{Cached, Condition};

/// A rotation of the id under way. Dropping it lets commits of the session go on.
#[derive(Debug)]
pub(crate) struct Rotation {
    pub(crate) cached: Arc<Cached>,
    /// The session as it is to be renamed.
    pub(crate) record: Arc<SessionRecord>,
}

impl Cached {
    /// Stops commits, so that the id can be rotated. `None` when a commit is under way.
    pub(crate) fn begin_rotation(self: &Arc<Self>) -> Option<Rotation> {
        let mut state = self.lock();
        if state.rotating || !state.is_settled() {
            return None;
        }
        let record = state.committed.clone()?;
        state.rotating = true;
        Some(Rotation {
            cached: self.clone(),
            record,
        })
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
    }
}
