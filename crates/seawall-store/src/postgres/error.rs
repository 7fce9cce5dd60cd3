//! What went wrong with a statement, and what follows from it.

use std::{str::Utf8Error, sync::Arc, time::Duration};

use tokio_postgres::{Error, error::SqlState, types::WrongType};

use crate::{cause::Cause, link, store::StoreError};

/// Why a statement did not go through.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection could be made.
    Connecting(Error),
    /// The database did not answer for so long.
    NoAnswer(Duration),
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

impl link::Failure for Failure {
    fn was_undone(&self) -> bool {
        let Self::Statement(error) = self else {
            return false;
        };
        let undone = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ];
        error.code().is_some_and(|code| undone.contains(code))
    }

    fn breaks_the_connection(&self) -> bool {
        match self {
            Self::Statement(error) | Self::Connecting(error) => {
                is_unavailable(error) && !is_cancelled(error)
            }
            Self::NoAnswer(_) | Self::Schema(_) | Self::Unexpected(_) => true,
        }
    }

    fn into_store_error(self, store: &Arc<str>) -> StoreError {
        let (store, was_undone) = (store.clone(), self.was_undone());
        match self {
            Self::Statement(error) | Self::Connecting(error) => {
                let (reason, cause) = (describe(&error).into(), cause(&error));
                // Undone again and again is the same as away: worth another try, a little later.
                if was_undone || is_unavailable(&error) {
                    StoreError::Unavailable {
                        store,
                        reason,
                        cause,
                    }
                } else {
                    StoreError::Rejected {
                        store,
                        reason,
                        cause,
                    }
                }
            }
            Self::NoAnswer(waited) => StoreError::Timeout { store, waited },
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
        matches!(self, Self::Statement(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION))
    }
}

/// Whether the database may take the same statement later. Classes 08 and 57P are connections that
/// break and servers that go down or come up; 25006 is a server that became a standby; 42P01 is a table
/// that somebody dropped: the next connection makes it again. Statements that were prepared are of no
/// more use when a column has another type now (0A000), or a pooler mixes connections up. One that was
/// cancelled waited too long for a lock, mostly.
fn is_unavailable(error: &Error) -> bool {
    let Some(code) = error.code() else {
        return !is_misread(error);
    };
    let code = code.code();
    code.starts_with("08")
        || code.starts_with("57P")
        || ["0A000", "25006", "42P01", "53300"].contains(&code)
        || is_cancelled(error)
        || is_mixed_up(code)
}

/// Whether the server broke a statement off because its time was up, or somebody said so. It does
/// that at the same moment in which the connection is given up for not answering.
fn is_cancelled(error: &Error) -> bool {
    let cancelled = [SqlState::QUERY_CANCELED, SqlState::LOCK_NOT_AVAILABLE];
    error.code().is_some_and(|code| cancelled.contains(code))
}

/// Whether the driver found another type in a column than these statements go by, or no text.
fn is_misread(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.is::<WrongType>() || source.is::<Utf8Error>())
}

/// Whether a prepared statement is missing, or there already: another connection than the one on which
/// it was prepared got it.
fn is_mixed_up(code: &str) -> bool {
    ["26000", "42P05"].contains(&code)
}

/// Codes: PostgreSQL's documentation, appendix A.
fn cause(error: &Error) -> Cause {
    let Some(code) = error.code() else {
        return match is_misread(error) {
            true => Cause::OtherTables,
            false => Cause::of(error),
        };
    };
    match code.code() {
        "28P01" | "28000" => Cause::WrongPassword,
        "3D000" => Cause::DatabaseMissing,
        "42501" => Cause::PrivilegeMissing,
        "53300" => Cause::TooManyConnections,
        "53100" | "53200" => Cause::StoreFull,
        "25006" => Cause::ReadOnly,
        "55P03" => Cause::Locked,
        "42P01" | "42703" | "42804" | "42883" => Cause::OtherTables,
        _ => Cause::Other,
    }
}

fn describe(error: &Error) -> String {
    let Some(database) = error.as_db_error() else {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        return text;
    };
    let hint = match database.code().code() {
        "28P01" | "28000" => {
            "; check the user and the password in the store's URL, and sslmode if the server wants TLS"
        }
        "3D000" => "; create the database, or correct its name in the store's URL",
        "42501" => {
            "; GRANT CREATE, USAGE ON SCHEMA public TO the store's user, or make it the owner of the \
             database; of tables that another user made, make it the owner, or GRANT SELECT, INSERT, \
             UPDATE, DELETE ON jettysessions, seawall_schema TO it"
        }
        "55P03" | "57014" => {
            "; see in pg_stat_activity and pg_locks what holds the row or the table for so long, and how \
             busy the server is"
        }
        code if is_mixed_up(code) => {
            "; a pooler on the way must leave a connection to its client: for PgBouncer \
             pool_mode = session"
        }
        _ => "",
    };
    format!(
        "{} (SQLSTATE {}){hint}",
        database.message(),
        database.code().code()
    )
}
