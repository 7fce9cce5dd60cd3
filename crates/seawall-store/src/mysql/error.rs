//! What went wrong with a statement, and what follows from it.

use std::sync::Arc;

use mysql_async::{DriverError, Error};

use crate::{cause::Cause, link, store::StoreError};

/// Why a statement did not go through.
#[derive(Debug)]
pub(super) enum Failure {
    /// The table cannot be used as it is.
    Schema(String),
    /// The driver or the database said so.
    Statement(Error),
    /// The database answered something that these statements cannot give.
    Unexpected(&'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Statement(error)
    }
}

// Error numbers: https://mariadb.com/kb/en/mariadb-error-code-reference/ and
// https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html
const DUPLICATE: u16 = 1062;
/// A lock that took too long.
const LOCKED: u16 = 1205;
/// A deadlock, a row that changed under a snapshot.
const UNDONE: [u16; 2] = [1213, 1020];
/// Too many connections; shutting down; killed; broken packets; read-only; switching primaries; a
/// Galera node that is not in its cluster; closed for idleness. 1146 is a table that somebody dropped:
/// the next connection makes it again.
const UNAVAILABLE: [u16; 16] = [
    1040, 1047, 1053, 1077, 1079, 1146, 1158, 1159, 1160, 1161, 1290, 1317, 1792, 1836, 1927, 4031,
];

impl link::Failure for Failure {
    fn was_undone(&self) -> bool {
        matches!(self, Self::Statement(Error::Server(error)) if UNDONE.contains(&error.code))
    }

    fn breaks_the_connection(&self) -> bool {
        match self {
            Self::Statement(error) => is_unavailable(error) && !is_locked(error),
            Self::Schema(_) | Self::Unexpected(_) => true,
        }
    }

    fn into_store_error(self, store: &Arc<str>) -> StoreError {
        let store = store.clone();
        match self {
            Self::Statement(error) if is_unavailable(&error) => StoreError::Unavailable {
                store,
                reason: describe(&error).into(),
                cause: cause(&error),
            },
            Self::Statement(error) => StoreError::Rejected {
                store,
                reason: describe(&error).into(),
                cause: cause(&error),
            },
            Self::Schema(reason) => StoreError::Rejected {
                store,
                reason: reason.into(),
                cause: Cause::OtherTables,
            },
            Self::Unexpected(reason) => StoreError::Rejected {
                store,
                reason: reason.into(),
                cause: Cause::Other,
            },
        }
    }
}

impl Failure {
    pub(super) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Statement(Error::Server(error)) if error.code == DUPLICATE)
    }
}

/// Whether somebody else's transaction held what the statement needed.
fn is_locked(error: &Error) -> bool {
    matches!(error, Error::Server(error) if error.code == LOCKED)
}

/// Whether the database may take the same statement later.
fn is_unavailable(error: &Error) -> bool {
    match error {
        Error::Io(_) => true,
        Error::Driver(error) => matches!(
            error,
            DriverError::ConnectionClosed
                | DriverError::PacketOutOfOrder
                | DriverError::UnexpectedPacket { .. }
        ),
        Error::Server(server) => {
            UNAVAILABLE.contains(&server.code) || UNDONE.contains(&server.code) || is_locked(error)
        }
        Error::Other(_) | Error::Url(_) => false,
    }
}

fn cause(error: &Error) -> Cause {
    let Error::Server(error) = error else {
        return Cause::of(error);
    };
    match error.code {
        1044 | 1142 => Cause::PrivilegeMissing,
        1045 | 1698 => Cause::WrongPassword,
        1049 => Cause::DatabaseMissing,
        1040 | 1203 | 1226 => Cause::TooManyConnections,
        1021 | 1114 => Cause::StoreFull,
        1290 | 1792 | 1836 => Cause::ReadOnly,
        1054 | 1146 => Cause::OtherTables,
        LOCKED => Cause::Locked,
        _ => Cause::Other,
    }
}

fn describe(error: &Error) -> String {
    let Error::Server(error) = error else {
        return error.to_string();
    };
    let hint = match error.code {
        1044 | 1142 => "; GRANT ALL ON the database's tables TO the store's user",
        1045 | 1698 => {
            "; check the user and the password in the store's URL, and ssl-mode if the server wants TLS"
        }
        1049 => "; create the database, or correct its name in the store's URL",
        LOCKED => {
            "; information_schema.innodb_trx tells whose transaction is open and may hold a session"
        }
        1153 => "; raise max_allowed_packet: a session is larger than it",
        _ => "",
    };
    format!("{} (error {}){hint}", error.message, error.code)
}
