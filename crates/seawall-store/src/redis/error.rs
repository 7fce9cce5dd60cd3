//! What went wrong with a script, and what follows from it.

use std::{sync::Arc, time::Duration};

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::{cause::Cause, link, store::StoreError};

/// Why a script did not go through.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server did not answer for so long.
    NoAnswer(Duration),
    /// The driver or the server said so.
    Server(RedisError),
    /// Fewer replicas than are asked for have the commit so far.
    TooFewReplicas(u32),
    /// Redis holds something that these scripts do not write.
    Unexpected(&'static str),
}

impl From<&'static str> for Failure {
    fn from(what: &'static str) -> Self {
        Self::Unexpected(what)
    }
}

impl Failure {
    /// Whether a key holds another kind of value than the one that was asked for.
    pub(super) fn is_of_another_type(&self) -> bool {
        matches!(self, Self::Server(error) if error.code() == Some("WRONGTYPE"))
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Server(error)
    }
}

impl link::Failure for Failure {
    /// Redis runs a script alone: there is nobody because of whom to undo it.
    fn was_undone(&self) -> bool {
        false
    }

    fn breaks_the_connection(&self) -> bool {
        match self {
            Self::Server(error) => is_unavailable(error),
            Self::NoAnswer(_) => true,
            Self::TooFewReplicas(_) | Self::Unexpected(_) => false,
        }
    }

    fn into_store_error(self, store: &Arc<str>) -> StoreError {
        let store = store.clone();
        match self {
            Self::NoAnswer(waited) => StoreError::Timeout { store, waited },
            Self::Server(error) if is_unavailable(&error) => StoreError::Unavailable {
                store,
                reason: error.to_string().into(),
                cause: cause(&error),
            },
            Self::Server(error) => StoreError::Rejected {
                store,
                reason: format!("{error}{}", hint(&error)).into(),
                cause: cause(&error),
            },
            Self::TooFewReplicas(number) => StoreError::Unavailable {
                store,
                reason: format!("only {number} replicas have the commit").into(),
                cause: Cause::Other,
            },
            Self::Unexpected(what) => StoreError::Rejected {
                store,
                reason: what.into(),
                cause: Cause::Other,
            },
        }
    }
}

/// Whether the server, or another in its place, may take the same script later. A server that
/// became a replica refuses to write; the next connection goes to the new master.
fn is_unavailable(error: &RedisError) -> bool {
    let passing = [
        ServerErrorKind::BusyLoading,
        ServerErrorKind::ClusterDown,
        ServerErrorKind::MasterDown,
        ServerErrorKind::ReadOnly,
        ServerErrorKind::TryAgain,
        ServerErrorKind::Moved,
        ServerErrorKind::Ask,
    ];
    match error.kind() {
        ErrorKind::Server(kind) => passing.contains(&kind),
        ErrorKind::Extension => {
            // Too few replicas answer; a long script runs; the last save to disk failed.
            let code = error.code().unwrap_or_default();
            ["NOREPLICAS", "BUSY", "MISCONF"].contains(&code)
        }
        ErrorKind::Io
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::NoValidReplicasFoundBySentinel => true,
        _ => false,
    }
}

fn cause(error: &RedisError) -> Cause {
    match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS" | "NOAUTH")) => {
            Cause::WrongPassword
        }
        (ErrorKind::Server(ServerErrorKind::NoPerm), _) => Cause::PrivilegeMissing,
        (ErrorKind::Server(ServerErrorKind::ReadOnly), _) => Cause::ReadOnly,
        (_, Some("OOM" | "MISCONF")) => Cause::StoreFull,
        _ if error.is_connection_refusal() => Cause::Refused,
        // The driver passes on the words of the system's errors only.
        _ => Cause::of_text(&error.to_string()),
    }
}

fn hint(error: &RedisError) -> &'static str {
    match (error.kind(), error.code()) {
        (ErrorKind::AuthenticationFailed, _) | (_, Some("WRONGPASS" | "NOAUTH")) => {
            "; check the user and the password in the store's URL"
        }
        (ErrorKind::Server(ServerErrorKind::NoPerm), _) => {
            "; the store's user needs the categories @read, @write and @scripting on its keys"
        }
        (_, Some("OOM")) => "; raise maxmemory: Redis has no room for another session",
        (_, Some("WRONGTYPE")) => "; something else uses keys with the same prefix",
        _ => "",
    }
}
