//! What holds PostgreSQL up: locks, tables that take long to make, settings of a role or a database.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use seawall_store::{
    Batcher, BatcherSettings, Commit, CommitOutcome, SessionStore, StoreOptions, StoreUrl,
    Timestamp, Version,
};
use seawall_testing::TestPostgres;
use tokio::time::{Instant, timeout};
use tokio_postgres::{Client, NoTls};

use crate::support::{create, key, open};

const LIMIT: Duration = Duration::from_secs(30);

/// A connection that holds something up.
async fn connect(server: &TestPostgres) -> Client {
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A store that waits for an answer for a short time only.
async fn open_impatient(server: &TestPostgres) -> Arc<dyn SessionStore> {
    let url: StoreUrl = server.url().parse().unwrap();
    let mut options = StoreOptions::default();
    options.limits.answer = Duration::from_millis(200);
    url.open_with(&options).await.unwrap()
}

/// Asks until the answer is more than nothing.
async fn wait_for(client: &Client, query: &str) {
    let asking = async { while client.query(query, &[]).await.unwrap().is_empty() {} };
    timeout(LIMIT, asking).await.unwrap();
}

#[tokio::test]
async fn what_is_cancelled_because_it_waited_for_a_lock_may_be_tried_again() {
    let server = TestPostgres::start();
    let (store, holder) = (open(&server.url()).await, connect(&server).await);
    store.commit(&[create("a")]).await.unwrap();
    let lock = "BEGIN; LOCK TABLE jettysessions";
    holder.batch_execute(lock).await.unwrap();
    // As the server does when the time of the statement is up.
    let cancel = "SELECT pg_cancel_backend(pid) FROM pg_locks WHERE NOT granted";
    let batch = [create("b")];
    let (cancelled, ()) = tokio::join!(store.commit(&batch), wait_for(&holder, cancel));
    let error = cancelled.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("57014"), "{error}");
    // A new connection waits for the lock when it prepares its statements.
    let error = open_impatient(&server).await.count().await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(error.to_string().contains("pg_locks"), "{error}");
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(store.commit(&batch).await.unwrap(), [CommitOutcome::Done]);
    assert_eq!(store.connections().opened, 1, "its connection was given up");
}

#[tokio::test]
async fn a_table_that_somebody_holds_for_a_while_is_waited_for() {
    let server = TestPostgres::start();
    let (store, holder) = (open(&server.url()).await, connect(&server).await);
    store.commit(&[create("a")]).await.unwrap();
    let lock = "BEGIN; LOCK TABLE jettysessions";
    holder.batch_execute(lock).await.unwrap();
    let batcher = Batcher::spawn(store, &BatcherSettings::default());
    let ids: Vec<_> = (0..40).map(|index| format!("s{index}")).collect();
    let commits = join_all(ids.iter().map(|id| batcher.commit(create(id))));
    let release = holder.batch_execute("SELECT pg_sleep(2.5); COMMIT");
    let (outcomes, released) = tokio::join!(commits, release);
    released.unwrap();
    for outcome in outcomes {
        assert_eq!(outcome.unwrap(), CommitOutcome::Done);
    }
}

#[tokio::test]
async fn a_table_that_takes_longer_than_requests_wait_is_made_all_the_same() {
    let server = TestPostgres::start();
    server.query(
        "CREATE FUNCTION dawdle() RETURNS event_trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_sleep(1); END $$",
    );
    server.query(
        "CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('CREATE INDEX') \
         EXECUTE FUNCTION dawdle()",
    );
    let settings = BatcherSettings {
        patience: Duration::from_millis(500),
        ..BatcherSettings::default()
    };
    let batcher = Batcher::spawn(open(&server.url()).await, &settings);
    let (watcher, deadline) = (connect(&server).await, Instant::now() + LIMIT);
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    while batcher.commit(create("a")).await.is_err() {
        assert!(Instant::now() < deadline, "the table is not made");
        let waiting: i64 = watcher.query_one(waiting, &[]).await.unwrap().get(0);
        assert_eq!(waiting, 0, "connections wait that were given up");
    }
}

/// Such as a role or a database has for people and reports.
#[tokio::test]
async fn what_others_set_for_a_database_does_not_count() {
    let server = TestPostgres::start();
    for setting in [
        "default_transaction_isolation = 'repeatable read'",
        "lock_timeout = '1ms'",
        "quote_all_identifiers = on",
    ] {
        server.query(&format!("ALTER DATABASE postgres SET {setting}"));
    }
    let (store, holder) = (open(&server.url()).await, connect(&server).await);
    let created = create("a");
    store.commit(std::slice::from_ref(&created)).await.unwrap();
    let Commit::Create { key, record } = created else {
        unreachable!("it is one")
    };
    let expected = record.version;
    let mut record = (*record).clone();
    record.version = Version::from_i64(2);
    let record = Arc::new(record);
    let update = [Commit::Update {
        key,
        expected,
        record,
    }];
    let other = "BEGIN; UPDATE jettysessions SET lastsavedtime = 7";
    holder.batch_execute(other).await.unwrap();
    let overlap = async {
        wait_for(&holder, "SELECT FROM pg_locks WHERE NOT granted").await;
        holder.batch_execute("COMMIT").await.unwrap();
    };
    let (outcomes, ()) = tokio::join!(store.commit(&update), overlap);
    assert_eq!(outcomes.unwrap(), [CommitOutcome::Conflict]);
    assert_eq!(store.connections().undone, 0);
}

/// A process of the server that is stopped, or a network that is, holds up what was sent for longer than
/// the node waits.
#[tokio::test]
async fn p4_what_was_sent_before_the_connection_was_given_up_makes_no_session_afterwards() {
    let server = TestPostgres::start();
    let (store, watcher) = (open_impatient(&server).await, connect(&server).await);
    store.commit(&[create("a")]).await.unwrap();
    let find = "SELECT pid FROM pg_stat_activity WHERE application_name = 'seawall'";
    let stopped: i32 = watcher.query_one(find, &[]).await.unwrap().get(0);
    signal("-STOP", stopped);
    let (late, ends) = ([create("late")], [Commit::delete(key("late"))]);
    assert!(store.commit(&late).await.unwrap_err().is_transient());
    assert_eq!(store.commit(&late).await.unwrap(), [CommitOutcome::Done]);
    assert_eq!(store.commit(&ends).await.unwrap(), [CommitOutcome::Done]);
    signal("-CONT", stopped);
    let gone =
        format!("SELECT WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {stopped})");
    wait_for(&watcher, &gone).await;
    assert_eq!(store.count().await.unwrap(), 1, "it is back");
}

fn signal(name: &str, process: i32) {
    let mut kill = std::process::Command::new("kill");
    let sent = kill.args([name, &process.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// PostgreSQL shows everybody what it has not replicated yet when the wait for that is broken off.
#[tokio::test]
async fn p1_what_a_synchronous_standby_does_not_have_is_not_acknowledged() {
    let primary = TestPostgres::start();
    let mut standby = TestPostgres::start_standby(&primary);
    let store = open(&primary.url()).await;
    let batcher = Batcher::spawn(store, &BatcherSettings::default());
    batcher.commit(create("a")).await.unwrap();
    standby.kill();
    let error = batcher.commit(create("b")).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    standby.start_again();
    let touch = Commit::Touch {
        key: key("b"),
        last_access: Timestamp::from_millis(1_900_000_000_000),
    };
    let deadline = Instant::now() + LIMIT;
    while let Err(error) = batcher.commit(touch.clone()).await {
        assert!(error.is_transient(), "{error}");
        assert!(Instant::now() < deadline, "{error}");
    }
}
