//! What could not be read: counted each time, and logged when it is first met, so that one bad
//! attribute in many sessions does not fill the log.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::DecodeError;

/// The most names and reasons that are logged; what is met beyond them is only counted.
const TOLD_LIMIT: usize = 100;

/// How much of an attribute's name is shown, in characters.
const SHOWN: usize = 40;

/// How often something could not be read, each time that a row was decoded. A node decodes a row
/// again when another node has written it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnreadableCounts {
    /// Single attributes, in sessions that could be read otherwise (P7).
    pub attributes: u64,
    /// Whole sessions, those with a missing key among them.
    pub sessions: u64,
    /// Sessions that were encrypted with a key that is not in the key ring.
    pub missing_keys: u64,
}

#[derive(Debug, Default)]
pub(super) struct Unreadable {
    attributes: AtomicU64,
    sessions: AtomicU64,
    missing_keys: AtomicU64,
    told: Mutex<BTreeSet<String>>,
}

impl Unreadable {
    pub(super) fn attribute(&self, name: &str) {
        self.attributes.fetch_add(1, Relaxed);
        let name: String = name.chars().take(SHOWN).collect();
        if self.is_new(format!("attribute {name}")) {
            tracing::warn!(
                attribute = ?name,
                "session attribute unreadable; it is skipped, and kept as it is"
            );
        }
    }

    pub(super) fn session(&self, error: &DecodeError) {
        if matches!(error, DecodeError::MissingKey(_)) {
            self.missing_keys.fetch_add(1, Relaxed);
        }
        self.row(&error.to_string());
    }

    pub(super) fn row(&self, reason: &str) {
        self.sessions.fetch_add(1, Relaxed);
        if self.is_new(format!("session {reason}")) {
            tracing::warn!(reason, "session unreadable; it is left as it is");
        }
    }

    /// Whether this was not met before, and is to be logged.
    fn is_new(&self, what: String) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < TOLD_LIMIT && told.insert(what)
    }

    pub(super) fn counts(&self) -> UnreadableCounts {
        UnreadableCounts {
            attributes: self.attributes.load(Relaxed),
            sessions: self.sessions.load(Relaxed),
            missing_keys: self.missing_keys.load(Relaxed),
        }
    }
}
