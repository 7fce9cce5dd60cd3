//! Whose turn it is to tell the store of a session's accesses: one request does, and those that come
//! meanwhile share what becomes of it.

use std::{sync::Arc, time::Duration};

use seawall_store::{StoreError, Timestamp};
use tokio::sync::oneshot;

use super::Cached;

/// What became of telling the store.
pub(crate) type Told = Result<(), StoreError>;

/// What a request has to do with the store's being told.
pub(crate) enum Telling {
    /// Nothing: the store knows.
    Done,
    /// Another request tells. Without an answer when that one was cancelled.
    Others(oneshot::Receiver<Told>),
    /// This one tells, of this access.
    Own(Turn, Timestamp),
}

/// A request's turn. Dropping it gives the turn to those who wait.
pub(crate) struct Turn {
    cached: Arc<Cached>,
}

impl Cached {
    /// The turn to tell the store, once per `interval`.
    pub(crate) fn begin_telling(self: &Arc<Self>, interval: Duration) -> Telling {
        let mut state = self.lock();
        let Some(last_access) = state.untold_access(interval) else {
            return Telling::Done;
        };
        if let Some(others) = &mut state.telling {
            let (sender, receiver) = oneshot::channel();
            others.push(sender);
            return Telling::Others(receiver);
        }
        state.telling = Some(Vec::new());
        let cached = self.clone();
        Telling::Own(Turn { cached }, last_access)
    }
}

impl Turn {
    /// Tells the others what became of it.
    pub(crate) fn end(self, told: &Told) {
        let others = self.cached.lock().telling.as_mut().map(std::mem::take);
        for other in others.into_iter().flatten() {
            // A request that was cancelled no longer listens.
            let _ = other.send(told.clone());
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.cached.lock().telling = None;
    }
}
