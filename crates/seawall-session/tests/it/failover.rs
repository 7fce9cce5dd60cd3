//! A PostgreSQL primary that is killed under load, and a standby that takes its place (P6).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use seawall_session::SessionManager;
use seawall_store::{Batcher, BatcherSettings, StoreUrl, SystemClock};
use seawall_testing::TestPostgres;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::support::{Browser, settings};

const CLIENTS: usize = 8;

/// What the clients counted.
#[derive(Default)]
struct Tally {
    acknowledged: AtomicI64,
    unknown: AtomicI64,
    is_over: AtomicBool,
}

async fn node(url: &str, name: &str) -> SessionManager {
    let store = url.parse::<StoreUrl>().unwrap().open().await.unwrap();
    let patience = BatcherSettings {
        patience: Duration::from_secs(30),
        ..BatcherSettings::default()
    };
    let batcher = Batcher::spawn(store, &patience);
    SessionManager::new(batcher, Arc::new(SystemClock), settings(name)).unwrap()
}

/// Counts until it is over; the longest wait for an answer.
async fn visit(node: SessionManager, browser: Browser, tally: Arc<Tally>) -> Duration {
    let mut longest = Duration::ZERO;
    while !tally.is_over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let counter = match browser.count(&node).await {
            Ok(_) => &tally.acknowledged,
            Err(_) => &tally.unknown,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        longest = longest.max(asked.elapsed());
    }
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_has_every_acknowledged_write() {
    let mut primary = TestPostgres::start();
    let standby = TestPostgres::start_standby(&primary);
    let url = primary.url_with(&standby);
    let nodes = [node(&url, "node1").await, node(&url, "node2").await];
    let (browser, tally) = (Browser::default(), Arc::new(Tally::default()));
    browser.count(&nodes[0]).await.unwrap();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let browser = Browser::with_cookie(browser.cookie());
        clients.spawn(visit(nodes[client % 2].clone(), browser, tally.clone()));
    }
    sleep(Duration::from_secs(1)).await;
    let before = tally.acknowledged.load(Ordering::Relaxed);
    let standby = tokio::task::spawn_blocking(move || {
        primary.kill();
        standby.promote();
        standby
    });
    let _standby = standby.await.unwrap();
    sleep(Duration::from_secs(3)).await;
    tally.is_over.store(true, Ordering::Relaxed);
    let gap = clients.join_all().await.into_iter().max().unwrap();
    let acknowledged = tally.acknowledged.load(Ordering::Relaxed);
    let unknown = tally.unknown.load(Ordering::Relaxed);
    let count = browser.read(&nodes[1]).await.unwrap().unwrap() - 1;
    println!("{acknowledged} acknowledged, {unknown} unknown, longest wait {gap:.1?}");
    assert!(
        before > 0 && acknowledged > before,
        "it went on after the failover"
    );
    assert!(
        (acknowledged..=acknowledged + unknown).contains(&count),
        "{acknowledged} acknowledged, {unknown} unknown, counted {count}"
    );
}
