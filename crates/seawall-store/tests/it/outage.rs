//! Servers that go away: what was asked of them meanwhile is done when they are back.

use std::time::Duration;

use seawall_store::{Batcher, BatcherSettings, CommitOutcome};
use seawall_testing::{TestMariaDb, TestPostgres, TestRedis, TestRedisSentinel};

use crate::support::{create, open};

/// Commits once, takes the server away, commits again, and brings a server back meanwhile.
async fn outlasts<S: Send + 'static>(
    url: &str,
    mut server: S,
    kill: impl FnOnce(&mut S),
    bring_back: impl FnOnce(&mut S) + Send + 'static,
) -> S {
    let store = open(url).await;
    let settings = BatcherSettings {
        patience: Duration::from_secs(30),
        ..BatcherSettings::default()
    };
    let batcher = Batcher::spawn(store.clone(), &settings);
    assert_eq!(
        batcher.commit(create("a")).await.unwrap(),
        CommitOutcome::Done
    );
    kill(&mut server);
    let waiting = tokio::spawn({
        let batcher = batcher.clone();
        async move { batcher.commit(create("b")).await }
    });
    let server = tokio::task::spawn_blocking(move || {
        bring_back(&mut server);
        server
    });
    let server = server.await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), CommitOutcome::Done);
    assert_eq!(store.count().await.unwrap(), 2, "nothing is lost");
    server
}

#[tokio::test]
async fn mariadb_that_is_killed_is_waited_for() {
    let server = TestMariaDb::start();
    let url = server.url();
    outlasts(&url, server, TestMariaDb::kill, TestMariaDb::start_again).await;
}

#[tokio::test]
async fn postgresql_that_is_killed_is_waited_for() {
    let server = TestPostgres::start();
    let url = server.url();
    outlasts(&url, server, TestPostgres::kill, TestPostgres::start_again).await;
}

#[tokio::test]
async fn redis_that_is_killed_is_waited_for() {
    let server = TestRedis::start();
    let url = server.url();
    outlasts(&url, server, TestRedis::kill, TestRedis::start_again).await;
}

#[tokio::test]
async fn a_redis_master_is_followed_to_the_replica_that_replaces_it() {
    let servers = TestRedisSentinel::start();
    let url = format!("{}&replicas=1", servers.url());
    outlasts(&url, servers, |servers| servers.master.kill(), |_| {}).await;
}
