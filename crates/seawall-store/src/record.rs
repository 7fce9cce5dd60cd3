//! One session as the store knows it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{clock::Timestamp, value::Value};

/// The attributes of a session, by name.
pub type Attributes = BTreeMap<Arc<str>, Value>;

/// What a commit compares: the record's `lastSavedTime`, in milliseconds, raised by every commit.
///
/// Jetty's own writes set the same column to their current time, so this works on rows that a
/// Jetty node also writes, and needs no column of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(i64);

impl Version {
    /// A version as the table holds it.
    #[must_use]
    pub const fn from_i64(version: i64) -> Self {
        Self(version)
    }

    /// The version as the table holds it.
    #[must_use]
    pub const fn as_i64(self) -> i64 {
        self.0
    }

    /// The version of a commit made `now` on top of this one: later than both.
    ///
    /// Several commits may fall into one millisecond, and clocks may stand apart; the version
    /// rises all the same.
    #[must_use]
    pub fn next(self, now: Timestamp) -> Self {
        Self(now.as_millis().max(self.0.saturating_add(1)))
    }
}

/// One session: its times, its owner and its attributes.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionRecord {
    /// Raised by every commit.
    pub version: Version,
    /// When the session was made.
    pub created_at: Timestamp,
    /// When a request last used the session, as far as the store was told.
    pub last_access: Timestamp,
    /// How long the session may lie unused; `None` when it never expires by itself.
    pub idle_timeout: Option<Duration>,
    /// What the stored expiry allows on top of the idle timeout, because accesses reach the store
    /// late (see [`Commit::Touch`](crate::Commit::Touch)). Not a column: part of the expiry.
    pub expiry_slack: Duration,
    /// When the session ends however much it is used.
    pub deadline: Option<Timestamp>,
    /// Whose session this is, for example `user:42`. Text without NUL, which PostgreSQL refuses.
    pub principal: Option<Arc<str>>,
    /// The first id that the session had, as it is stored; `None` while it still has that. Only a
    /// rename changes it. By this a session is found that moves to a new id while it is ended.
    pub origin: Option<Arc<str>>,
    /// The node that wrote the session last.
    pub last_node: Arc<str>,
    /// What other nodes than the last one wrote before.
    pub writers: Writers,
    /// What the application keeps in the session.
    pub attributes: Attributes,
    /// What Seawall itself keeps in the session, by name; empty unless a setting asks for it. See
    /// the accessors in `notes.rs`.
    pub notes: Attributes,
}

/// The last version that each node wrote, of nodes that are not the last to write.
///
/// By this a node whose commit was cut off can tell, even after others have written, whether it
/// took effect: a node has one commit of a session under way at a time.
pub type Writers = BTreeMap<Arc<str>, Version>;

/// The most nodes that are remembered; beyond that the earliest writers are forgotten.
pub const WRITER_LIMIT: usize = 16;

impl SessionRecord {
    /// The record as `node` commits it on top of what is stored, which is this.
    #[must_use]
    pub fn written_by(mut self, node: &Arc<str>, now: Timestamp) -> Self {
        if self.version > Version::default() && self.last_node != *node {
            self.writers.insert(self.last_node, self.version);
        }
        self.writers.remove(node);
        while self.writers.len() > WRITER_LIMIT {
            let earliest = self.writers.iter().min_by_key(|(_, version)| **version);
            let Some(node) = earliest.map(|(node, _)| node.clone()) else {
                break;
            };
            self.writers.remove(&node);
        }
        Self {
            version: self.version.next(now),
            last_node: node.clone(),
            ..self
        }
    }

    /// Whether both are the same commit: the same version, by the same node.
    #[must_use]
    pub fn is_commit(&self, other: &Self) -> bool {
        self.version == other.version && self.last_node == other.last_node
    }

    /// Whether this stored record builds on `commit`, or is it. `None` when that cannot be told.
    #[must_use]
    pub fn includes(&self, commit: &Self) -> Option<bool> {
        if self.version <= commit.version {
            return Some(self.is_commit(commit));
        }
        match self.writers.get(&commit.last_node) {
            // Somebody else with this name has written.
            _ if self.last_node == commit.last_node => None,
            Some(version) => Some(*version == commit.version),
            None if self.writers.len() < WRITER_LIMIT => Some(false),
            None => None,
        }
    }

    /// When the store may treat the session as expired; `None` when it never does.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at_after(self.last_access)
    }

    /// When the store may treat the session as expired if `last_access` is the last one.
    #[must_use]
    pub fn expires_at_after(&self, last_access: Timestamp) -> Option<Timestamp> {
        let idle = self
            .idle_timeout
            .map(|timeout| last_access.plus(timeout.saturating_add(self.expiry_slack)));
        match (idle, self.deadline) {
            (Some(idle), Some(deadline)) => Some(idle.min(deadline)),
            (idle, deadline) => idle.or(deadline),
        }
    }

    /// Whether the session has expired at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at().is_some_and(|expiry| expiry <= now)
    }
}
