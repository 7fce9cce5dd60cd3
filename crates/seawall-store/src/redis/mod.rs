//! The Redis and Valkey back end (version 7 or later).
//!
//! Each batch is one script, which the server runs alone and writes to its log as one transaction;
//! in a cluster it is one script for each partition that the batch touches. The layout of the keys
//! is in `layout.rs`, the scripts are in `lua/`.
//!
//! What a commit's answer is worth is up to the server: with `appendonly yes` and
//! `appendfsync always` it is on the server's disk, as the other back ends have it; with
//! `?replicas=1` in the URL a replica has it too, so that a failover loses nothing.

mod address;
mod connection;
mod error;
mod layout;
mod listen;
mod locate;
mod requests;
mod row;
mod scripts;

use std::sync::Arc;

use crate::{
    cause::Cause,
    clock::Timestamp,
    codec::{Codec, UnreadableCounts},
    key::SessionKey,
    limits::ServerLimits,
    link::{Link, LinkCounters},
    listener::Listener,
    notices::Notices,
    statistics::ConnectionStatistics,
    store::{
        BoxFuture, Commit, CommitOutcome, Expired, Lookup, Read, ReadOutcome, SessionStore,
        SessionSummary, StoreError,
    },
    url::ServerUrl,
};
use address::Address;
use connection::{Connection, RedisConnector};
use layout::Layout;
use listen::RedisListener;
use requests::Requests;
use scripts::Scripts;

/// Sessions in Redis.
#[derive(Debug)]
pub struct RedisStore {
    description: Arc<str>,
    codec: Codec,
    layout: Layout,
    scripts: Scripts,
    replicas: u32,
    /// For what is neither a commit nor a notice.
    link: Link<RedisConnector>,
    /// Waiting for replicas blocks the connection, so what only reads has another one.
    commits: Link<RedisConnector>,
    listener: Arc<Listener<RedisListener>>,
    counters: Arc<LinkCounters>,
}

impl RedisStore {
    /// A store at `url`, whose sessions `codec` writes and reads. Nothing is connected yet.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] when the URL cannot be understood.
    pub fn new(url: &ServerUrl, limits: &ServerLimits, codec: Codec) -> Result<Self, StoreError> {
        let description: Arc<str> = url.to_string().into();
        let rejected = |reason: String| StoreError::Rejected {
            store: description.clone(),
            reason: reason.into(),
            cause: Cause::Other,
        };
        let address = Address::parse(url).map_err(rejected)?;
        let connector = RedisConnector::new(&address, description.clone(), limits)
            .map_err(|error| rejected(error.to_string()))?;
        let (layout, connector) = (Layout::new(&address.prefix), Arc::new(connector));
        let listening = RedisListener::new(connector.clone(), layout.notices());
        let counters = Arc::new(LinkCounters::default());
        let link = || {
            let (connector, counters) = (connector.clone(), counters.clone());
            Link::new(connector, description.clone(), limits, counters)
        };
        Ok(Self {
            layout,
            scripts: Scripts::new(),
            replicas: address.replicas,
            link: link(),
            commits: link(),
            listener: Listener::new(Arc::new(listening), description.clone()),
            codec,
            counters,
            description,
        })
    }
}

impl SessionStore for RedisStore {
    fn description(&self) -> &str {
        &self.description
    }

    fn read<'a>(
        &'a self,
        reads: &'a [Read],
    ) -> BoxFuture<'a, Result<Vec<ReadOutcome>, StoreError>> {
        Box::pin(
            self.link
                .run(move |connection| async move { self.at(&connection).read(reads).await }),
        )
    }

    fn commit<'a>(
        &'a self,
        commits: &'a [Commit],
    ) -> BoxFuture<'a, Result<Vec<CommitOutcome>, StoreError>> {
        Box::pin(self.commits.run(move |connection| async move {
            let requests = self.at(&connection);
            let outcomes = requests.commit(commits).await?;
            requests.await_replicas(self.replicas).await?;
            Ok(outcomes)
        }))
    }

    fn claim_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Expired>, StoreError>> {
        Box::pin(self.link.run(move |connection| async move {
            self.at(&connection).claim_expired(now, limit).await
        }))
    }

    fn locate<'a>(
        &'a self,
        lookups: &'a [Lookup],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Option<SessionKey>>, StoreError>> {
        Box::pin(
            self.link.run(move |connection| async move {
                self.at(&connection).locate(lookups, now).await
            }),
        )
    }

    fn notices(&self) -> Option<Notices> {
        Some(self.listener.subscribe())
    }

    fn list_by_principal<'a>(
        &'a self,
        principal: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<SessionSummary>, StoreError>> {
        Box::pin(self.link.run(move |connection| async move {
            self.at(&connection).list_by_principal(principal, now).await
        }))
    }

    fn connections(&self) -> ConnectionStatistics {
        self.counters.snapshot()
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(
            self.link
                .run(move |connection| async move { self.at(&connection).count().await }),
        )
    }

    fn unreadable(&self) -> UnreadableCounts {
        self.codec.unreadable()
    }
}

impl RedisStore {
    fn at<'a>(&'a self, connection: &'a Connection) -> Requests<'a> {
        Requests {
            codec: &self.codec,
            layout: &self.layout,
            scripts: &self.scripts,
            connection,
        }
    }
}
