//! Rows that cannot be read: named, left as they are, and harmless to the others.

use seawall_store::{Commit, CommitOutcome, Read, ReadOutcome, Timestamp};
use seawall_testing::{TestMariaDb, TestPostgres, TestRedis};

use crate::support::{create, key, open};

/// Damages the row of the session `bad` with `damage`, and looks at it through the store at `url`.
async fn is_left_alone(url: &str, damage: impl FnOnce()) {
    let store = open(url).await;
    let batch = ["bad", "good"].map(create);
    assert_eq!(
        store.commit(&batch).await.unwrap(),
        [CommitOutcome::Done; 2]
    );
    damage();
    let reads = ["bad", "good"].map(|id| Read {
        key: key(id),
        known: None,
    });
    let found = store.read(&reads).await.unwrap();
    let [ReadOutcome::Unreadable(reason), ReadOutcome::Found(_)] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert!(reason.contains("unknown payload format 9"), "{reason}");
    let taken = store.commit(&[create("bad")]).await.unwrap();
    assert_eq!(taken, [CommitOutcome::Exists], "its id is not given again");
    let now = Timestamp::from_millis(1_790_000_000_000);
    assert_eq!(store.claim_expired(now, 10).await.unwrap().len(), 0);
    let later = Timestamp::from_millis(1_790_001_800_000);
    let mut claimed = store.claim_expired(later, 10).await.unwrap();
    claimed.sort_by(|a, b| a.key.cmp(&b.key));
    let readable: Vec<_> = claimed.iter().map(|one| one.record.is_some()).collect();
    assert_eq!(readable, [false, true], "it expires like any other");
    store.commit(&[create("bad")]).await.unwrap();
    let deleted = store.commit(&[Commit::delete(key("bad"))]).await.unwrap();
    assert_eq!(deleted, [CommitOutcome::Done]);
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_damaged_row_is_left_alone_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.db");
    is_left_alone(&format!("sqlite:{}", file.display()), || {
        let connection = rusqlite::Connection::open(&file).unwrap();
        let damage = "UPDATE JettySessions SET map = x'0980' WHERE sessionId = 'bad'";
        assert_eq!(connection.execute(damage, []).unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_damaged_row_is_left_alone_on_postgresql() {
    let server = TestPostgres::start();
    is_left_alone(&server.url(), || {
        server.query("UPDATE jettysessions SET map = '\\x0980' WHERE sessionid = 'bad'");
    })
    .await;
}

#[tokio::test]
async fn a_damaged_row_is_left_alone_on_mariadb() {
    let server = TestMariaDb::start();
    is_left_alone(&server.url(), || {
        server.query("UPDATE sessions.JettySessions SET map = x'0980' WHERE sessionId = 'bad'");
    })
    .await;
}

#[tokio::test]
async fn a_damaged_row_is_left_alone_on_redis() {
    let server = TestRedis::start();
    is_left_alone(&server.url(), || {
        let row = server.command(&["keys", "*:s:*|bad"]);
        server.command(&["hset", &row, "map", "\t"]);
    })
    .await;
}
