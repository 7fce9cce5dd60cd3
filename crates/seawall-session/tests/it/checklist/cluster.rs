//! Two nodes and one session: what Jetty's tests do not ask.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use seawall_session::{Listeners, Session, SessionError, SessionSettings, sweep::sweep};
use seawall_store::{ManualClock, SessionStore, Timestamp};
use tokio::sync::Notify;

use super::{read, request, set};
use crate::support::{Browser, Watched, clock, node, settings, two_nodes};

const MINUTE: Duration = Duration::from_secs(60);

/// A request on the first node that has read its session and waits, while `meanwhile` happens on
/// the second one; then it sets an attribute.
async fn overlapping(
    meanwhile: impl AsyncFnOnce(&seawall_session::SessionManager, &Browser),
) -> (
    Arc<Watched>,
    [seawall_session::SessionManager; 2],
    Browser,
    StatusCode,
) {
    let (store, clock) = (Watched::new(), clock());
    let nodes = two_nodes(&store, &clock);
    let browser = Browser::default();
    set(&nodes[0], &browser, "user", 1).await;
    assert_eq!(read(&nodes[1], &browser, "user").await, Some(1));
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (node, browser) = (nodes[0].clone(), Browser::with_cookie(browser.cookie()));
        let (begun, go_on) = (begun.clone(), go_on.clone());
        tokio::spawn(async move {
            let work = move |session: Session| {
                let (begun, go_on) = (begun.clone(), go_on.clone());
                async move {
                    assert_eq!(session.get::<i64>("user").unwrap(), Some(1));
                    begun.notify_one();
                    go_on.notified().await;
                    session.set("slow", &2).unwrap();
                }
            };
            request(&node, &browser, work).await.0
        })
    };
    begun.notified().await;
    meanwhile(&nodes[1], &browser).await;
    go_on.notify_one();
    (store, nodes, browser, slow.await.unwrap())
}

#[tokio::test]
async fn a_slow_request_does_not_undo_what_another_node_wrote() {
    let (_store, nodes, browser, status) = overlapping(async |node, browser| {
        set(node, browser, "cart", 3).await;
    })
    .await;
    assert_eq!(status, StatusCode::OK);
    for node in &nodes {
        let both = (
            read(node, &browser, "cart").await,
            read(node, &browser, "slow").await,
        );
        assert_eq!(both, (Some(3), Some(2)));
    }
}

#[tokio::test]
async fn a_slow_request_does_not_undo_a_logout_on_another_node() {
    let (store, nodes, _, status) = overlapping(async |node, browser| {
        let old = Browser::with_cookie(browser.cookie());
        let log_out = |session: Session| async move { session.invalidate().await.unwrap() };
        request(node, browser, log_out).await;
        assert_eq!(browser.cookie(), None);
        assert_eq!(read(node, &old, "user").await, None);
        *old_cookie().lock().unwrap() = old.cookie();
    })
    .await;
    assert_eq!(status, StatusCode::CONFLICT, "it is told");
    assert_eq!(store.count().await.unwrap(), 0);
    let old = Browser::with_cookie(old_cookie().lock().unwrap().clone());
    for node in &nodes {
        assert_eq!(read(node, &old, "user").await, None);
    }
}

/// The cookie that the test above logged out with.
fn old_cookie() -> &'static std::sync::Mutex<Option<String>> {
    static COOKIE: std::sync::Mutex<Option<String>> = std::sync::Mutex::new(None);
    &COOKIE
}

