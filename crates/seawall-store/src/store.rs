//! The interface that every back end implements.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use crate::{
    cause::Cause,
    clock::Timestamp,
    codec::UnreadableCounts,
    key::SessionKey,
    notices::Notices,
    record::{SessionRecord, Version},
    statistics::ConnectionStatistics,
};

/// [`LIST_LIMIT`] as a literal: statements are put together from nothing else.
macro_rules! list_limit {
    () => {
        10000
    };
}
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use list_limit;

/// The most sessions in a list of one principal's. Whoever wants all lists again when these are gone.
pub const LIST_LIMIT: u16 = list_limit!();

/// A boxed future, so that a back end can be chosen at run time.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A back end: a table of sessions, worked on in batches.
///
/// A batch holds independent operations; each succeeds or fails for itself, and the answer has one
/// outcome for each operation, in the order of the batch. Operations on the same session take effect
/// one after another, in whatever order the back end likes. The [`Batcher`](crate::Batcher) hands
/// batches over sorted by key and sends one of each kind at a time; a back end must keep that order
/// when it locks rows (else two nodes deadlock). When a method answers, what it did is durable.
pub trait SessionStore: fmt::Debug + Send + Sync + 'static {
    /// What the store is and where, for messages; without secrets.
    fn description(&self) -> &str;

    /// Reads sessions, or confirms that the caller's copies are still current.
    fn read<'a>(&'a self, reads: &'a [Read])
    -> BoxFuture<'a, Result<Vec<ReadOutcome>, StoreError>>;

    /// Carries out commits. A key occurs in at most one [`Commit::Rename`] or [`Commit::Update`] of a
    /// batch, beside any number of touches and deletions.
    fn commit<'a>(
        &'a self,
        commits: &'a [Commit],
    ) -> BoxFuture<'a, Result<Vec<CommitOutcome>, StoreError>>;

    /// Deletes up to `limit` sessions that have expired at `now` and returns them.
    ///
    /// Nodes call this at the same time; each expired session is returned to one of them only.
    fn claim_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Expired>, StoreError>>;

    /// Where each of these sessions is now: its key, which is another one after a rename; `None`
    /// when it has ended, or has expired at `now`.
    fn locate<'a>(
        &'a self,
        lookups: &'a [Lookup],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Option<SessionKey>>, StoreError>>;

    /// Notices of sessions that end or are renamed from now on, whichever node does it. `None` for
    /// a store that sends none; then it must be asked.
    ///
    /// # Panics
    /// Outside a tokio runtime, for a store that connects to get them.
    fn notices(&self) -> Option<Notices> {
        None
    }

    /// The sessions of a principal that have not expired at `now`, newest access first; the first
    /// [`LIST_LIMIT`] of them.
    fn list_by_principal<'a>(
        &'a self,
        principal: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<SessionSummary>, StoreError>>;

    /// How many sessions the store holds.
    fn count(&self) -> BoxFuture<'_, Result<u64, StoreError>>;

    /// How often this store found a session or an attribute that it could not read, since it was
    /// opened. A store that keeps no bytes never does.
    fn unreadable(&self) -> UnreadableCounts {
        UnreadableCounts::default()
    }

    /// What became of the connections to the store's server so far, if it has one.
    fn connections(&self) -> ConnectionStatistics {
        ConnectionStatistics::default()
    }
}

/// A request for one session.
#[derive(Debug, Clone)]
pub struct Read {
    /// Which session.
    pub key: SessionKey,
    /// The version that the caller holds, if it holds one.
    pub known: Option<Version>,
}

/// A session that is looked for, wherever it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// The session as it was known.
    pub key: SessionKey,
    /// The record's [`origin`](SessionRecord::origin), or else the key's id.
    pub origin: Arc<str>,
}

/// What a [`Read`] found. An expired session that nobody has claimed yet is still found.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadOutcome {
    /// The caller's copy is current. Accesses do not raise the version, so they come along.
    Current {
        /// When a request last used the session, as far as the store was told.
        last_access: Timestamp,
    },
    /// The session as it stands.
    Found(Box<SessionRecord>),
    /// There is no such session.
    Missing,
    /// The row is there and cannot be read; it is left as it is.
    Unreadable(Arc<str>),
}

impl From<Result<SessionRecord, Arc<str>>> for ReadOutcome {
    /// A row as it was read, or why it cannot be.
    fn from(row: Result<SessionRecord, Arc<str>>) -> Self {
        match row {
            Ok(record) => Self::Found(Box::new(record)),
            Err(reason) => Self::Unreadable(reason),
        }
    }
}

