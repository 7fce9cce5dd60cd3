//! The store under torture.

use std::{fs, io, path::Path};

use clap::ValueEnum;
use seawall_testing::{TestMariaDb, TestPostgres, TestRedis};
use tempfile::TempDir;

use crate::proxy::Proxy;

/// Which store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Mariadb,
    Postgres,
    Redis,
    Sqlite,
}

/// A real server, or a file.
pub(crate) enum Database {
    Mariadb(TestMariaDb),
    Postgres(TestPostgres),
    Redis(TestRedis),
    Sqlite(TempDir),
}

impl Database {
    /// Starts one that keeps what it acknowledges, whatever happens.
    pub(crate) fn start(kind: Kind) -> anyhow::Result<Self> {
        Ok(match kind {
            Kind::Mariadb => Self::Mariadb(TestMariaDb::start()),
            Kind::Postgres => Self::Postgres(TestPostgres::start_durable()),
            Kind::Redis => Self::Redis(TestRedis::start()),
            Kind::Sqlite => Self::Sqlite(tempfile::tempdir()?),
        })
    }

    /// The URL for nodes, by way of the proxy if there is one.
    pub(crate) fn url(&self, proxy: Option<&Proxy>) -> String {
        let url = match self {
            Self::Mariadb(server) => server.url(),
            Self::Postgres(server) => server.url(),
            Self::Redis(server) => server.url(),
            Self::Sqlite(folder) => format!("sqlite:{}", folder.path().join("s.db").display()),
        };
        match proxy {
            Some(proxy) => url.replace(
                &format!(":{}", proxy.target().port()),
                &format!(":{}", proxy.port()),
            ),
            None => url,
        }
    }

    /// The port of the server; a file has none.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Mariadb(server) => Some(server.port()),
            Self::Postgres(server) => Some(server.port()),
            Self::Redis(server) => Some(server.port()),
            Self::Sqlite(_) => None,
        }
    }

    /// Keeps what the server logged in `folder`.
    pub(crate) fn keep_log(&self, folder: &Path) -> io::Result<()> {
        let log = match self {
            Self::Mariadb(server) => server.log(),
            Self::Postgres(server) => server.log(),
            Self::Redis(server) => server.log(),
            Self::Sqlite(_) => return Ok(()),
        };
        fs::write(folder.join("database.log"), log)
    }

    pub(crate) fn kill(&mut self) {
        match self {
            Self::Mariadb(server) => server.kill(),
            Self::Postgres(server) => server.kill(),
            Self::Redis(server) => server.kill(),
            Self::Sqlite(_) => {}
        }
    }

    pub(crate) fn start_again(&mut self) {
        match self {
            Self::Mariadb(server) => server.start_again(),
            Self::Postgres(server) => server.start_again(),
            Self::Redis(server) => server.start_again(),
            Self::Sqlite(_) => {}
        }
    }
}
