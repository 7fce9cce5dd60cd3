//! Ids that are old are renewed by themselves, and nobody is thrown out.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use seawall_session::{
    Draft, Listeners, SessionEvent, SessionLayer, SessionListener, SessionManager, SessionSettings,
    sweep::sweep,
};
use seawall_store::{
    Clock, ManualClock, SessionKey, SessionStore, StoreUrl, SystemClock, Timestamp,
};
use seawall_testing::{TestMariaDb, TestPostgres, TestRedis, TestRedisCluster};
use tokio::task::JoinSet;
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{Browser, Watched, clock, node, settings};

const MINUTE: Duration = Duration::from_secs(60);

fn renewing(node: &str) -> SessionSettings {
    SessionSettings {
        renewal_timeout: Some(15 * MINUTE),
        ..settings(node)
    }
}

fn nodes(store: &Arc<Watched>, clock: &Arc<ManualClock>) -> [SessionManager; 2] {
    ["node1", "node2"].map(|name| node(store.clone(), clock.clone(), renewing(name)))
}

fn id(browser: &Browser) -> String {
    let cookie = browser.cookie().unwrap();
    cookie.split('.').next().unwrap().to_owned()
}

#[tokio::test]
async fn an_old_id_is_renewed_and_a_young_one_is_not() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    let first = id(&browser);
    clock.advance(15 * MINUTE - Duration::from_millis(1));
    browser.read(&node1).await.unwrap();
    assert_eq!(id(&browser), first);
    clock.advance(Duration::from_millis(1));
    assert_eq!(browser.read(&node2).await.unwrap(), Some(1));
    let second = id(&browser);
    assert_ne!(second, first);
    assert_eq!(browser.count(&node1).await.unwrap(), 2);
    assert_eq!(id(&browser), second, "the new id is young");
    clock.advance(15 * MINUTE);
    assert_eq!(browser.count(&node1).await.unwrap(), 3);
    assert_ne!(id(&browser), second);
}

#[tokio::test]
async fn an_id_is_an_alias_for_a_while_and_dead_then() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&nodes[0]).await.unwrap();
    browser.count(&nodes[1]).await.unwrap();
    let old = browser.cookie();
    clock.advance(15 * MINUTE);
    browser.count(&nodes[0]).await.unwrap();
    clock.advance(MINUTE - Duration::from_millis(1));
    for node in &nodes {
        let late = Browser::with_cookie(old.clone());
        assert_eq!(late.read(node).await.unwrap(), Some(3));
        assert_eq!(id(&late), id(&browser), "it gets the id that it missed");
    }
    clock.advance(Duration::from_millis(1));
    for node in &nodes {
        let late = Browser::with_cookie(old.clone());
        assert_eq!(late.read(node).await.unwrap(), None, "P8");
    }
    let nobody = Listeners::default();
    assert_eq!(sweep(&*store, &*clock, &nobody).await.unwrap(), 0);
    assert_eq!(store.count().await.unwrap(), 1, "the mark is swept");
}

#[tokio::test]
async fn a_logout_ends_the_session_for_the_old_id_too() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = nodes(&store, &clock);
    for by_old_id in [false, true] {
        let browser = Browser::default();
        browser.count(&nodes[0]).await.unwrap();
        let old = Browser::with_cookie(browser.cookie());
        clock.advance(15 * MINUTE);
        browser.count(&nodes[0]).await.unwrap();
        let cookies = [old.cookie(), browser.cookie()];
        let leaver = if by_old_id { &old } else { &browser };
        let end = |draft: &mut Draft<'_>| draft.invalidate();
        leaver.visit(&nodes[1], end).await.unwrap();
        for cookie in cookies {
            for node in &nodes {
                let thief = Browser::with_cookie(cookie.clone());
                assert_eq!(thief.read(node).await.unwrap(), None, "P4");
            }
        }
    }
}

