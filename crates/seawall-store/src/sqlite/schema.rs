//! Opening the file: its permissions, the settings of a connection, and the migrations.

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::error::{file_error, is_busy, rejected, store_error};
use crate::{cause::Cause, store::StoreError};

/// How long a lock of another connection is waited for, in total.
const BUSY_LIMIT: Duration = Duration::from_secs(5);

/// How long to sleep between two attempts at a lock. A commit takes about as long as an fsync;
/// SQLite's own back-off sleeps up to 100 ms and would leave the file idle meanwhile.
const BUSY_PAUSE: Duration = Duration::from_micros(200);

/// Statements that one connection keeps prepared; more than there are.
const CACHED_STATEMENTS: usize = 32;

/// The page cache of a connection, at most; negative because it is in KiB and not in pages. The
/// default of 2 MB holds some hundred sessions that lie apart in a large table.
const CACHE_KIB: i64 = -32_768;

/// The version of the tables.
pub(super) const VERSION: u32 = 1;

/// What brings the schema from one version (`PRAGMA user_version`) to the next. Only ever add.
const MIGRATIONS: [&str; VERSION as usize] = ["
    CREATE TABLE JettySessions (
        sessionId varchar(120) NOT NULL,
        contextPath varchar(60) NOT NULL,
        virtualHost varchar(60) NOT NULL,
        lastNode varchar(60),
        accessTime bigint,
        lastAccessTime bigint,
        createTime bigint,
        cookieTime bigint,
        lastSavedTime bigint,
        expiryTime bigint,
        maxInterval bigint,
        map blob,
        principal text,
        deadline bigint,
        expirybucket bigint,
        origin varchar(120),
        PRIMARY KEY (sessionId, contextPath, virtualHost)
    );
    CREATE INDEX JettySessions_expirybucket ON JettySessions (expirybucket);
    CREATE INDEX JettySessions_no_bucket ON JettySessions (expiryTime)
        WHERE expirybucket IS NULL AND expiryTime > 0;
    CREATE INDEX JettySessions_principal ON JettySessions (principal)
        WHERE principal IS NOT NULL;
    CREATE INDEX JettySessions_origin ON JettySessions (origin) WHERE origin IS NOT NULL;
"];

/// Makes the folder and the file when they are missing, readable for this user only, and answers
/// the file's absolute path. SQLite gives its companion files the permissions of this one.
pub(super) fn prepare_file(store: &Arc<str>, path: &Path) -> Result<PathBuf, StoreError> {
    create_file(path).map_err(|error| file_error(store, path, &error))
}

fn create_file(path: &Path) -> io::Result<PathBuf> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    path.canonicalize()
}

/// Opens a connection and brings the schema up to date.
pub(super) fn connect(store: &Arc<str>, path: &Path) -> Result<Connection, StoreError> {
    let mut connection = open(path).map_err(|error| store_error(store, &error))?;
    // Taking turns is not enough to switch a fresh file to WAL: SQLite answers that it is busy,
    // without asking the busy handler, when two connections would wait for each other.
    let mode = retry_busy(|| use_wal(&connection)).map_err(|error| store_error(store, &error))?;
    if mode != "wal" {
        let reason = format!(
            "the journal mode stays {mode:?}; use a file on a local disk, as WAL needs shared memory"
        );
        return Err(rejected(store, &reason, Cause::Other));
    }
    let version = retry_busy(|| migrate(&mut connection));
    let version = version.map_err(|error| migration_error(store, &error))?;
    if version > MIGRATIONS.len() {
        let reason = format!(
            "the schema has version {version} and this program knows {}; run the newer program",
            MIGRATIONS.len()
        );
        return Err(rejected(store, &reason, Cause::OtherTables));
    }
    Ok(connection)
}

/// A statement that is wrong by itself meets tables that are not Seawall's.
fn migration_error(store: &Arc<str>, error: &rusqlite::Error) -> StoreError {
    let rusqlite::Error::SqlInputError { msg, .. } = error else {
        return store_error(store, error);
    };
    let reason = format!(
        "{msg}: something else has made tables of Seawall's names in this file; name another file, \
         or move this one away"
    );
    rejected(store, &reason, Cause::OtherTables)
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    // Each connection belongs to one thread, so SQLite's own mutexes are not needed.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_handler(Some(lock_patience()))?;
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    Ok(connection)
}

fn use_wal(connection: &Connection) -> rusqlite::Result<String> {
    let mode = connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", CACHE_KIB)?;
    Ok(mode)
}

/// Carries out the migrations that are missing and answers the version of the schema.
fn migrate(connection: &mut Connection) -> rusqlite::Result<usize> {
    let present = schema_version(connection)?;
    if present >= MIGRATIONS.len() {
        return Ok(present);
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have migrated while this one waited for the lock.
    let present = schema_version(&transaction)?;
    for migration in MIGRATIONS.iter().skip(present) {
        transaction.execute_batch(migration)?;
    }
    let version = present.max(MIGRATIONS.len());
    let column = i64::try_from(version).expect("there are few migrations");
    transaction.pragma_update(None, "user_version", column)?;
    transaction.commit()?;
    Ok(version)
}

/// The version of the table; 0 when there is none, even if somebody dropped it and left its version.
fn schema_version(connection: &Connection) -> rusqlite::Result<usize> {
    let version: i64 = connection.query_row("PRAGMA user_version", (), |row| row.get(0))?;
    // A negative version is none of ours: let it count as one that is not known.
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    let is_ours = version <= MIGRATIONS.len();
    Ok(if is_ours && !has_table(connection)? {
        0
    } else {
        version
    })
}

fn has_table(connection: &Connection) -> rusqlite::Result<bool> {
    let find = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'JettySessions')";
    connection.query_row(find, (), |row| row.get(0))
}

/// Repeats what fails because of a lock, for as long as a lock is waited for.
fn retry_busy<T>(mut attempt: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    let started = Instant::now();
    loop {
        match attempt() {
            Err(error) if is_busy(&error) && started.elapsed() < BUSY_LIMIT => {
                thread::sleep(BUSY_PAUSE);
            }
            result => return result,
        }
    }
}

/// What SQLite calls when a lock is taken, with how often it has for this lock; `true` means that
/// it tries again.
fn lock_patience() -> impl FnMut(i32) -> bool + Send + 'static {
    let mut waiting_since = None;
    move |attempts| {
        if attempts == 0 {
            waiting_since = None;
        }
        let patient = waiting_since.get_or_insert_with(Instant::now).elapsed() < BUSY_LIMIT;
        if patient {
            thread::sleep(BUSY_PAUSE);
        }
        patient
    }
}
