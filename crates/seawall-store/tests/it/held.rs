//! A session's row that somebody holds for long, on the stores whose rows can be held.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use seawall_store::{
    Batcher, BatcherSettings, Cause, Commit, CommitOutcome, SessionStore, Timestamp,
};
use seawall_testing::{TestMariaDb, TestPostgres};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use crate::support::{create, key, open};

const PATIENCE: Duration = Duration::from_secs(5);

fn touch(id: &str) -> Commit {
    Commit::Touch {
        key: key(id),
        last_access: Timestamp::from_millis(1_800_000_000_000),
    }
}

/// `query` has the server, which it keeps alive, run `hold`, which holds the row of one session for
/// 7 s; `is_held` counts who does.
async fn a_held_row_holds_up_no_other_session(
    store: Arc<dyn SessionStore>,
    query: impl Fn(&str) -> String + Clone + Send + 'static,
    hold: &'static str,
    is_held: &'static str,
) {
    let ids: Vec<_> = (0..40).map(|index| format!("s{index}")).collect();
    let all = ids.iter().map(String::as_str).chain(["held", "later"]);
    let all: Vec<_> = all.map(create).collect();
    store.commit(&all).await.unwrap();
    let (run, watch) = (query.clone(), query.clone());
    let holder = spawn_blocking(move || run(hold));
    spawn_blocking(move || while watch(is_held).trim() == "0" {})
        .await
        .unwrap();
    let settings = BatcherSettings {
        patience: PATIENCE,
        ..BatcherSettings::default()
    };
    let batcher = Batcher::spawn(store, &settings);
    let began = Instant::now();
    // Of the same kind, so that they are rows of one statement.
    let others = async {
        for outcome in join_all(ids.iter().map(|id| batcher.commit(touch(id)))).await {
            assert_eq!(outcome.unwrap(), CommitOutcome::Done);
        }
        assert!(began.elapsed() < PATIENCE);
    };
    let later = async {
        sleep(PATIENCE / 2).await;
        let asked = Instant::now();
        batcher.commit(touch("later")).await.unwrap();
        assert!(asked.elapsed() < PATIENCE / 2);
    };
    let (held_up, (), ()) = tokio::join!(batcher.commit(touch("held")), others, later);
    let error = held_up.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert_eq!(error.cause(), Cause::Locked, "{error}");
    let waited = began.elapsed();
    assert!(PATIENCE <= waited && waited < PATIENCE * 2, "{waited:?}");
    // Alone in its batch it is waited for, too, and no outage either.
    let done = batcher.commit(touch("held")).await;
    assert_eq!(done.unwrap(), CommitOutcome::Done);
    assert_eq!(batcher.statistics().outages, 0);
    holder.await.unwrap();
}

#[tokio::test]
async fn on_postgres() {
    let server = Arc::new(TestPostgres::start());
    a_held_row_holds_up_no_other_session(
        open(&server.url()).await,
        move |statements| server.query(statements),
        "BEGIN; SELECT FROM jettysessions WHERE sessionid = 'held' FOR UPDATE; \
         SELECT pg_sleep(7); COMMIT",
        "SELECT count(*) FROM pg_locks JOIN pg_class ON relation = pg_class.oid \
         WHERE relname = 'jettysessions' AND mode = 'RowShareLock'",
    )
    .await;
}

#[tokio::test]
async fn on_mariadb() {
    let server = Arc::new(TestMariaDb::start());
    a_held_row_holds_up_no_other_session(
        open(&server.url()).await,
        move |statements| server.query(statements),
        "USE sessions; BEGIN; SELECT sessionId FROM JettySessions WHERE sessionId = 'held' \
         FOR UPDATE; SELECT SLEEP(7); COMMIT",
        "SELECT count(*) FROM information_schema.processlist WHERE info = 'SELECT SLEEP(7)'",
    )
    .await;
}