/// One change to one session.
#[derive(Debug, Clone)]
pub enum Commit {
    /// Inserts a session; fails with [`CommitOutcome::Exists`] when the id is taken.
    Create {
        /// The new session's key.
        key: SessionKey,
        /// The new session.
        record: Arc<SessionRecord>,
    },
    /// Deletes a session, even if it has moved to another id in the meantime.
    Delete {
        /// The session as it was known.
        key: SessionKey,
        /// The record's [`origin`](SessionRecord::origin), or else the key's id.
        origin: Arc<str>,
    },
    /// Gives a session a new id and new contents in one atomic step (P8).
    Rename {
        /// The session as it is known.
        key: SessionKey,
        /// The id that it has afterwards; context and virtual host stay.
        new_id: Arc<str>,
        /// The version that the row must still have.
        expected: Version,
        /// What the row holds afterwards.
        record: Arc<SessionRecord>,
    },
    /// Tells the store of an access, without raising the version. Monotonic: an earlier access
    /// than the stored one changes nothing; the expiry moves with the access, up to the deadline.
    Touch {
        /// Which session.
        key: SessionKey,
        /// When the session was used.
        last_access: Timestamp,
    },
    /// Writes a session if its version is still `expected`. The stored last access never goes back.
    Update {
        /// Which session.
        key: SessionKey,
        /// The version that the row must still have.
        expected: Version,
        /// What the row holds afterwards.
        record: Arc<SessionRecord>,
    },
}

impl SessionSummary {
    /// Deletes this session, even if it moves to another id in the meantime.
    #[must_use]
    pub fn deletion(&self) -> Commit {
        Commit::deletion(self.key.clone(), self.origin.clone())
    }
}

impl Commit {
    /// Deletes a session that had no other id before.
    #[must_use]
    pub fn delete(key: SessionKey) -> Self {
        Self::deletion(key, None)
    }

    /// Deletes a session with this [`origin`](SessionRecord::origin), wherever it has moved to.
    #[must_use]
    pub fn deletion(key: SessionKey, origin: Option<Arc<str>>) -> Self {
        let origin = origin.unwrap_or_else(|| key.id.clone());
        Self::Delete { key, origin }
    }

    /// The session that this commit is about.
    #[must_use]
    pub fn key(&self) -> &SessionKey {
        match self {
            Self::Create { key, .. }
            | Self::Delete { key, .. }
            | Self::Rename { key, .. }
            | Self::Touch { key, .. }
            | Self::Update { key, .. } => key,
        }
    }
}

/// What became of a [`Commit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The row is there with another version; nothing was written.
    Conflict,
    /// It is written, and durable.
    Done,
    /// The id is taken; nothing was written.
    Exists,
    /// There is no such session; nothing was written.
    Missing,
}

/// A session that was claimed because it had expired.
#[derive(Debug, Clone)]
pub struct Expired {
    /// Which session it was.
    pub key: SessionKey,
    /// What it held; `None` when its row could not be read.
    pub record: Option<SessionRecord>,
}

/// A session in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionSummary {
    /// Which session.
    pub key: SessionKey,
    /// The first id that it had, if that is another.
    pub origin: Option<Arc<str>>,
    /// When the session was made.
    pub created_at: Timestamp,
    /// When a request last used the session, as far as the store was told.
    pub last_access: Timestamp,
    /// The node that wrote the session last.
    pub last_node: Arc<str>,
}

/// Why a store could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Writing was interrupted, somebody else wrote afterwards, and nobody can tell whether this
    /// commit took effect. Trying again could do it twice.
    #[error("{store}: the connection broke during a commit, and its outcome cannot be told")]
    Ambiguous {
        /// The store's description.
        store: Arc<str>,
    },
    /// More requests wait for the store than it is allowed to queue.
    #[error(
        "{store}: {waiting} requests already wait for the store: raise store.queue_limit, see why \
         the store is slow, or spread the load over more nodes"
    )]
    Overloaded {
        /// The store's description.
        store: Arc<str>,
        /// How many wait.
        waiting: usize,
    },
    /// The store refuses what it was asked, and would again: a missing privilege, another schema.
    #[error("{store}: {reason}")]
    Rejected {
        /// The store's description.
        store: Arc<str>,
        /// What the store said.
        reason: Arc<str>,
        /// What lies behind it.
        cause: Cause,
    },
    /// The store did not answer in time.
    #[error(
        "{store}: no answer within {waited:?}: see whether the server is up and how busy it is, or \
         raise store.answer_limit or store.patience"
    )]
    Timeout {
        /// The store's description.
        store: Arc<str>,
        /// How long the caller waited.
        waited: Duration,
    },
    /// The store cannot be reached now. Whatever was under way may or may not have taken effect.
    #[error("{store}: cannot be reached: {reason}")]
    Unavailable {
        /// The store's description.
        store: Arc<str>,
        /// What the connection said.
        reason: Arc<str>,
        /// What lies behind it.
        cause: Cause,
    },
}

impl StoreError {
    /// Whether the same request may succeed when the store is back.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Overloaded { .. } | Self::Timeout { .. } | Self::Unavailable { .. }
        )
    }

    /// What lies behind it, as far as the store can tell.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Rejected { cause, .. } | Self::Unavailable { cause, .. } => *cause,
            Self::Ambiguous { .. } | Self::Overloaded { .. } | Self::Timeout { .. } => Cause::Other,
        }
    }
}
