//! Why requests had no answer.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use http::StatusCode;
use hyper_util::client::legacy;

/// Why a request had no answer that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// The node took no connection.
    Refused,
    /// The connection ended before the answer did.
    Broken,
    /// The client gave up.
    Late,
    /// An error.
    Status(StatusCode),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("no connection"),
            Self::Broken => f.write_str("broken off"),
            Self::Late => f.write_str("too late"),
            Self::Status(status) => write!(f, "status {}", status.as_u16()),
        }
    }
}

impl From<legacy::Error> for Reason {
    fn from(error: legacy::Error) -> Self {
        if error.is_connect() {
            Self::Refused
        } else {
            Self::Broken
        }
    }
}

/// How often each.
#[derive(Debug, Default)]
pub(crate) struct Unanswered(Mutex<BTreeMap<Reason, u64>>);

impl Unanswered {
    pub(crate) fn count(&self, reason: Reason) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(reason).or_default() += 1;
    }

    /// How many answers say that a node met what it cannot explain. No fault is an excuse for one.
    pub(crate) fn unexplained(&self) -> u64 {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unexplained = Reason::Status(StatusCode::INTERNAL_SERVER_ERROR);
        counts.get(&unexplained).copied().unwrap_or(0)
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.iter();
        let each: Vec<_> = counts
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        f.write_str(&each.join(", "))
    }
}
