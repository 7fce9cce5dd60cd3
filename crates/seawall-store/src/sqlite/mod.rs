//! The SQLite back end: one file that all node processes of a machine share.
//!
//! Each store has two threads with a connection each, one that writes and one that reads. A batch
//! of commits is one transaction, durable when it is answered (WAL, `synchronous=FULL`). Processes
//! take turns at writing; reading waits for nobody. The table has the columns of Jetty's JDBC
//! session store, and three more.

use std::{path::Path, sync::Arc};

use tokio::sync::mpsc;

use crate::{
    clock::Timestamp,
    codec::{Codec, UnreadableCounts},
    key::SessionKey,
    store::{
        BoxFuture, Commit, CommitOutcome, Expired, Lookup, Read, ReadOutcome, SessionStore,
        SessionSummary, StoreError,
    },
};
use file::OpenedFile;
use worker::{Access, ReadRequest, Reader, WriteRequest, Writer, ask};

mod error;
mod file;
mod row;
mod schema;
mod statements;
mod sweep;
#[cfg(test)]
mod tests;
mod worker;

/// The version of the tables.
pub(crate) const SCHEMA_VERSION: u32 = schema::VERSION;

/// Sessions in an SQLite file. Its threads end when it is dropped.
#[derive(Debug)]
pub struct SqliteStore {
    description: Arc<str>,
    codec: Codec,
    reader: mpsc::Sender<ReadRequest>,
    writer: mpsc::Sender<WriteRequest>,
}

impl SqliteStore {
    /// Opens the file at `path`, whose sessions `codec` writes and reads; makes it (and its folder)
    /// when it is missing, for this user only.
    ///
    /// Several processes may do this at the same time. The file has to be on a local disk.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] when the file cannot be used, [`StoreError::Unavailable`] when
    /// another process keeps it locked.
    pub fn open(path: &Path, codec: Codec) -> Result<Self, StoreError> {
        let description: Arc<str> = format!("SQLite {}", path.display()).into();
        let path = schema::prepare_file(&description, path)?;
        let file = OpenedFile::at(&path).map_err(|e| error::file_error(&description, &path, &e))?;
        let access = || {
            Ok(Access {
                store: description.clone(),
                file: file.clone(),
                connection: schema::connect(&description, &path)?,
                codec: codec.clone(),
            })
        };
        let mut writer = Writer::new(access()?);
        let mut reader = Reader::new(access()?);
        Ok(Self {
            reader: worker::spawn(&description, "sqlite-reader", move |r| reader.serve(r))?,
            writer: worker::spawn(&description, "sqlite-writer", move |r| writer.serve(r))?,
            codec,
            description,
        })
    }
}

impl SessionStore for SqliteStore {
    fn description(&self) -> &str {
        &self.description
    }

    fn read<'a>(
        &'a self,
        reads: &'a [Read],
    ) -> BoxFuture<'a, Result<Vec<ReadOutcome>, StoreError>> {
        Box::pin(ask(&self.description, &self.reader, |answer| {
            ReadRequest::Read {
                reads: reads.to_vec(),
                answer,
            }
        }))
    }

    fn commit<'a>(
        &'a self,
        commits: &'a [Commit],
    ) -> BoxFuture<'a, Result<Vec<CommitOutcome>, StoreError>> {
        Box::pin(ask(&self.description, &self.writer, |answer| {
            WriteRequest::Commit {
                commits: commits.to_vec(),
                answer,
            }
        }))
    }

    fn claim_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Expired>, StoreError>> {
        Box::pin(ask(&self.description, &self.writer, move |answer| {
            WriteRequest::Claim { now, limit, answer }
        }))
    }

    fn locate<'a>(
        &'a self,
        lookups: &'a [Lookup],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Option<SessionKey>>, StoreError>> {
        Box::pin(ask(&self.description, &self.reader, move |answer| {
            ReadRequest::Locate {
                lookups: lookups.to_vec(),
                now,
                answer,
            }
        }))
    }

    fn list_by_principal<'a>(
        &'a self,
        principal: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<SessionSummary>, StoreError>> {
        Box::pin(ask(&self.description, &self.reader, move |answer| {
            ReadRequest::List {
                principal: principal.into(),
                now,
                answer,
            }
        }))
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(ask(&self.description, &self.reader, |answer| {
            ReadRequest::Count { answer }
        }))
    }

    fn unreadable(&self) -> UnreadableCounts {
        self.codec.unreadable()
    }
}
