//! Idle timeouts that change, accesses, and the sweep.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use seawall_session::{
    Listeners, Session, SessionError, SessionManager, SessionSettings, Sweeper, sweep::sweep,
};
use seawall_store::{ManualClock, SessionStore};

use super::{read, request, set};
use crate::support::{Browser, Watched, clock, node, settings, two_nodes};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Two nodes, and a browser with a session on the first one.
async fn visited() -> (Arc<Watched>, Arc<ManualClock>, [SessionManager; 2], Browser) {
    let (store, clock) = (Watched::new(), clock());
    let nodes = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&nodes[0]).await.unwrap();
    (store, clock, nodes, browser)
}

async fn set_idle_timeout(node: &SessionManager, browser: &Browser, timeout: Option<Duration>) {
    let change = |draft: &mut seawall_session::Draft<'_>| draft.set_idle_timeout(timeout);
    browser.visit(node, change).await.unwrap();
}

async fn swept(store: &Watched, clock: &ManualClock) -> u64 {
    sweep(store, clock, &Listeners::default()).await.unwrap()
}

/// What a client with the browser's cookie finds, which is nothing when the session has expired.
async fn found(node: &SessionManager, browser: &Browser) -> Option<i64> {
    let visitor = Browser::with_cookie(browser.cookie());
    visitor.read(node).await.unwrap()
}

#[tokio::test]
async fn an_expired_session_is_refused_before_any_sweep() {
    let (store, clock, nodes, browser) = visited().await;
    clock.advance(32 * MINUTE);
    assert_eq!(store.count().await.unwrap(), 1, "nobody has swept");
    let old = browser.cookie().unwrap();
    for node in &nodes {
        assert_eq!(found(node, &browser).await, None);
        let returning = Browser::with_cookie(Some(old.clone()));
        assert_eq!(returning.count(node).await.unwrap(), 1, "a fresh session");
        let id = |cookie: &str| cookie.split('.').next().unwrap().to_owned();
        assert_ne!(
            id(&returning.cookie().unwrap()),
            id(&old),
            "with a fresh id"
        );
    }
}

#[tokio::test]
async fn a_session_that_another_node_keeps_alive_is_not_expired() {
    let (store, clock, [node1, node2], browser) = visited().await;
    clock.advance(20 * MINUTE);
    assert_eq!(found(&node2, &browser).await, Some(1));
    clock.advance(20 * MINUTE);
    assert_eq!(swept(&store, &clock).await, 0, "in use on the other node");
    assert_eq!(
        found(&node1, &browser).await,
        Some(1),
        "its old copy is not believed"
    );
}

#[tokio::test]
async fn a_shorter_idle_timeout_holds_on_every_node() {
    let (store, clock, [node1, node2], browser) = visited().await;
    assert_eq!(found(&node2, &browser).await, Some(1));
    set_idle_timeout(&node1, &browser, Some(MINUTE)).await;
    clock.advance(MINUTE - SECOND);
    assert_eq!(found(&node2, &browser).await, Some(1));
    clock.advance(2 * MINUTE);
    assert_eq!(found(&node2, &browser).await, None);
    assert_eq!(swept(&store, &clock).await, 1);
}

#[tokio::test]
async fn a_longer_idle_timeout_holds_on_every_node() {
    let (store, clock, [node1, node2], browser) = visited().await;
    assert_eq!(found(&node2, &browser).await, Some(1));
    set_idle_timeout(&node1, &browser, Some(600 * MINUTE)).await;
    clock.advance(599 * MINUTE);
    assert_eq!(swept(&store, &clock).await, 0);
    assert_eq!(found(&node2, &browser).await, Some(1));
}

#[tokio::test]
async fn a_session_made_immortal_stays() {
    let (store, clock, [node1, node2], browser) = visited().await;
    set_idle_timeout(&node1, &browser, None).await;
    clock.advance(1_000_000 * MINUTE);
    assert_eq!(swept(&store, &clock).await, 0);
    assert_eq!(found(&node2, &browser).await, Some(1));
}