#[tokio::test]
async fn a_slow_request_survives_a_new_id_from_another_node_or_is_told() {
    let (store, nodes, browser, status) = overlapping(async |node, browser| {
        let rotate = |session: Session| async move { session.rotate_id().await.unwrap() };
        request(node, browser, rotate).await;
    })
    .await;
    assert_eq!(
        status,
        StatusCode::CONFLICT,
        "its session is gone under the old id"
    );
    for node in &nodes {
        assert_eq!(read(node, &browser, "user").await, Some(1));
    }
    assert_eq!(store.count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_copy_is_never_believed_over_what_another_node_wrote() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    set(&node1, &browser, "user", 1).await;
    set(&node2, &browser, "cart", 2).await;
    assert_eq!(
        read(&node1, &browser, "cart").await,
        Some(2),
        "not its old copy"
    );
    set(&node1, &browser, "z", 9).await;
    let fresh = node(store.clone(), clock.clone(), settings("node3"));
    for name in ["user", "cart", "z"] {
        assert!(
            read(&fresh, &browser, name).await.is_some(),
            "{name} was lost"
        );
    }
}

/// Nodes whose clocks stand twenty minutes apart, with an idle timeout of thirty.
#[tokio::test]
async fn clocks_that_stand_apart_lose_nothing_and_expire_nobody_early() {
    let start = Timestamp::from_millis(1_790_000_000_000);
    let store = Watched::new();
    let behind = Arc::new(ManualClock::new(start));
    let ahead = Arc::new(ManualClock::new(start.plus(20 * MINUTE)));
    let nodes = [("node1", &behind), ("node2", &ahead)]
        .map(|(name, clock)| node(store.clone(), clock.clone(), settings(name)));
    let browser = Browser::default();
    let mut count = 0;
    for visit in 0..40 {
        count += 1;
        assert_eq!(browser.count(&nodes[visit % 2]).await.unwrap(), count);
        let other = &nodes[(visit + 1) % 2];
        assert_eq!(browser.read(other).await.unwrap(), Some(count));
        for clock in [&behind, &ahead] {
            clock.advance(9 * MINUTE);
            let swept = sweep(&*store, &**clock, &Listeners::default())
                .await
                .unwrap();
            assert_eq!(swept, 0, "expired early at visit {visit}");
        }
    }
    for clock in [&behind, &ahead] {
        clock.advance(60 * MINUTE);
    }
    let swept = sweep(&*store, &*behind, &Listeners::default())
        .await
        .unwrap();
    assert_eq!(swept, 1, "the one that is behind sweeps too");
}

/// A clock that is set back does not take an access back.
#[tokio::test]
async fn a_clock_that_is_set_back_ends_no_session() {
    let start = Timestamp::from_millis(1_790_000_000_000);
    let store = Watched::new();
    let browser = Browser::default();
    for hours in [5, 0, 3] {
        let now = start.plus(hours * 60 * MINUTE);
        let clock = Arc::new(ManualClock::new(now));
        let restarted = node(store.clone(), clock.clone(), settings("node1"));
        if hours == 5 {
            browser.count(&restarted).await.unwrap();
        }
        browser.count(&restarted).await.unwrap();
        assert_eq!(
            sweep(&*store, &*clock, &Listeners::default())
                .await
                .unwrap(),
            0
        );
    }
    assert_eq!(store.count().await.unwrap(), 1);
}

/// Jetty's column takes 60 characters, and the session of a longer path cannot be stored.
#[tokio::test]
async fn paths_over_sixty_bytes_are_refused_before_anything_is_lost() {
    let (store, clock) = (Watched::new(), clock());
    let placed = |length: usize| SessionSettings {
        context_path: format!("/{}", "x".repeat(length - 1)).into(),
        ..settings("node1")
    };
    let longest = node(store.clone(), clock.clone(), placed(60));
    let browser = Browser::default();
    set(&longest, &browser, "count", 1).await;
    assert_eq!(read(&longest, &browser, "count").await, Some(1));
    let error = placed(61).validate().unwrap_err().to_string();
    assert!(
        error.contains("context path") && error.contains("60"),
        "{error}"
    );
}

/// An error of the session is one that a handler can tell from others.
#[tokio::test]
async fn an_update_of_a_session_that_was_ended_elsewhere_says_so() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    set(&node1, &browser, "count", 1).await;
    let work = move |session: Session| {
        let (node2, browser) = (node2.clone(), browser_of(&session));
        async move {
            browser
                .visit(&node2, |draft| draft.invalidate())
                .await
                .unwrap();
            session
                .update("count", |count: Option<i64>| count.unwrap() + 1)
                .await
        }
    };
    let (_, result) = request(&node1, &browser, work).await;
    assert!(matches!(result, Err(SessionError::Ended)), "{result:?}");
    assert_eq!(store.count().await.unwrap(), 0);
}

/// Another browser with the same session.
fn browser_of(session: &Session) -> Browser {
    let id = session.id().unwrap();
    Browser::with_cookie(Some(format!("JSESSIONID={}.node1", id.as_str())))
}
