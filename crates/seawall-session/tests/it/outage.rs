//! `on_outage = "serve-cached"`: PostgreSQL is killed under load; copies stay readable, and nothing
//! that was acknowledged is lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, routing::get};
use http::{
    Request, Response, StatusCode,
    header::{COOKIE, RETRY_AFTER},
};
use seawall_session::{
    OnOutage, Session, SessionError, SessionLayer, SessionManager, SessionSettings,
    UNVERIFIED_HEADER,
};
use seawall_store::{Batcher, BatcherSettings, StoreUrl, SystemClock};
use seawall_testing::TestPostgres;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tower::ServiceExt;

use crate::support::{Browser, settings};

const PATIENCE: Duration = Duration::from_secs(2);

/// An answer from a copy does not wait for the store.
const AT_ONCE: Duration = Duration::from_millis(500);

struct Node {
    manager: SessionManager,
    batcher: Batcher,
    app: Router,
}

impl Node {
    async fn start(url: &str, name: &str) -> Self {
        let store = url.parse::<StoreUrl>().unwrap().open().await.unwrap();
        let batching = BatcherSettings {
            patience: PATIENCE,
            ..BatcherSettings::default()
        };
        let batcher = Batcher::spawn(store, &batching);
        let serving = SessionSettings {
            on_outage: OnOutage::ServeCached,
            ..settings(name)
        };
        let manager = SessionManager::new(batcher.clone(), Arc::new(SystemClock), serving).unwrap();
        let app = Router::new()
            .route("/read", get(read))
            .route("/count", get(count))
            .route("/end", get(end))
            .layer(SessionLayer::new(manager.clone()));
        Self {
            manager,
            batcher,
            app,
        }
    }

    async fn send(&self, browser: &Browser, path: &str) -> (Response<Body>, Duration) {
        let request = Request::get(path).header(COOKIE, browser.cookie().unwrap());
        let started = Instant::now();
        let sending = self
            .app
            .clone()
            .oneshot(request.body(Body::empty()).unwrap());
        (sending.await.unwrap(), started.elapsed())
    }

    /// The count, and whether it is marked as unverified; both ways into a session must agree.
    async fn read(&self, browser: &Browser) -> (i64, bool) {
        let started = Instant::now();
        let look = |draft: &mut seawall_session::Draft<'_>| draft.value("count")?.as_i64();
        let visited = self
            .manager
            .visit(&browser.presented(), look)
            .await
            .unwrap();
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
        let (response, took) = self.send(browser, "/read").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(took < AT_ONCE, "{took:?}");
        let marked = response.headers().contains_key(UNVERIFIED_HEADER);
        assert_eq!(marked, visited.is_unverified);
        (visited.value.unwrap(), marked)
    }

    /// A request that needs the store is refused, with the time to come back.
    async fn is_refused(&self, browser: &Browser, path: &str) -> Duration {
        let (response, took) = self.send(browser, path).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key(RETRY_AFTER));
        took
    }
}

async fn read(session: Session) -> Result<String, SessionError> {
    let count: Option<i64> = session.get("count")?;
    Ok(count.unwrap_or_default().to_string())
}

async fn count(session: Session) -> Result<(), SessionError> {
    let add = |count: Option<i64>| count.unwrap_or(0) + 1;
    session.update("count", add).await.map(drop)
}

async fn end(session: Session) -> Result<(), SessionError> {
    session.invalidate().await
}

/// Clients that count one session on both nodes until they are told to stop.
struct Load {
    is_over: Arc<AtomicBool>,
    acknowledged: Arc<AtomicI64>,
    unknown: Arc<AtomicI64>,
    clients: JoinSet<()>,
}