#[tokio::test]
async fn an_explicit_rotation_leaves_no_alias() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&nodes[0]).await.unwrap();
    let first = browser.cookie();
    clock.advance(15 * MINUTE);
    browser.count(&nodes[0]).await.unwrap();
    let second = browser.cookie();
    let log_in = service_fn(|request: http::Request<()>| async move {
        let handle = request.extensions().get::<seawall_session::SessionHandle>();
        handle.unwrap().session().await?.log_in("user:42").await?;
        Ok::<_, seawall_session::SessionError>(http::Response::new(()))
    });
    let request = http::Request::get("/").header(http::header::COOKIE, second.clone().unwrap());
    let service = SessionLayer::new(nodes[1].clone()).layer(log_in);
    let response = service.oneshot(request.body(()).unwrap()).await.unwrap();
    browser.keep(response.headers().get(http::header::SET_COOKIE));
    assert_eq!(browser.read(&nodes[0]).await.unwrap(), Some(2));
    for old in [first, second] {
        for node in &nodes {
            let thief = Browser::with_cookie(old.clone());
            assert_eq!(thief.read(node).await.unwrap(), None, "P8");
        }
    }
}

/// Counts rotations.
#[derive(Debug, Default)]
struct Rotations(Mutex<Vec<SessionKey>>);

impl SessionListener for Rotations {
    fn on_event(&self, session: &SessionKey, event: &SessionEvent<'_>) {
        match event {
            SessionEvent::Rotated { from } => {
                assert_ne!(session, *from);
                self.0.lock().unwrap().push((*from).clone());
            }
            SessionEvent::Expired { .. } => panic!("nothing expires in this test"),
            _ => {}
        }
    }
}

/// The time of the system, and some more.
#[derive(Debug)]
struct Later(Mutex<Duration>);

impl Clock for Later {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(*self.0.lock().unwrap())
    }
}

/// Many requests with the same old id at the moment of its renewal, on two nodes.
async fn nobody_is_thrown_out(url: &str) {
    let (listener, clock) = (Arc::new(Rotations::default()), Later(Mutex::default()));
    let clock = Arc::new(clock);
    let mut nodes = Vec::new();
    for name in ["node1", "node2"] {
        let store = url.parse::<StoreUrl>().unwrap().open().await.unwrap();
        let settings = SessionSettings {
            listeners: Listeners::default().with(listener.clone()),
            ..renewing(name)
        };
        nodes.push(node(store, clock.clone(), settings));
    }
    let mut browser = Browser::default();
    browser.count(&nodes[0]).await.unwrap();
    for round in 1..=10_u8 {
        *clock.0.lock().unwrap() += 15 * MINUTE;
        let old = browser.cookie();
        let mut requests = JoinSet::new();
        for request in 0..16 {
            let late = Browser::with_cookie(old.clone());
            let node = nodes[request % 2].clone();
            requests.spawn(async move {
                late.count(&node).await.unwrap();
                late
            });
        }
        requests.join_all().await;
        let late = Browser::with_cookie(old);
        let count = late.read(&nodes[0]).await.unwrap();
        assert_eq!(count, Some(1 + 16 * i64::from(round)), "round {round}");
        assert_ne!(id(&late), id(&browser), "round {round}");
        let told = std::mem::take(&mut *listener.0.lock().unwrap());
        assert_eq!(told.len(), 1, "told once in round {round}");
        browser = late;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_thrown_out_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sessions.db");
    nobody_is_thrown_out(&format!("sqlite:{}", file.display())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_thrown_out_on_postgresql() {
    nobody_is_thrown_out(&TestPostgres::start().url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_thrown_out_on_mariadb() {
    nobody_is_thrown_out(&TestMariaDb::start().url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_thrown_out_on_redis() {
    nobody_is_thrown_out(&TestRedis::start().url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_thrown_out_on_a_redis_cluster() {
    nobody_is_thrown_out(&TestRedisCluster::start().url()).await;
}
