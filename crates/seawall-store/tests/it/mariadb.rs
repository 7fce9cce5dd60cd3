//! What is MariaDB's own: the table, starting together, and what its plans use.

use std::{sync::Arc, time::Duration};

use seawall_store::{
    Commit, CommitOutcome, Lookup, Read, ReadOutcome, ServerLimits, StoreError, StoreOptions,
    StoreUrl, Timestamp,
};
use seawall_testing::TestMariaDb;

use crate::support::{assert_table_is_made_again, create, key, open, start_together};

#[tokio::test]
async fn nodes_that_start_together_on_an_empty_database_all_serve() {
    let server = TestMariaDb::start();
    for round in 0..10 {
        start_together(&server.create_database(&format!("round{round}"))).await;
    }
}

#[tokio::test]
async fn a_table_that_was_dropped_is_made_again() {
    let server = TestMariaDb::start();
    let drop_table = || drop(server.query("DROP TABLE sessions.JettySessions"));
    assert_table_is_made_again(&server.url(), drop_table).await;
}

#[tokio::test]
async fn a_table_that_jetty_made_is_taken_over() {
    let server = TestMariaDb::start();
    server.query(
        "USE sessions; CREATE TABLE JettySessions (sessionId varchar(120), contextPath varchar(60), \
         virtualHost varchar(60), lastNode varchar(60), accessTime bigint, lastAccessTime bigint, \
         createTime bigint, cookieTime bigint, lastSavedTime bigint, expiryTime bigint, \
         maxInterval bigint, map blob, PRIMARY KEY (sessionId, contextPath, virtualHost)) \
         CHARACTER SET latin1; \
         INSERT INTO JettySessions VALUES ('old', '_', '0.0.0.0', 'node0', 1, 1, 1, 1, 1, 5, 4, \
         X'aced0005')",
    );
    let store = open(&server.url()).await;
    let outcomes = store.commit(&[create("OLD"), create("new")]).await.unwrap();
    assert_eq!(
        outcomes,
        [CommitOutcome::Done; 2],
        "ids are compared byte by byte"
    );
    let read = Read {
        key: key("old"),
        known: None,
    };
    let outcomes = store.read(&[read]).await.unwrap();
    assert!(
        matches!(outcomes[0], ReadOutcome::Unreadable(_)),
        "{outcomes:?}"
    );
    assert_eq!(store.count().await.unwrap(), 3, "it is left as it is");
    let expired = store
        .claim_expired(Timestamp::from_millis(6), 10)
        .await
        .unwrap();
    assert_eq!(expired.len(), 1, "what Jetty wrote expires too");
}

#[tokio::test]
async fn large_sessions_are_written_in_pieces() {
    let server = TestMariaDb::start();
    // 24 MiB may take a busy machine longer than a request would wait.
    let limits = ServerLimits {
        answer: Duration::from_secs(60),
        ..ServerLimits::default()
    };
    let options = StoreOptions {
        limits,
        ..StoreOptions::default()
    };
    let url: StoreUrl = server.url().parse().unwrap();
    let store = url.open_with(&options).await.unwrap();
    let large = |id: &str| {
        let Commit::Create { key, mut record } = create(id) else {
            unreachable!()
        };
        let text = "x".repeat(3 << 20);
        let attributes = &mut Arc::make_mut(&mut record).attributes;
        attributes.insert("text".into(), seawall_store::Value::String(text.into()));
        Commit::Create { key, record }
    };
    let batch: Vec<_> = (0..8).map(|index| large(&format!("s{index}"))).collect();
    assert_eq!(
        store.commit(&batch).await.unwrap(),
        [CommitOutcome::Done; 8]
    );
    let outcomes = store.commit(&[large("s3"), large("s8")]).await.unwrap();
    assert_eq!(outcomes, [CommitOutcome::Exists, CommitOutcome::Done]);
}

#[tokio::test]
async fn sessions_that_have_moved_are_found_without_reading_the_table() {
    let server = TestMariaDb::start();
    let store = open(&server.url()).await;
    store.count().await.unwrap();
    server.query(
        "USE sessions; INSERT INTO JettySessions (sessionId, contextPath, virtualHost, origin, \
         expiryTime) SELECT CONCAT('s', seq), '_', '0.0.0.0', CONCAT('o', seq), 0 \
         FROM seq_1_to_20000; ANALYZE TABLE JettySessions",
    );
    let rows_read = || {
        let read = server.query(
            "SELECT SUM(VARIABLE_VALUE) FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME \
             IN ('HANDLER_READ_NEXT', 'HANDLER_READ_RND_NEXT', 'INNODB_ROWS_READ')",
        );
        read.trim().parse::<f64>().unwrap()
    };
    let lookup = |id: u32| Lookup {
        key: key(&format!("k{id}")),
        origin: format!("o{id}").into(),
    };
    let lookups: Vec<_> = (1..=100).map(lookup).collect();
    let cost = async || {
        let before = rows_read();
        let now = Timestamp::from_millis(1_790_000_000_000);
        let located = store.locate(&lookups, now).await.unwrap();
        for (id, located) in (1..).zip(located) {
            assert_eq!(located, Some(key(&format!("s{id}"))));
        }
        rows_read() - before
    };
    let read = cost().await;
    assert!(read < 10_000.0, "{read} rows were read for 100 sessions");
    server.query("ALTER TABLE sessions.JettySessions DROP INDEX JettySessions_origin");
    let read = cost().await;
    assert!(
        read > 10_000.0,
        "only {read} rows without the index: what is measured?"
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_database_is_said_plainly() {
    let server = TestMariaDb::start();
    let url = server.url().replace("//seawall@", "//seawall:hush@");
    for (url, part) in [
        (url.clone(), "check the user"),
        (
            server.url().replace("/sessions", "/nowhere"),
            "create the database",
        ),
    ] {
        let error = open(&url).await.count().await;
        let Err(error @ StoreError::Rejected { .. }) = error else {
            panic!("{error:?}")
        };
        let text = error.to_string();
        assert!(text.contains(part) && !text.contains("hush"), "{text}");
    }
}
