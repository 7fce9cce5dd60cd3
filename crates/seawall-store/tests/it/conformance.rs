//! Every back end passes the same suite.
//!
//! `SEAWALL_CONFORMANCE_SEEDS=17..18` replays one sequence of random operations on it; `=0..1000`
//! tries many.

use std::{ops::Range, sync::Arc, time::Duration};

use seawall_store::{SessionStore, conformance, memory::MemoryStore};
use seawall_testing::{TestMariaDb, TestPostgres, TestRedis, TestRedisCluster};

use crate::support::{encrypting, open, open_with};

async fn conforms(url: &str) {
    match seeds() {
        Some(seeds) => {
            let store = open(url).await;
            conformance::random_operations(&*store, seeds, Duration::MAX).await;
        }
        None => conformance::run(async || open(url).await).await,
    }
}

fn seeds() -> Option<Range<u64>> {
    let text = std::env::var("SEAWALL_CONFORMANCE_SEEDS").ok()?;
    let (from, to) = text.split_once("..").expect("two numbers, like 0..1000");
    Some(from.parse().unwrap()..to.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_conforms() {
    let store: Arc<dyn SessionStore> = Arc::new(MemoryStore::new());
    conformance::run(async || store.clone()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.db");
    conforms(&format!("sqlite:{}", file.display())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_conforms() {
    conforms(&TestMariaDb::start().url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_conforms() {
    conforms(&TestPostgres::start().url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_conforms() {
    conforms(&TestRedis::start().url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_cluster_conforms() {
    let cluster = TestRedisCluster::start();
    conforms(&cluster.url()).await;
    // A session that moves to another partition is encrypted for where it arrives.
    let codec = encrypting(&["k"]);
    conformance::run(async || open_with(&cluster.url(), codec.clone()).await).await;
}