#[tokio::test]
async fn an_immortal_session_given_an_idle_timeout_expires() {
    let (store, clock, [node1, node2], browser) = visited().await;
    set_idle_timeout(&node1, &browser, None).await;
    clock.advance(1_000 * MINUTE);
    set_idle_timeout(&node2, &browser, Some(MINUTE)).await;
    clock.advance(MINUTE / 2);
    assert_eq!(found(&node1, &browser).await, Some(1));
    clock.advance(2 * MINUTE);
    assert_eq!(found(&node1, &browser).await, None);
    assert_eq!(swept(&store, &clock).await, 1);
}

#[tokio::test]
async fn a_huge_idle_timeout_does_not_overflow() {
    for huge in [
        Duration::MAX,
        Duration::from_secs(i32::MAX.unsigned_abs().into()),
    ] {
        let (store, clock, [node1, node2], browser) = visited().await;
        set_idle_timeout(&node1, &browser, Some(huge)).await;
        clock.advance(1_000_000 * MINUTE);
        assert_eq!(swept(&store, &clock).await, 0);
        assert_eq!(found(&node2, &browser).await, Some(1));
    }
}

#[tokio::test]
async fn an_idle_timeout_of_nothing_is_for_ever() {
    let (store, clock, nodes, browser) = visited().await;
    set_idle_timeout(&nodes[0], &browser, Some(Duration::ZERO)).await;
    clock.advance(1_000_000 * MINUTE);
    assert_eq!(swept(&store, &clock).await, 0);
    for node in &nodes {
        assert_eq!(found(node, &browser).await, Some(1));
    }
}

#[tokio::test]
async fn an_idle_timeout_set_in_the_request_that_makes_the_session_counts() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    let make = |session: Session| async move {
        session.set_idle_timeout(Some(600 * MINUTE));
        session.set("count", &1)
    };
    assert!(request(&node1, &browser, make).await.1.is_ok());
    clock.advance(599 * MINUTE);
    assert_eq!(found(&node2, &browser).await, Some(1));
}

#[tokio::test]
async fn an_idle_timeout_outlives_a_new_id_and_later_writes() {
    let (_store, clock, [node1, node2], browser) = visited().await;
    set_idle_timeout(&node1, &browser, Some(600 * MINUTE)).await;
    let rotate = |session: Session| async move { session.rotate_id().await };
    assert!(request(&node2, &browser, rotate).await.1.is_ok());
    browser.count(&node1).await.unwrap();
    clock.advance(599 * MINUTE);
    assert_eq!(found(&node2, &browser).await, Some(2));
}

/// Jetty does not expire a session while a request uses it. Here no node knows of the requests of
/// the others; so the request is told.
#[tokio::test]
async fn a_request_longer_than_the_idle_timeout_is_told_that_its_session_ended() {
    for is_swept in [false, true] {
        let (store, clock, [node1, _], browser) = visited().await;
        let handler = {
            let (store, clock) = (store.clone(), clock.clone());
            move |session: Session| {
                let (store, clock) = (store.clone(), clock.clone());
                async move {
                    clock.advance(32 * MINUTE);
                    if is_swept {
                        assert_eq!(swept(&store, &clock).await, 1);
                    }
                    session.update("count", |_: Option<i64>| 7).await
                }
            }
        };
        let (status, result) = request(&node1, &browser, handler).await;
        assert!(matches!(result, Err(SessionError::Ended)), "{result:?}");
        assert_eq!(status, StatusCode::OK, "the handler has dealt with it");
        assert_eq!(swept(&store, &clock).await, u64::from(!is_swept));
    }
}

