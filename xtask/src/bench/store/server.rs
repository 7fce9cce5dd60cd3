//! The back ends, each as durable as one in production.

use std::{fmt, fs, path::PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use seawall_testing::{TestMariaDb, TestPostgres, TestRedis};

use crate::bench::folder;

/// Which back end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Memory,
    Sqlite,
    Postgres,
    Mariadb,
    Redis,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Memory,
        Self::Sqlite,
        Self::Postgres,
        Self::Mariadb,
        Self::Redis,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::Mariadb => "MariaDB",
            Self::Redis => "Redis",
        }
    }

    pub(super) fn is_in_memory(self) -> bool {
        matches!(self, Self::Memory | Self::Redis)
    }

    /// The memory of the process has no client to compare with.
    pub(super) fn has_naive_client(self) -> bool {
        self != Self::Memory
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// The servers' caches as an operator sets them for a large table: the defaults, 128 MB each, are for
/// small machines.
const MARIADB_CACHE: &str = "--innodb-buffer-pool-size=2G";
const POSTGRES_CACHE: &str = "shared_buffers=2GB";

/// A back end at work. Commits are on the disk before they are acknowledged: PostgreSQL with its
/// own defaults, MariaDB too (`innodb_flush_log_at_trx_commit` is 1), Redis with `appendonly yes`
/// and `appendfsync always`, SQLite with `synchronous=FULL`.
#[derive(Debug)]
pub(super) enum Server {
    Mariadb(TestMariaDb),
    Memory,
    Postgres(TestPostgres),
    Redis(TestRedis),
    Sqlite(Folder),
}

/// A folder that goes when it is dropped.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays is under target, and goes with it.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Server {
    pub(super) fn start(kind: Kind) -> Result<Self> {
        Ok(match kind {
            Kind::Mariadb => Self::Mariadb(TestMariaDb::start_with(&[MARIADB_CACHE])),
            Kind::Memory => Self::Memory,
            Kind::Postgres => Self::Postgres(TestPostgres::start_with(&[POSTGRES_CACHE])),
            Kind::Redis => Self::Redis(TestRedis::start()),
            Kind::Sqlite => {
                let files = folder()?.join("store");
                fs::create_dir_all(&files)?;
                Self::Sqlite(Folder(files))
            }
        })
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Mariadb(_) => Kind::Mariadb,
            Self::Memory => Kind::Memory,
            Self::Postgres(_) => Kind::Postgres,
            Self::Redis(_) => Kind::Redis,
            Self::Sqlite(_) => Kind::Sqlite,
        }
    }

    /// The URL of the server's store of that number, which is new and empty.
    pub(super) fn create_store(&self, number: usize) -> String {
        match self {
            Self::Mariadb(server) => server.create_database(&format!("sessions_{number}")),
            Self::Memory => "memory:".to_owned(),
            Self::Postgres(server) => server.create_database(&format!("sessions_{number}")),
            // Redis has its databases already.
            Self::Redis(server) => format!("{}/{number}", server.url()),
            Self::Sqlite(Folder(folder)) => {
                format!("sqlite:{}", folder.join(format!("{number}.db")).display())
            }
        }
    }

    /// The process of the database; some are none.
    pub(super) fn process_id(&self) -> Option<u32> {
        match self {
            Self::Mariadb(server) => Some(server.process_id()),
            Self::Postgres(server) => Some(server.process_id()),
            Self::Redis(server) => Some(server.process_id()),
            Self::Memory | Self::Sqlite(_) => None,
        }
    }
}
