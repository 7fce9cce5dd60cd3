//! Telling the store of accesses that changed nothing.

use std::sync::{Arc, Mutex};

use seawall_store::{Commit, CommitOutcome, PendingCommit, StoreError, Timestamp};

use crate::cached::Cached;

/// An access on its way to the store. No request waits for it.
pub(crate) struct PendingTouch {
    cached: Arc<Cached>,
    commit: Mutex<Option<Commit>>,
    /// What the store knew before.
    before: Timestamp,
}

impl PendingTouch {
    pub(crate) fn new(cached: Arc<Cached>, last_access: Timestamp, before: Timestamp) -> Self {
        let commit = Commit::Touch {
            key: cached.key.clone(),
            last_access,
        };
        Self {
            cached,
            commit: Mutex::new(Some(commit)),
            before,
        }
    }
}

impl PendingCommit for PendingTouch {
    fn take(&self) -> Option<Commit> {
        self.commit
            .lock()
            .expect("nothing panics while it holds this lock")
            .take()
    }

    fn complete(&self, result: Result<CommitOutcome, StoreError>) {
        if result.is_err() {
            self.cached.lock().access_untold(self.before);
        }
    }
}
