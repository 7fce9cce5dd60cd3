//! Notices: what a store tells a node at once of sessions that others end or rename.
//!
//! A notice is a hint. Whoever gets one asks the store, which decides; so a notice that is late,
//! false or repeated does no harm, and for those that are lost the store is asked now and then.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::broadcast::{self, error::RecvError};

use crate::{
    key::SessionKey,
    store::{Commit, Expired},
};

/// How many notices wait for a slow listener; it is told when it missed some.
const WAITING_LIMIT: usize = 1_024;

/// A hint that sessions are not what they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// These sessions have ended, or have other ids now. A session is named by the key that it had,
    /// and by its first one.
    Changed(Arc<[SessionKey]>),
    /// Notices may have been lost, of any session.
    Missed,
}

/// Where a store's notices come out.
#[derive(Debug)]
pub struct Notices {
    receiver: broadcast::Receiver<Notice>,
    is_live: Arc<AtomicBool>,
}

impl Notices {
    /// The next notice. Cancelling this loses none.
    pub async fn next(&mut self) -> Notice {
        match self.receiver.recv().await {
            Ok(notice) => notice,
            Err(RecvError::Lagged(_)) => Notice::Missed,
            // The store is gone: nothing more comes.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Whether notices come now. When that changes, a [`Notice::Missed`] comes.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.is_live.load(Ordering::Acquire)
    }
}

/// Where a back end puts its notices in. Cheap to clone.
#[derive(Clone)]
pub struct NoticeSender {
    sender: broadcast::Sender<Notice>,
    is_live: Arc<AtomicBool>,
}

impl fmt::Debug for NoticeSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoticeSender")
            .field("is_live", &self.is_live)
            .finish_non_exhaustive()
    }
}

impl NoticeSender {
    /// A sender without listeners, which is live or not.
    #[must_use]
    pub fn new(is_live: bool) -> Self {
        Self {
            sender: broadcast::Sender::new(WAITING_LIMIT),
            is_live: Arc::new(AtomicBool::new(is_live)),
        }
    }

    /// Another listener. It gets what is told from now on.
    #[must_use]
    pub fn subscribe(&self) -> Notices {
        Notices {
            receiver: self.sender.subscribe(),
            is_live: self.is_live.clone(),
        }
    }

    /// Whether anybody listens.
    #[must_use]
    pub fn has_listeners(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Tells all listeners.
    pub fn tell(&self, notice: Notice) {
        // Nobody may be listening.
        let _ = self.sender.send(notice);
    }

    /// Says whether notices come from now on, and that some may have been lost until now. Gives
    /// what was so before.
    pub fn set_live(&self, is_live: bool) -> bool {
        let before = self.is_live.swap(is_live, Ordering::AcqRel);
        if before != is_live {
            self.tell(Notice::Missed);
        }
        before
    }

    /// Tells all listeners of these sessions, if there are any of both.
    pub fn tell_changed(&self, sessions: impl FnOnce() -> Vec<SessionKey>) {
        if self.has_listeners() {
            let sessions = sessions();
            if !sessions.is_empty() {
                self.tell(Notice::Changed(sessions.into()));
            }
        }
    }
}

/// The sessions that these commits end or rename, if they go through.
#[must_use]
pub fn changed_by(commits: &[Commit]) -> Vec<SessionKey> {
    let mut changed = Vec::new();
    for commit in commits {
        match commit {
            Commit::Delete { key, origin } => name(&mut changed, key, Some(origin)),
            Commit::Rename { key, record, .. } => name(&mut changed, key, record.origin.as_ref()),
            Commit::Create { .. } | Commit::Touch { .. } | Commit::Update { .. } => {}
        }
    }
    changed
}

/// The sessions that were claimed.
#[must_use]
pub fn changed_by_claim(claimed: &[Expired]) -> Vec<SessionKey> {
    let mut changed = Vec::new();
    for Expired { key, record } in claimed {
        let origin = record.as_ref().and_then(|record| record.origin.as_ref());
        name(&mut changed, key, origin);
    }
    changed
}

fn name(changed: &mut Vec<SessionKey>, key: &SessionKey, origin: Option<&Arc<str>>) {
    changed.push(key.clone());
    changed.extend(
        origin
            .filter(|origin| **origin != key.id)
            .map(|origin| key.with_id(origin.clone())),
    );
}