#[tokio::test]
async fn times_of_creation_and_access_are_kept() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    let times = |session: Session| async move {
        session.set("seen", &1).unwrap();
        let (created, access) = (session.created_at(), session.last_access());
        (created.as_millis(), access.as_millis())
    };
    let (_, (created, access)) = request(&node1, &browser, times).await;
    assert_eq!(created, access, "a new session");
    let mut before = access;
    for node in [&node1, &node2, &node1] {
        clock.advance(10 * MINUTE);
        let (_, (then, access)) = request(node, &browser, times).await;
        assert_eq!((then, access), (created, before), "created, and last used");
        before += 600_000;
    }
}

/// A node knows its own accesses exactly, and those of others within the touch interval, so that
/// reads cost no write.
#[tokio::test]
async fn the_last_access_is_exact_to_a_touch_interval() {
    let (_store, clock, nodes, browser) = visited().await;
    let mut now = 0;
    for visit in 0..50 {
        let alone = visit < 25;
        let node = if alone { &nodes[0] } else { &nodes[visit % 2] };
        clock.advance(25 * SECOND);
        now += 25_000;
        let times = |draft: &mut seawall_session::Draft<'_>| {
            draft.last_access().as_millis() - draft.created_at().as_millis()
        };
        let late = now - 25_000 - browser.visit(node, times).await.unwrap();
        let seen = |session: Session| async move {
            session.last_access().as_millis() - session.created_at().as_millis()
        };
        let (_, access) = request(node, &browser, seen).await;
        assert_eq!(access, now, "the other request of this moment");
        let most = if alone { 0 } else { 60_000 };
        assert!((0..=most).contains(&late), "visit {visit}: {late} ms late");
    }
}

#[tokio::test]
async fn a_new_session_of_the_request_that_ended_the_old_one_expires_too() {
    let (store, clock, [node1, node2], browser) = visited().await;
    let renew = |session: Session| async move {
        session.invalidate().await.unwrap();
        session.set("count", &10)
    };
    assert!(request(&node2, &browser, renew).await.1.is_ok());
    assert_eq!(found(&node1, &browser).await, Some(10));
    assert_eq!(store.count().await.unwrap(), 1);
    clock.advance(32 * MINUTE);
    assert_eq!(swept(&store, &clock).await, 1);
    assert_eq!(found(&node1, &browser).await, None);
}

#[tokio::test(start_paused = true)]
async fn every_sweep_takes_what_dead_nodes_left_and_not_only_the_first() {
    let (store, clock) = (Watched::new(), clock());
    let (interval, nobody) = (10 * SECOND, Listeners::default());
    let sweeper = Sweeper::spawn(store.clone(), clock.clone(), interval, nobody);
    for round in 0..5 {
        let dead = node(
            store.clone(),
            clock.clone(),
            settings(&format!("dead{round}")),
        );
        Browser::default().count(&dead).await.unwrap();
        drop(dead);
        clock.advance(32 * MINUTE);
        assert_eq!(store.count().await.unwrap(), 1, "round {round}");
        tokio::time::sleep(interval + SECOND).await;
        assert_eq!(store.count().await.unwrap(), 0, "round {round}");
    }
    drop(sweeper);
    let node = node(store.clone(), clock.clone(), settings("node1"));
    Browser::default().count(&node).await.unwrap();
    clock.advance(32 * MINUTE);
    tokio::time::sleep(10 * interval).await;
    assert_eq!(
        store.count().await.unwrap(),
        1,
        "swept after the sweeper's end"
    );
}

#[tokio::test]
async fn a_session_outlives_its_nodes() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("sessions.db").display());
    let (clock, browser) = (clock(), Browser::default());
    for start in 0..3 {
        let url = url.parse::<seawall_store::StoreUrl>().unwrap();
        let store = url.open().await.unwrap();
        let kept = SessionSettings {
            absolute_timeout: Some(600 * MINUTE),
            ..settings("node1")
        };
        let node = node(store, clock.clone(), kept);
        assert_eq!(browser.count(&node).await.unwrap(), start + 1);
        set(&node, &browser, "seen", start).await;
        assert_eq!(read(&node, &browser, "seen").await, Some(start));
    }
}
