//! What every back end must do, as a suite that runs against any of them.
//!
//! Hand [`run`] a way to open the same, at first empty, database several times. It panics with the
//! name of what does not hold. It leaves the database empty of what it made, but for unreadable
//! rows, which it cannot make.

mod commits;
mod concurrency;
mod expiry;
mod model;
pub mod random;

use std::{sync::Arc, time::Duration};

use crate::{
    Attributes, Commit, CommitOutcome, Read, ReadOutcome, SessionKey, SessionRecord, SessionStore,
    Timestamp, Value, Version, Writers,
};

/// Runs the suite. `open` gives a new connection to the same database each time.
///
/// # Panics
/// When the back end does not conform.
pub async fn run(open: impl AsyncFn() -> Arc<dyn SessionStore>) {
    let store = open().await;
    commits::run(&*store).await;
    expiry::run(&*store, &*open().await).await;
    model::run(&*store).await;
    concurrency::run(store, open().await).await;
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
