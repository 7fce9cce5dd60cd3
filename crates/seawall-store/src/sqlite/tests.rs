//! What is SQLite's own: the file, and several processes that share it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use super::{
    SqliteStore,
    worker::{self, ReadRequest},
};
use crate::{
    Attributes, Cause, Codec, Commit, CommitOutcome, Read, ReadOutcome, SessionKey, SessionRecord,
    SessionStore, StoreError, Timestamp, Version,
};

fn key(id: &str) -> SessionKey {
    SessionKey {
        id: id.into(),
        context: "_".into(),
        virtual_host: "0.0.0.0".into(),
    }
}

fn create(id: &str) -> Commit {
    let record = SessionRecord {
        version: Version::from_i64(1),
        created_at: Timestamp::from_millis(1),
        last_access: Timestamp::from_millis(1),
        idle_timeout: Some(Duration::from_secs(60)),
        expiry_slack: Duration::ZERO,
        deadline: None,
        principal: None,
        origin: None,
        last_node: "node1".into(),
        writers: crate::Writers::new(),
        attributes: Attributes::new(),
        notes: Attributes::new(),
    };
    Commit::Create {
        key: key(id),
        record: Arc::new(record),
    }
}

#[tokio::test]
async fn the_file_is_private_and_its_folder_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/folder/sessions.db");
    let store = SqliteStore::open(&path, Codec::default()).unwrap();
    assert_eq!(
        store.commit(&[create("a")]).await.unwrap(),
        [CommitOutcome::Done]
    );
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(store);
    let reopened = SqliteStore::open(&path, Codec::default()).unwrap();
    assert_eq!(reopened.count().await.unwrap(), 1);
}

/// What is removed or replaced lives on for whoever has it open; a node that starts later has another.
#[tokio::test]
async fn a_file_that_is_not_at_its_path_any_more_is_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let (path, away) = (folder.path().join("s.db"), folder.path().join("away.db"));
    let store = SqliteStore::open(&path, Codec::default()).unwrap();
    store.commit(&[create("a")]).await.unwrap();
    let assert_away = async |words: &str| {
        let errors = [
            store.count().await.unwrap_err(),
            store.commit(&[create("b")]).await.unwrap_err(),
        ];
        for error in errors {
            assert!(error.is_transient(), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    };
    fs::rename(&path, &away).unwrap();
    assert_away("the file was removed").await;
    fs::write(&path, "").unwrap();
    assert_away("another file has taken its place").await;
    fs::rename(&away, &path).unwrap();
    store.commit(&[create("c")]).await.unwrap();
}

#[tokio::test]
async fn a_table_that_was_dropped_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    drop(SqliteStore::open(&path, Codec::default()).unwrap());
    let shell = rusqlite::Connection::open(&path).unwrap();
    shell.execute_batch("DROP TABLE JettySessions").unwrap();
    let store = SqliteStore::open(&path, Codec::default()).unwrap();
    store.commit(&[create("a")]).await.unwrap();
}

#[test]
fn many_may_open_an_empty_file_at_once() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.db");
        thread::scope(|scope| {
            let open = || SqliteStore::open(&path, Codec::default()).map(drop);
            let openers: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            for opener in openers {
                opener.join().unwrap().unwrap();
            }
        });
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let store = SqliteStore::open(&path, Codec::default()).unwrap();
    store.commit(&[create("a"), create("b")]).await.unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute(
            "UPDATE JettySessions SET map = x'aced' WHERE sessionId = 'a'",
            [],
        )
        .unwrap();
    let reads = ["a", "b"].map(|id| Read {
        key: key(id),
        known: None,
    });
    let outcomes = store.read(&reads).await.unwrap();
    assert!(
        matches!(outcomes[0], ReadOutcome::Unreadable(_)),
        "{outcomes:?}"
    );
    assert!(matches!(outcomes[1], ReadOutcome::Found(_)), "{outcomes:?}");
    assert_eq!(store.count().await.unwrap(), 2);
}

#[tokio::test]
async fn a_touched_session_is_not_among_those_that_a_sweep_looks_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let store = SqliteStore::open(&path, Codec::default()).unwrap();
    store.commit(&[create("a")]).await.unwrap();
    let touch = Commit::Touch {
        key: key("a"),
        last_access: Timestamp::from_millis(1_000_000),
    };
    store.commit(&[touch]).await.unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    let bucket: i64 = other
        .query_row("SELECT expirybucket FROM JettySessions", (), |row| {
            row.get(0)
        })
        .unwrap();
    // Its idle timeout is a minute, and buckets are five minutes wide.
    assert_eq!(bucket, 1_200_000);
}

#[tokio::test]
async fn what_was_touched_behind_our_back_gets_its_bucket_when_nothing_is_due() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let store = SqliteStore::open(&path, Codec::default()).unwrap();
    store.commit(&[create("a"), create("b")]).await.unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    let touch = "UPDATE JettySessions SET expiryTime = 1000000 WHERE sessionId = 'a'";
    other.execute(touch, ()).unwrap();
    let now = Timestamp::from_millis(400_000);
    for claimed in [1, 0] {
        assert_eq!(store.claim_expired(now, 10).await.unwrap().len(), claimed);
    }
    let bucket = other.query_row("SELECT expirybucket FROM JettySessions", (), |row| {
        row.get::<_, i64>(0)
    });
    assert_eq!(bucket.unwrap(), 1_200_000);
}

#[test]
fn a_place_that_cannot_be_used_is_named() {
    let error = SqliteStore::open("/proc/sessions.db".as_ref(), Codec::default()).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(
            error,
            StoreError::Rejected { .. } | StoreError::Unavailable { .. }
        ),
        "{text}"
    );
    assert!(text.contains("/proc"), "{text}");
}

#[test]
fn tables_of_somebody_else_are_no_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .execute_batch("CREATE TABLE JettySessions (a)")
        .unwrap();
    let error = SqliteStore::open(&path, Codec::default()).unwrap_err();
    assert_eq!(error.cause(), Cause::OtherTables, "{error}");
    let text = error.to_string();
    assert!(text.contains("name another file"), "{text}");
    assert!(!text.contains("CREATE TABLE"), "{text}");
}

#[test]
fn what_nobody_waits_for_any_more_is_not_looked_up() {
    let (release, released) = mpsc::channel();
    let (served, all_served) = mpsc::channel();
    let serve = move |request: ReadRequest| {
        served.send(request).unwrap();
        released.recv().unwrap();
    };
    let requests = worker::spawn(&"x".into(), "reader", serve).unwrap();
    let ask = |request| requests.try_send(request).unwrap();
    let (count, _waits) = oneshot::channel();
    ask(ReadRequest::Count { answer: count });
    let _first = all_served.recv().unwrap();
    let (now, lookups) = (Timestamp::from_millis(1), Vec::new());
    let answer = given_up();
    ask(ReadRequest::Count { answer });
    let answer = given_up();
    ask(ReadRequest::Locate {
        lookups,
        now,
        answer,
    });
    let (principal, answer) = ("user:42".into(), given_up());
    ask(ReadRequest::List {
        principal,
        now,
        answer,
    });
    let (reads, answer) = (Vec::new(), given_up());
    ask(ReadRequest::Read { reads, answer });
    drop(requests);
    release.send(()).unwrap();
    assert!(all_served.recv().is_err(), "the thread has ended");
}

fn given_up<T>() -> worker::Answer<T> {
    oneshot::channel().0
}