impl Load {
    fn start(nodes: &[Node; 2], browser: &Browser) -> Self {
        let mut load = Self {
            is_over: Arc::default(),
            acknowledged: Arc::default(),
            unknown: Arc::default(),
            clients: JoinSet::new(),
        };
        for client in 0..6 {
            let (node, over) = (nodes[client % 2].manager.clone(), load.is_over.clone());
            let (done, unknown) = (load.acknowledged.clone(), load.unknown.clone());
            let browser = Browser::with_cookie(browser.cookie());
            load.clients.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let counter = match browser.count(&node).await {
                        Ok(_) => &done,
                        Err(_) => &unknown,
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                    // Those who are refused at once come back a little later.
                    sleep(Duration::from_millis(5)).await;
                }
            });
        }
        load
    }

    /// How many increments there are, at least and at most.
    async fn stop(self) -> std::ops::RangeInclusive<i64> {
        self.is_over.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        let acknowledged = self.acknowledged.load(Ordering::Relaxed);
        assert!(acknowledged > 0);
        acknowledged..=acknowledged + self.unknown.load(Ordering::Relaxed)
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "it never happened that {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_stay_readable_and_nothing_acknowledged_is_lost() {
    let mut server = TestPostgres::start();
    let nodes = [
        Node::start(&server.url(), "node1").await,
        Node::start(&server.url(), "node2").await,
    ];
    let (counted, quiet, elsewhere) = (Browser::default(), Browser::default(), Browser::default());
    counted.count(&nodes[0].manager).await.unwrap();
    quiet.count(&nodes[0].manager).await.unwrap();
    elsewhere.count(&nodes[1].manager).await.unwrap();
    assert_eq!(nodes[0].read(&quiet).await, (1, false));
    let load = Load::start(&nodes, &counted);
    until("the load is on", || {
        load.acknowledged.load(Ordering::Relaxed) > 50
    })
    .await;

    let server = tokio::task::spawn_blocking(move || {
        server.kill();
        server
    });
    let mut server = server.await.unwrap();
    // The first request that reads finds out, and is answered all the same.
    assert_eq!(nodes[0].read(&quiet).await, (1, true));
    let took = nodes[0].is_refused(&quiet, "/count").await;
    assert!(took >= PATIENCE - Duration::from_millis(200), "{took:?}");
    // The store has been away for longer than anybody would wait: no more waiting.
    assert!(nodes[0].is_refused(&quiet, "/count").await < AT_ONCE);
    assert!(nodes[0].is_refused(&quiet, "/end").await < AT_ONCE);
    assert!(nodes[0].is_refused(&elsewhere, "/read").await < AT_ONCE);
    assert_eq!(nodes[0].read(&quiet).await, (1, true), "it was not ended");
    let (_, unverified) = nodes[0].read(&counted).await;
    assert!(unverified, "a copy whose write failed is readable too");

    let server = tokio::task::spawn_blocking(move || {
        server.start_again();
        server
    });
    let _server = server.await.unwrap();
    let (returned, before) = (Instant::now(), load.acknowledged.load(Ordering::Relaxed));
    until("writes are taken", || {
        load.acknowledged.load(Ordering::Relaxed) > before
            && nodes.iter().all(|node| node.batcher.statistics().is_up)
    })
    .await;
    assert!(returned.elapsed() < Duration::from_secs(1));
    let possible = load.stop().await;
    let (count, unverified) = nodes[0].read(&counted).await;
    assert!(
        !unverified && possible.contains(&(count - 1)),
        "{count} of {possible:?}"
    );
    quiet.count(&nodes[1].manager).await.unwrap();
    let (quiet_count, unverified) = nodes[0].read(&quiet).await;
    // An increment that was refused after the patience may have been taken in the end.
    assert!(
        (2..=3).contains(&quiet_count) && !unverified,
        "{quiet_count}"
    );
    assert_eq!(
        nodes[0].send(&quiet, "/end").await.0.status(),
        StatusCode::OK
    );
    let gone = quiet.read(&nodes[1].manager).await.unwrap();
    assert_eq!(gone, None, "ended on one node is ended on the other");
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_not_served_beyond_its_idle_timeout() {
    let (store, clock) = (crate::support::Watched::new(), crate::support::clock());
    let serving = SessionSettings {
        on_outage: OnOutage::ServeCached,
        ..settings("node1")
    };
    let node = crate::support::node(store.clone(), clock.clone(), serving);
    let browser = Browser::default();
    browser.count(&node).await.unwrap();
    store.take_away(true);
    for _ in 0..3 {
        clock.advance(Duration::from_secs(600));
        let visited = node.visit(&browser.presented(), |_| ()).await.unwrap();
        assert!(visited.is_unverified);
    }
    clock.advance(Duration::from_secs(70));
    let error = node.visit(&browser.presented(), |_| ()).await.unwrap_err();
    assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(start_paused = true)]
async fn a_copy_shows_each_application_its_own_and_is_not_renewed() {
    let (store, clock) = (crate::support::Watched::new(), crate::support::clock());
    let serving = SessionSettings {
        on_outage: OnOutage::ServeCached,
        shared_id: true,
        renewal_timeout: Some(Duration::from_secs(60)),
        ..settings("node1")
    };
    let shop = crate::support::node(store.clone(), clock.clone(), serving);
    let forum = shop.application("/forum").unwrap();
    let browser = Browser::default();
    browser.count(&shop).await.unwrap();
    store.take_away(true);
    clock.advance(Duration::from_secs(120));
    let started = Instant::now();
    assert_eq!(browser.read(&shop).await.unwrap(), Some(1));
    assert_eq!(browser.read(&forum).await.unwrap(), None);
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    let before = browser.cookie();
    store.take_away(false);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(browser.read(&shop).await.unwrap(), Some(1));
    assert_ne!(
        browser.cookie(),
        before,
        "the id is renewed when that can be"
    );
}
