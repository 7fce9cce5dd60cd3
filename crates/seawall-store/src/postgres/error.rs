//! What went wrong with a statement, and what follows from it.

use std::{sync::Arc, time::Duration};

use tokio_postgres::{Error, error::SqlState};

use crate::{link, store::StoreError};

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
            Self::Statement(error) | Self::Connecting(error) => is_unavailable(error),
            Self::NoAnswer(_) | Self::Schema(_) | Self::Unexpected(_) => true,
        }
    }

    fn into_store_error(self, store: &Arc<str>) -> StoreError {
        let (store, was_undone) = (store.clone(), self.was_undone());
        match self {
            Self::Statement(error) | Self::Connecting(error) => {
                let reason = describe(&error).into();
                // Undone again and again is the same as away: worth another try, a little later.
                if was_undone || is_unavailable(&error) {
                    StoreError::Unavailable { store, reason }
                } else {
                    StoreError::Rejected { store, reason }
                }
            }
            Self::NoAnswer(waited) => StoreError::Timeout { store, waited },
            Self::Schema(reason) => StoreError::Rejected {
                store,
                reason: reason.into(),
            },
            Self::Unexpected(reason) => StoreError::Rejected {
                store,
                reason: reason.into(),
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
/// break and servers that go down or come up; 25006 is a server that became a standby.
fn is_unavailable(error: &Error) -> bool {
    let Some(code) = error.code() else {
        return true;
    };
    let code = code.code();
    code.starts_with("08") || code.starts_with("57P") || code == "53300" || code == "25006"
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
        "28P01" | "28000" => "; check the user and the password in the store's URL",
        "3D000" => "; create the database, or correct its name in the store's URL",
        "42501" => {
            "; GRANT CREATE, USAGE ON SCHEMA public TO the store's user, or make it the owner of \
             the database"
        }
        _ => "",
    };
    format!(
        "{} (SQLSTATE {}){hint}",
        database.message(),
        database.code().code()
    )
}
