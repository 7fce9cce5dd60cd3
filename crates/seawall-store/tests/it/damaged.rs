//! Rows that cannot be read: named, left as they are, and harmless to the others.

use seawall_store::{Commit, CommitOutcome, Read, ReadOutcome, Timestamp, Version};
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

/// Damages the columns of a session in each of these ways with `damage`, and looks at it through the
/// store at `url`: by itself and in a batch, whether its version is known or not.
async fn nonsense_is_left_alone<D: Copy>(url: &str, damages: &[D], damage: impl Fn(&str, D)) {
    let store = open(url).await;
    store.commit(&[create("good")]).await.unwrap();
    for (index, &how) in damages.iter().enumerate() {
        let bad = format!("bad{index}");
        store.commit(&[create(&bad)]).await.unwrap();
        damage(&bad, how);
        let Commit::Create { record, .. } = create(&bad) else {
            unreachable!()
        };
        for known in [None, Some(record.version)] {
            let read = |id: &str, known: Option<Version>| Read {
                key: key(id),
                known,
            };
            let before = store.unreadable().sessions;
            let alone = store.read(&[read(&bad, known)]).await.unwrap();
            let batch = [read(&bad, known), read("good", None)];
            let beside = store.read(&batch).await.unwrap();
            let mut unreadable = 0;
            for outcome in [&alone[0], &beside[0]] {
                match outcome {
                    ReadOutcome::Unreadable(_) => unreadable += 1,
                    // A copy is good if the damage is elsewhere.
                    ReadOutcome::Current { last_access }
                        if known.is_some() && *last_access == record.last_access => {}
                    outcome => panic!("damage {index} of {known:?}: {outcome:?}"),
                }
            }
            assert!(matches!(beside[1], ReadOutcome::Found(_)), "{beside:?}");
            assert_eq!(store.unreadable().sessions, before + unreadable);
        }
        let count = store.count().await.unwrap();
        assert_eq!(count, 2, "it is left as it is");
        let now = Timestamp::from_millis(1_790_000_000_000);
        store.claim_expired(now, 10).await.unwrap();
        let deleted = store.commit(&[Commit::delete(key(&bad))]).await.unwrap();
        assert_eq!(deleted, [CommitOutcome::Done]);
    }
}

/// What a table with columns of numbers can hold.
const NUMBERS: [&str; 4] = [
    "lastSavedTime = NULL",
    "lastSavedTime = 9223372036854775807",
    "accessTime = 9223372036854775807, lastAccessTime = 9223372036854775807",
    "expiryTime = 9223372036854775807, expirybucket = 1",
];

#[tokio::test]
async fn columns_that_make_no_sense_are_left_alone_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.db");
    let damages = [&NUMBERS[..], &["lastSavedTime = 'x'", "accessTime = 'x'"]].concat();
    let damage = |id: &str, how: &str| {
        let connection = rusqlite::Connection::open(&file).unwrap();
        let damage = format!("UPDATE JettySessions SET {how} WHERE sessionId = '{id}'");
        assert_eq!(connection.execute(&damage, []).unwrap(), 1);
    };
    nonsense_is_left_alone(&format!("sqlite:{}", file.display()), &damages, damage).await;
}

#[tokio::test]
async fn columns_that_make_no_sense_are_left_alone_on_postgresql() {
    let server = TestPostgres::start();
    nonsense_is_left_alone(&server.url(), &NUMBERS, |id, how| {
        server.query(&format!(
            "UPDATE jettysessions SET {how} WHERE sessionid = '{id}'"
        ));
    })
    .await;
}

#[tokio::test]
async fn columns_that_make_no_sense_are_left_alone_on_mariadb() {
    let server = TestMariaDb::start();
    nonsense_is_left_alone(&server.url(), &NUMBERS, |id, how| {
        server.query(&format!(
            "UPDATE sessions.JettySessions SET {how} WHERE sessionId = '{id}'"
        ));
    })
    .await;
}

#[tokio::test]
async fn columns_that_make_no_sense_are_left_alone_on_redis() {
    let server = TestRedis::start();
    let damages: [&[&str]; 5] = [
        &["hset", "version", "x"],
        &["hset", "version", "9223372036854775807"],
        &["hset", "access", "x"],
        &["hset", "idle", "x"],
        &["set", "something else"],
    ];
    nonsense_is_left_alone(&server.url(), &damages, |id, how| {
        let row = server.command(&["keys", &format!("*:s:*|{id}")]);
        let (command, arguments) = how.split_first().unwrap();
        if *command == "set" {
            server.command(&["del", &row]);
        }
        server.command(&[&[command, &*row], arguments].concat());
    })
    .await;
}
