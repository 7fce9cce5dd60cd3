//! What a request has asked of its session and the store has not acknowledged yet.
//!
//! It stays here until the store has: an error, or a future that is dropped, loses nothing. Clones of
//! a session may commit at the same time and finish in any order, and no lock is held while they
//! wait. So each work on a draft takes all changes that are pending at that moment, and a number: of
//! two that are committed the one with the higher number has seen what the other did.

use std::sync::Arc;

use seawall_store::{ChangeSet, SessionRecord};

use crate::{cached::Cached, draft::Draft, error::SessionError, id::SessionId};

/// What a request has asked of its session and the store has not acknowledged yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    changes: ChangeSet,
    /// How many changes were made before these.
    settled: usize,
    /// The session that is to end, before anything else.
    left: Option<Arc<Cached>>,
    /// The id that the session is to get. It stays the same however often that is tried, so that a
    /// try whose answer was lost is found.
    new_id: Option<SessionId>,
    /// Why the last try failed.
    failure: Option<SessionError>,
    /// The number of the last work, and of the last one that counts.
    last: u64,
    shown: u64,
}

/// A work on a draft that has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    number: u64,
    /// How many changes it includes, of all that were made in this request.
    changes: usize,
}

/// A work on a draft.
#[derive(Debug)]
pub(crate) struct Work {
    begun: Begun,
    /// The session afterwards.
    pub(crate) view: Arc<SessionRecord>,
}

impl Begun {
    pub(crate) fn seen(self, record: &Arc<SessionRecord>) -> Work {
        Work {
            begun: self,
            view: record.clone(),
        }
    }
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.left.is_none() && self.new_id.is_none()
    }

    pub(crate) fn append(&mut self, changes: ChangeSet) {
        self.changes.append(changes);
    }

    /// Begins a work: makes all changes in its draft.
    pub(crate) fn apply(&mut self, draft: &mut Draft<'_>) -> Begun {
        draft.apply(&self.changes);
        self.last += 1;
        Begun {
            number: self.last,
            changes: self.settled + self.changes.len(),
        }
    }

    /// Makes all changes in a record that is only shown.
    pub(crate) fn show(&self, record: &mut SessionRecord) {
        self.changes.apply(record);
    }

    /// Whether a later work was committed before this one, or the session was left.
    pub(crate) fn is_overtaken(&self, work: &Work) -> bool {
        work.begun.number < self.shown
    }

    /// Takes note that a work is committed, in the session with this id. False when it is overtaken:
    /// what it saw is old.
    pub(crate) fn committed(&mut self, work: &Work, id: &SessionId) -> bool {
        let now_settled = work.begun.changes.saturating_sub(self.settled);
        self.changes.forget_first(now_settled);
        self.settled += now_settled;
        self.new_id.take_if(|new_id| new_id == id);
        if self.is_overtaken(work) {
            return false;
        }
        self.shown = work.begun.number;
        true
    }

    pub(crate) fn want_new_id(&mut self) {
        self.new_id.get_or_insert_with(SessionId::generate);
    }

    pub(crate) fn new_id(&self) -> Option<SessionId> {
        self.new_id.clone()
    }

    /// The session's id is new already.
    pub(crate) fn has_new_id(&mut self) {
        self.new_id = None;
    }

    /// The session, if there is one, is to end; what was asked of it before does not count any more.
    pub(crate) fn leave(&mut self, session: Option<Arc<Cached>>) {
        self.settled += self.changes.len();
        self.changes = ChangeSet::new();
        self.last += 1;
        self.shown = self.last;
        self.new_id = None;
        if session.is_some() {
            self.left = session;
        }
    }

    /// The session that is to end.
    pub(crate) fn left(&self) -> Option<Arc<Cached>> {
        self.left.clone()
    }

    /// Takes note that a session has ended. False when that was known.
    pub(crate) fn ended(&mut self, session: &Arc<Cached>) -> bool {
        self.left
            .take_if(|left| Arc::ptr_eq(left, session))
            .is_some()
    }

    /// Takes note of how the last try went.
    pub(crate) fn note(&mut self, failure: Option<&SessionError>) {
        self.failure = failure.cloned();
    }

    /// Why what is pending was not committed; `None` when nothing is, or it was not tried.
    pub(crate) fn failure(&self) -> Option<SessionError> {
        self.failure.clone().filter(|_| !self.is_empty())
    }
}
