//! A session in the hands of one request.

use std::{cell::Cell, sync::Arc, time::Duration};

use seawall_store::{ChangeSet, SessionRecord, Timestamp, Value};

use crate::{
    id::SessionId,
    limits::{self, LimitExceeded, SessionLimits},
};

/// What is to become of a session after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Nothing was changed.
    Keep,
    /// Changes are to be committed.
    Commit,
    /// The session ends.
    Invalidate,
}

/// A session as one request sees and changes it.
///
/// Work on a draft must be pure: when another node has written the session in between, the draft
/// is thrown away and the work is done again on a fresh one.
#[derive(Debug)]
pub struct Draft<'a> {
    id: &'a SessionId,
    record: Arc<SessionRecord>,
    limits: &'a SessionLimits,
    last_access: Timestamp,
    is_new: bool,
    changed: bool,
    invalidated: bool,
    /// The id was looked at, so a new session must come into being for it to mean anything.
    id_seen: Cell<bool>,
}

impl<'a> Draft<'a> {
    pub(crate) fn existing(
        id: &'a SessionId,
        record: Arc<SessionRecord>,
        limits: &'a SessionLimits,
    ) -> Self {
        let id_seen = Cell::new(false);
        Self {
            id,
            last_access: record.last_access,
            record,
            limits,
            is_new: false,
            changed: false,
            invalidated: false,
            id_seen,
        }
    }

    pub(crate) fn new(
        id: &'a SessionId,
        record: Arc<SessionRecord>,
        limits: &'a SessionLimits,
    ) -> Self {
        Self {
            is_new: true,
            ..Self::existing(id, record, limits)
        }
    }

    /// The draft of a session that was last used at `last_access`, which the record need not know:
    /// accesses that change nothing are not written into it.
    pub(crate) fn used_at(self, last_access: Timestamp) -> Self {
        Self {
            last_access,
            ..self
        }
    }

    pub(crate) fn intent(&self) -> Intent {
        let created = self.is_new && self.id_seen.get();
        match (self.invalidated, self.changed || created) {
            (true, _) => Intent::Invalidate,
            (false, true) => Intent::Commit,
            (false, false) => Intent::Keep,
        }
    }

    pub(crate) fn into_record(self) -> Arc<SessionRecord> {
        self.record
    }

    fn change(&mut self) -> &mut SessionRecord {
        self.changed = true;
        Arc::make_mut(&mut self.record)
    }

    /// The session's id. Looking at the id of a new session brings it into being.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        self.id_seen.set(true);
        self.id
    }

    /// The id that the session has, or would get. Unlike [`id`](Self::id) this brings nothing into
    /// being.
    #[must_use]
    pub fn candidate_id(&self) -> &SessionId {
        self.id
    }

    /// The session as it stands in this draft.
    #[must_use]
    pub fn record(&self) -> &Arc<SessionRecord> {
        &self.record
    }

    /// Whether the client had no session before this request.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// An attribute; `None` when there is none of that name, or it cannot be read. One that cannot
    /// be read stays as it is until something else is set in its place, or it is removed (P7).
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&Value> {
        let value = self.record.attributes.get(name);
        value.filter(|value| value.is_readable())
    }

    /// All attributes that can be read, by name.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &Value)> {
        let all = self.record.attributes.iter();
        all.filter(|(_, value)| value.is_readable())
            .map(|(name, value)| (&**name, value))
    }

    /// How much the session may hold.
    #[must_use]
    pub fn limits(&self) -> &'a SessionLimits {
        self.limits
    }

    /// Sets an attribute.
    ///
    /// # Errors
    /// [`LimitExceeded`]; nothing is set then.
    pub fn set(
        &mut self,
        name: impl Into<Arc<str>>,
        value: impl Into<Value>,
    ) -> Result<(), LimitExceeded> {
        let (name, value) = (name.into(), value.into());
        self.limits.check(&self.record.attributes, &name, &value)?;
        self.change().attributes.insert(name, value);
        Ok(())
    }

    /// Removes an attribute.
    pub fn remove(&mut self, name: &str) {
        if self.record.attributes.contains_key(name) {
            self.change().attributes.remove(name);
        }
    }

    /// Makes all changes of a change set.
    pub fn apply(&mut self, changes: &ChangeSet) {
        if !changes.is_empty() {
            changes.apply(self.change());
        }
    }

    /// When the session was made.
    #[must_use]
    pub fn created_at(&self) -> Timestamp {
        self.record.created_at
    }

    /// When the session was last used before this request; accesses on other nodes count once the
    /// store was told, within the touch interval.
    #[must_use]
    pub fn last_access(&self) -> Timestamp {
        self.last_access
    }

    /// How long the session may lie unused; `None` for ever.
    #[must_use]
    pub fn idle_timeout(&self) -> Option<Duration> {
        self.record.idle_timeout
    }

    /// Changes how long the session may lie unused; `None` or nothing for ever.
    pub fn set_idle_timeout(&mut self, idle_timeout: Option<Duration>) {
        self.change().idle_timeout = idle_timeout.filter(|timeout| !timeout.is_zero());
    }

    /// Whose session it is.
    #[must_use]
    pub fn principal(&self) -> Option<&str> {
        self.record.principal.as_deref()
    }

    /// Says whose session it is.
    ///
    /// # Errors
    /// [`LimitExceeded::Principal`].
    pub fn set_principal(&mut self, principal: Option<Arc<str>>) -> Result<(), LimitExceeded> {
        limits::check_principal(principal.as_deref())?;
        self.change().principal = principal;
        Ok(())
    }

    /// Ends the session for good, on every node.
    pub fn invalidate(&mut self) {
        self.invalidated = true;
    }
}
