//! PostgreSQL that is killed under load, and comes back, or is replaced by its standby (P6).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use http::StatusCode;
use seawall_session::SessionManager;
use seawall_store::{Batcher, BatcherSettings, StoreUrl, SystemClock};
use seawall_testing::TestPostgres;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::support::{Browser, settings};

const CLIENTS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(5);

/// From when the server takes connections again to the first commit that is acknowledged.
const RECOVERY_LIMIT: Duration = Duration::from_secs(1);

/// What the clients counted.
#[derive(Default)]
struct Tally {
    acknowledged: AtomicI64,
    unknown: AtomicI64,
    is_over: AtomicBool,
}

async fn node(url: &str, name: &str, patience: Duration) -> SessionManager {
    let store = url.parse::<StoreUrl>().unwrap().open().await.unwrap();
    let batching = BatcherSettings {
        patience,
        ..BatcherSettings::default()
    };
    let batcher = Batcher::spawn(store, &batching);
    SessionManager::new(batcher, Arc::new(SystemClock), settings(name)).unwrap()
}

/// Clients that count one session on two nodes, until they are told to stop.
struct Load {
    nodes: [SessionManager; 2],
    browser: Browser,
    tally: Arc<Tally>,
    clients: JoinSet<Duration>,
}

impl Load {
    async fn start(url: &str, patience: Duration) -> Self {
        let nodes = [
            node(url, "node1", patience).await,
            node(url, "node2", patience).await,
        ];
        let (browser, tally) = (Browser::default(), Arc::new(Tally::default()));
        browser.count(&nodes[0]).await.unwrap();
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let browser = Browser::with_cookie(browser.cookie());
            clients.spawn(visit(nodes[client % 2].clone(), browser, tally.clone()));
        }
        sleep(Duration::from_secs(1)).await;
        Self {
            nodes,
            browser,
            tally,
            clients,
        }
    }

    fn acknowledged(&self) -> i64 {
        self.tally.acknowledged.load(Ordering::Relaxed)
    }

    /// Stops, and sees that every acknowledged increment counts. The longest wait, and how many
    /// requests had an error.
    async fn stop(self) -> (Duration, i64) {
        self.tally.is_over.store(true, Ordering::Relaxed);
        let longest = self.clients.join_all().await.into_iter().max().unwrap();
        let acknowledged = self.tally.acknowledged.load(Ordering::Relaxed);
        let unknown = self.tally.unknown.load(Ordering::Relaxed);
        let count = self.browser.read(&self.nodes[1]).await.unwrap().unwrap() - 1;
        assert!(
            (acknowledged..=acknowledged + unknown).contains(&count),
            "{acknowledged} acknowledged, {unknown} unknown, counted {count}, longest wait {longest:?}"
        );
        (longest, unknown)
    }
}

/// Counts until it is over; the longest wait for an answer.
async fn visit(node: SessionManager, browser: Browser, tally: Arc<Tally>) -> Duration {
    let mut longest = Duration::ZERO;
    while !tally.is_over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let counter = match browser.count(&node).await {
            Ok(_) => &tally.acknowledged,
            Err(error) => {
                assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE, "{error}");
                &tally.unknown
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        longest = longest.max(asked.elapsed());
    }
    longest
}

/// Kills the server for a while; gives how long it took until service was back after its return.
async fn outage(mut server: TestPostgres, load: &Load, time: Duration) -> (TestPostgres, Duration) {
    server.kill();
    sleep(time).await;
    let server = tokio::task::spawn_blocking(move || {
        server.start_again();
        server
    });
    let server = server.await.unwrap();
    let (returned, before) = (Instant::now(), load.acknowledged());
    while load.acknowledged() == before {
        sleep(Duration::from_millis(5)).await;
    }
    (server, returned.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_seconds_without_postgresql_are_a_wait() {
    let server = TestPostgres::start();
    let load = Load::start(&server.url(), PATIENCE).await;
    let (_server, back) = outage(server, &load, Duration::from_secs(3)).await;
    sleep(Duration::from_secs(1)).await;
    let (longest, errors) = load.stop().await;
    assert_eq!(errors, 0, "longest wait {longest:?}");
    assert!(back < RECOVERY_LIMIT, "service came back after {back:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_seconds_without_postgresql_are_an_error_after_the_patience() {
    let server = TestPostgres::start();
    let load = Load::start(&server.url(), PATIENCE).await;
    let (_server, back) = outage(server, &load, Duration::from_secs(30)).await;
    sleep(Duration::from_secs(1)).await;
    let (longest, errors) = load.stop().await;
    assert!(errors > 0, "nobody was told");
    assert!(
        longest >= PATIENCE && longest < PATIENCE + Duration::from_secs(1),
        "somebody waited {longest:?}"
    );
    assert!(back < RECOVERY_LIMIT, "service came back after {back:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_has_every_acknowledged_write() {
    let mut primary = TestPostgres::start();
    let standby = TestPostgres::start_standby(&primary);
    let load = Load::start(&standby.url_with(&primary), 6 * PATIENCE).await;
    let before = load.acknowledged();
    let standby = tokio::task::spawn_blocking(move || {
        primary.kill();
        standby.promote();
        standby
    });
    let _standby = standby.await.unwrap();
    sleep(Duration::from_secs(3)).await;
    assert!(
        before > 0 && load.acknowledged() > before,
        "it did not go on"
    );
    load.stop().await;
}
