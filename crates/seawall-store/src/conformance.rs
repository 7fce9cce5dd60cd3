//! What every back end must do, as a suite that runs against any of them.
//!
//! For authors of a store: hand [`run`] a way to open the same, at first empty, database several
//! times, in a test of your own with the feature `conformance` of this crate. It panics with a list
//! of the behaviours that do not hold, each by its name, which is the name of a function in this
//! module's files, with what was expected and what was found. It empties the database when it has
//! passed.
//!
//! ```
//! use std::sync::Arc;
//! use seawall_store::{SessionStore, conformance, memory::MemoryStore};
//!
//! # fn open_my_store(database: &Arc<MemoryStore>) -> Arc<dyn SessionStore> {
//! #     database.clone()
//! # }
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! let database = Arc::new(MemoryStore::new());
//! conformance::run(async || open_my_store(&database)).await;
//! # });
//! ```
//!
//! The suite has two parts, which can be run by themselves: [`behaviours`], one check for each thing
//! that a store must do, and [`random_operations()`], which does what nobody thought of and compares
//! the store with the memory back end after each step. The latter names the seed that failed and the
//! shortest sequence of operations that still fails; `random_operations(store, 17..18, …)` replays
//! it. Rows that cannot be read are not part of the suite, because it cannot make them; have a test
//! of your own for [`ReadOutcome::Unreadable`].

mod commits;
mod concurrency;
mod expiry;
mod locating;
mod operations;
pub mod random;
mod random_operations;
mod records;
mod report;
mod sweeping;

use std::{ops::Range, sync::Arc, time::Duration};

use concurrency::{dropped_calls_answer_nobody_else, two_connections_lose_no_update};
use report::{Report, check};

use crate::{
    Attributes, Commit, CommitOutcome, Read, ReadOutcome, SessionKey, SessionRecord, SessionStore,
    Timestamp, Value, Version, Writers,
};

pub use random_operations::random_operations;

/// The seeds of random operations that [`run`] tries while [`TIME`] lasts.
pub const SEEDS: Range<u64> = 0..40;

/// How long [`run`] tries random operations; it ends what it has begun.
pub const TIME: Duration = Duration::from_secs(5);

/// Runs the suite. `open` gives a new connection to the same database each time.
///
/// # Panics
/// When the back end does not conform.
pub async fn run(open: impl AsyncFn() -> Arc<dyn SessionStore>) {
    behaviours(&open).await;
    random_operations(&*open().await, SEEDS, TIME).await;
}

/// Checks one behaviour after another, and goes on after one that does not hold.
///
/// # Panics
/// With the names of all behaviours that do not hold.
pub async fn behaviours(open: impl AsyncFn() -> Arc<dyn SessionStore>) {
    let (store, other) = (open().await, open().await);
    let mut report = Report::new(store.clone());
    records::run(&mut report, &*store, &*other).await;
    commits::run(&mut report, &*store).await;
    expiry::run(&mut report, &*store, &*other).await;
    locating::run(&mut report, &*store, &*other).await;
    sweeping::run(&mut report, &*store, &*other).await;
    check!(report, two_connections_lose_no_update(&store, &other));
    check!(report, dropped_calls_answer_nobody_else(&*store));
    report.finish();
}

/// A time that real clocks have passed, so that the tests do not depend on the present.
const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);

const IDLE: Duration = Duration::from_secs(1_800);
const SLACK: Duration = Duration::from_secs(60);

fn key(id: &str) -> SessionKey {
    SessionKey {
        id: id.into(),
        context: "_app".into(),
        virtual_host: "0.0.0.0".into(),
    }
}

fn record(version: i64) -> SessionRecord {
    SessionRecord {
        version: Version::from_i64(version),
        created_at: START,
        last_access: START,
        idle_timeout: Some(IDLE),
        expiry_slack: SLACK,
        deadline: None,
        principal: None,
        origin: None,
        last_node: "node1".into(),
        writers: Writers::from([("node0".into(), Version::from_i64(3))]),
        attributes: Attributes::from([("count".into(), Value::I64(version))]),
        notes: Attributes::new(),
    }
}

fn create(id: &str, record: SessionRecord) -> Commit {
    Commit::Create {
        key: key(id),
        record: Arc::new(record),
    }
}

fn update(id: &str, expected: i64, record: SessionRecord) -> Commit {
    Commit::Update {
        key: key(id),
        expected: Version::from_i64(expected),
        record: Arc::new(record),
    }
}

fn delete(id: &str) -> Commit {
    Commit::delete(key(id))
}

fn touch(id: &str, last_access: Timestamp) -> Commit {
    Commit::Touch {
        key: key(id),
        last_access,
    }
}

fn rename(id: &str, new_id: &str, expected: i64, record: SessionRecord) -> Commit {
    Commit::Rename {
        key: key(id),
        new_id: new_id.into(),
        expected: Version::from_i64(expected),
        record: Arc::new(record),
    }
}

async fn commit(store: &dyn SessionStore, commit: Commit) -> CommitOutcome {
    let outcomes = store.commit(&[commit]).await.expect("the store answers");
    assert_eq!(outcomes.len(), 1, "one outcome for each commit");
    outcomes[0]
}

async fn read(store: &dyn SessionStore, key: SessionKey, known: Option<i64>) -> ReadOutcome {
    let read = Read {
        key,
        known: known.map(Version::from_i64),
    };
    let mut outcomes = store.read(&[read]).await.expect("the store answers");
    assert_eq!(outcomes.len(), 1, "one outcome for each read");
    outcomes.remove(0)
}

async fn found(store: &dyn SessionStore, id: &str) -> SessionRecord {
    match read(store, key(id), None).await {
        ReadOutcome::Found(record) => *record,
        other => panic!("{id}: expected a session, found {other:?}"),
    }
}
