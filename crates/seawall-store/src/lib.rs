//! The session store: what a session is, how it is written, and where it is kept.
//!
//! Data flows one way. A request works on a [`SessionRecord`], the changes become a [`Commit`],
//! the [`Batcher`] gathers the commits of concurrent requests, and a [`SessionStore`] (a back end)
//! carries out each batch. A commit is a compare-and-set of the record's [`Version`], so it never
//! overwrites what it has not seen.
//!
//! Back ends: [`memory`], [`sqlite`], [`postgres`], [`mysql`] and [`mod@redis`], each behind a feature of that name. To write
//! another, implement [`SessionStore`] and run the suite in `conformance` (a feature too) against it.

#![cfg_attr(
    not(all(
        feature = "mysql",
        feature = "postgres",
        feature = "redis",
        feature = "sqlite"
    )),
    allow(dead_code, reason = "back ends share what not each of them needs")
)]

#[cfg(feature = "server")]
mod address;
pub mod batcher;
pub mod cause;
pub mod change_set;
pub mod clock;
pub mod codec;
#[cfg(any(feature = "mysql", feature = "sqlite"))]
mod columns;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod halves;
pub mod key;
mod limits;
#[cfg(feature = "server")]
mod link;
#[cfg(any(feature = "postgres", feature = "redis"))]
mod listener;
#[cfg(feature = "memory")]
pub mod memory;
#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(any(feature = "server", feature = "sqlite"))]
mod nonsense;
pub mod notes;
pub mod notices;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod record;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod statistics;
pub mod store;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod tls;
pub mod url;
pub mod value;

pub use batcher::{Batcher, BatcherSettings, PendingCommit};
pub use cause::Cause;
pub use change_set::ChangeSet;
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use codec::{Codec, KeyError, KeyRing, UnreadableCounts};
pub use key::SessionKey;
pub use limits::ServerLimits;
pub use notes::Device;
pub use notices::{Notice, NoticeSender, Notices};
pub use record::{Attributes, SessionRecord, Version, Writers};
pub use statistics::StoreStatistics;
pub use store::{
    BoxFuture, Commit, CommitOutcome, Expired, LIST_LIMIT, Lookup, Read, ReadOutcome, SessionStore,
    SessionSummary, StoreError,
};
pub use url::{StoreOptions, StoreUrl};
pub use value::{Value, ValueError};
