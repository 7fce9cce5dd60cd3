//! What an error of SQLite means to the caller of the store.

use std::{path::Path, sync::Arc};

use rusqlite::{Error, ErrorCode};

use crate::{cause::Cause, store::StoreError};

/// What a [`StoreError`] says for an error of SQLite.
pub(super) fn store_error(store: &Arc<str>, error: &Error) -> StoreError {
    let code = error.sqlite_error_code();
    match code {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OperationInterrupted
            | ErrorCode::OutOfMemory
            | ErrorCode::SystemIoFailure,
        ) => unavailable(store, &format!("{error}{}", advice(code))),
        _ => rejected(store, &format!("{error}{}", advice(code)), cause(code)),
    }
}

fn cause(code: Option<ErrorCode>) -> Cause {
    match code {
        Some(ErrorCode::DiskFull) => Cause::StoreFull,
        Some(ErrorCode::ReadOnly) => Cause::ReadOnly,
        Some(ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => Cause::PrivilegeMissing,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Cause::Damaged,
        _ => Cause::Other,
    }
}

/// Whether somebody else holds a lock, so that trying again helps.
pub(super) fn is_busy(error: &Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

/// The file or its folder cannot be made or opened.
pub(super) fn file_error(store: &Arc<str>, path: &Path, error: &std::io::Error) -> StoreError {
    let path = path.display();
    rejected(
        store,
        &format!("cannot create or open {path}: {error}; {WRITABLE}"),
        Cause::of(error),
    )
}

pub(super) fn rejected(store: &Arc<str>, reason: &str, cause: Cause) -> StoreError {
    StoreError::Rejected {
        store: store.clone(),
        reason: reason.into(),
        cause,
    }
}

pub(super) fn unavailable(store: &Arc<str>, reason: &str) -> StoreError {
    StoreError::Unavailable {
        store: store.clone(),
        reason: reason.into(),
        cause: Cause::Other,
    }
}

const WRITABLE: &str = "make the file and its folder writable for this user, or name another file";

fn advice(code: Option<ErrorCode>) -> String {
    let advice = match code {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process holds the lock for long; look for a stopped process or an open shell"
        }
        Some(ErrorCode::DiskFull) => "free space on its disk",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => WRITABLE,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "stop all nodes, then restore the file from a backup or move it away to start afresh"
        }
        Some(ErrorCode::SystemIoFailure) => "look for errors of the disk in the system's log",
        _ => return String::new(),
    };
    format!("; {advice}")
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn of(code: i32) -> StoreError {
        store_error(
            &Arc::from("SQLite /a/b.db"),
            &Error::SqliteFailure(ffi::Error::new(code), None),
        )
    }

    #[test]
    fn locks_and_input_output_pass() {
        for code in [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_BUSY_SNAPSHOT,
            ffi::SQLITE_IOERR,
        ] {
            assert!(of(code).is_transient(), "{}", of(code));
        }
    }

    #[test]
    fn what_does_not_pass_says_where_and_what_to_do() {
        for (code, advice) in [
            (ffi::SQLITE_FULL, "free space"),
            (ffi::SQLITE_READONLY, "writable"),
            (ffi::SQLITE_CORRUPT, "backup"),
            (ffi::SQLITE_NOTADB, "backup"),
        ] {
            let error = of(code);
            assert!(!error.is_transient(), "{error}");
            let message = error.to_string();
            assert!(
                message.starts_with("SQLite /a/b.db: ") && message.contains(advice),
                "{error}"
            );
        }
    }
}
