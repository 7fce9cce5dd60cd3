//! When the response has left.
//!
//! An answer that lasts, such as a WebSocket or a stream, keeps its [`Session`](crate::Session). What
//! it changes then must be saved by itself, and its client cannot be told of a new session or a new id
//! any more.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::{error::SessionError, pending::Pending};

/// Whether a request's response has left.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answered(Arc<AtomicBool>);

impl Answered {
    /// The response leaves.
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Sees whether the client can still be told of another cookie.
    pub(crate) fn check_open(&self) -> Result<(), SessionError> {
        if self.0.load(Ordering::SeqCst) {
            return Err(SessionError::Answered);
        }
        Ok(())
    }

    /// Says it when the last clone of a session is dropped with changes that nobody committed, and
    /// nobody was told of. Before the response that is what a handler that panicked, or was
    /// cancelled, leaves.
    pub(crate) fn warn_of_loss(&self, pending: &Pending) {
        if self.loses(pending) {
            tracing::warn!(
                "a session was changed after its response had left, and never saved: the change is \
                 lost; call Session::save after it"
            );
        }
    }

    fn loses(&self, pending: &Pending) -> bool {
        self.check_open().is_err() && !pending.is_empty() && pending.failure().is_none()
    }
}

#[cfg(test)]
mod tests {
    use seawall_store::ChangeSet;

    use super::*;

    #[test]
    fn only_what_nobody_was_told_of_is_warned_of() {
        let answered = Answered::default();
        let mut pending = Pending::default();
        let mut changes = ChangeSet::new();
        changes.remove("a");
        pending.append(changes);
        assert!(!answered.loses(&pending));
        answered.set();
        assert!(answered.loses(&pending));
        assert!(!answered.loses(&Pending::default()));
        pending.note(Some(&SessionError::Answered));
        assert!(!answered.loses(&pending));
    }
}
