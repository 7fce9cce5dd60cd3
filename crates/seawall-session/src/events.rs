//! What happens to sessions, told to whoever listens.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use seawall_store::{SessionKey, SessionRecord, Value};

use crate::compartment::of_application;

/// Something that happened to a session, after it was committed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SessionEvent<'a> {
    /// An attribute was set.
    Bound {
        /// Its name.
        name: &'a Arc<str>,
        /// Its value.
        value: &'a Value,
        /// The value that it had before, if it had one.
        replaced: Option<&'a Value>,
    },
    /// The session came into being. Its attributes follow as [`Bound`](Self::Bound).
    Created,
    /// The session was not used for too long, or its time was up.
    Expired {
        /// What it held; `None` when its row could not be read.
        record: Option<&'a SessionRecord>,
    },
    /// The session was ended.
    Invalidated,
    /// The session got another id; the event's key is the new one.
    Rotated {
        /// The key that it had before.
        from: &'a SessionKey,
    },
    /// An attribute was removed.
    Unbound {
        /// Its name.
        name: &'a Arc<str>,
        /// The value that it had.
        value: &'a Value,
    },
}

/// Somebody who wants to know what happens to sessions.
///
/// Each event is told once in the cluster, on the node that did it (for an expiry: the node that
/// claimed it), after it is durable. The events of one session that happen on one node come in
/// order. A node that crashes may not tell the last of its events.
///
/// Of a session that applications share, the events of attributes have the key and the names of
/// their application; the others are told once, with the context `*`.
pub trait SessionListener: fmt::Debug + Send + Sync + 'static {
    /// Is told. Commits of all sessions wait for this: leave what takes time to a task.
    fn on_event(&self, session: &SessionKey, event: &SessionEvent<'_>);
}

/// Everybody who listens.
#[derive(Debug, Clone, Default)]
pub struct Listeners(Vec<Arc<dyn SessionListener>>);

impl Listeners {
    /// Adds a listener.
    #[must_use]
    pub fn with(mut self, listener: Arc<dyn SessionListener>) -> Self {
        self.0.push(listener);
        self
    }

    /// Tells all of them. One that panics is logged, and the others are told all the same.
    pub(crate) fn tell(&self, session: &SessionKey, event: &SessionEvent<'_>) {
        for listener in &self.0 {
            let told = catch_unwind(AssertUnwindSafe(|| listener.on_event(session, event)));
            if told.is_err() {
                tracing::error!(?listener, "a session listener panicked");
            }
        }
    }

    /// Tells what a commit changed.
    pub(crate) fn tell_commit(
        &self,
        session: &SessionKey,
        before: Option<&SessionRecord>,
        after: &SessionRecord,
    ) {
        if self.0.is_empty() {
            return;
        }
        if before.is_none() {
            self.tell(session, &SessionEvent::Created);
        }
        let tell = |name: &Arc<str>, tell: &dyn Fn(&SessionKey, &Arc<str>)| {
            // Of a shared session each application has its own attributes.
            match of_application(session, name) {
                Some((session, name)) => tell(&session, &name),
                None => tell(session, name),
            }
        };
        let old = |name| before.and_then(|before| before.attributes.get(name));
        for (name, value) in &after.attributes {
            let replaced = old(name);
            if replaced != Some(value) {
                tell(name, &|session, name| {
                    let bound = SessionEvent::Bound {
                        name,
                        value,
                        replaced,
                    };
                    self.tell(session, &bound);
                });
            }
        }
        let gone = before.into_iter().flat_map(|before| &before.attributes);
        for (name, value) in gone.filter(|(name, _)| !after.attributes.contains_key(*name)) {
            tell(name, &|session, name| {
                self.tell(session, &SessionEvent::Unbound { name, value });
            });
        }
    }
}
