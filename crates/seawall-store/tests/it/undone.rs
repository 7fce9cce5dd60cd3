//! What PostgreSQL undoes of a batch to end a deadlock is sent again, and nothing else of it.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use seawall_store::{
    Batcher, BatcherSettings, Commit, CommitOutcome, SessionStore, StoreOptions, StoreUrl,
    Timestamp, Version,
};
use seawall_testing::TestPostgres;
use tokio::{
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};

use crate::support::{create, key, open};

/// Takes the second row, waits until the batch that has the first one wants it, and then wants the
/// first. The batch is the one to notice that: this transaction does not look for long.
const OTHER_WAY_ROUND: &str = "BEGIN; SET LOCAL deadlock_timeout = '60s'; \
    SELECT FROM jettysessions WHERE sessionid = 'b' FOR UPDATE; \
    DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted) LOOP \
    PERFORM pg_sleep(0.01); END LOOP; END $$; \
    SELECT FROM jettysessions WHERE sessionid = 'a' FOR UPDATE; COMMIT";

const IS_LOCKED: &str = "SELECT count(*) FROM pg_locks JOIN pg_class ON relation = pg_class.oid \
    WHERE relname = 'jettysessions' AND mode = 'RowShareLock'";

async fn query(server: &Arc<TestPostgres>, statement: &'static str) -> String {
    let server = server.clone();
    spawn_blocking(move || server.query(statement))
        .await
        .unwrap()
}

fn update(created: &Commit) -> Commit {
    let Commit::Create { key, record } = created else {
        unreachable!("it is one")
    };
    let mut updated = (**record).clone();
    updated.version = Version::from_i64(2);
    Commit::Update {
        key: key.clone(),
        expected: record.version,
        record: Arc::new(updated),
    }
}

/// A transaction that takes rows the other way round than the batch, which meets it.
async fn begin_deadlock(
    server: &Arc<TestPostgres>,
    store: &Arc<dyn SessionStore>,
) -> (JoinHandle<String>, [Commit; 3]) {
    let created = ["a", "b", "c"].map(create);
    store.commit(&created).await.unwrap();
    let other = tokio::spawn({
        let server = server.clone();
        async move { query(&server, OTHER_WAY_ROUND).await }
    });
    let locked = async { while query(server, IS_LOCKED).await == "0" {} };
    timeout(Duration::from_secs(30), locked).await.unwrap();
    let touch = |id: &str| Commit::Touch {
        key: key(id),
        last_access: Timestamp::from_millis(1_790_000_005_000),
    };
    // The update is a statement of its own, and takes effect before the touches deadlock.
    (other, [touch("a"), touch("b"), update(&created[2])])
}

/// Where a lock is waited for as long as it takes the server to notice.
#[tokio::test]
async fn a_deadlock_is_not_seen_and_nothing_is_done_twice() {
    let server = Arc::new(TestPostgres::start());
    let mut options = StoreOptions::default();
    options.limits.answer = Duration::from_secs(36);
    let url: StoreUrl = server.url().parse().unwrap();
    let store = url.open_with(&options).await.unwrap();
    let (other, batch) = begin_deadlock(&server, &store).await;
    let outcomes = store.commit(&batch).await.unwrap();
    assert_eq!(outcomes, [CommitOutcome::Done; 3]);
    other.await.unwrap();
    assert!(
        server.log().contains("deadlock detected"),
        "{}",
        server.log()
    );
    assert_eq!(store.connections().undone, 1);
}

/// Where it is waited for for a shorter time, the batch gives way.
#[tokio::test]
async fn a_deadlock_that_the_server_has_no_time_to_notice_is_not_seen_either() {
    let server = Arc::new(TestPostgres::start());
    let store = open(&server.url()).await;
    let (other, batch) = begin_deadlock(&server, &store).await;
    let batcher = Batcher::spawn(store, &BatcherSettings::default());
    for outcome in join_all(batch.map(|commit| batcher.commit(commit))).await {
        assert_eq!(outcome.unwrap(), CommitOutcome::Done);
    }
    other.await.unwrap();
    assert_eq!(batcher.statistics().outages, 0);
}
