//! Session ids: given once, and changed in one step.

use http::StatusCode;
use seawall_session::{Session, SessionSettings};
use seawall_store::SessionStore;

use super::{read, request, set};
use crate::support::{Browser, Watched, clock, node, settings, two_nodes};

fn id(browser: &Browser) -> String {
    let cookie = browser.cookie().unwrap();
    cookie.split(['=', '.']).nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn the_id_of_an_ended_session_is_never_given_again() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&nodes[0]).await.unwrap();
    let (first, old) = (id(&browser), browser.cookie());
    browser
        .visit(&nodes[0], |draft| draft.invalidate())
        .await
        .unwrap();
    for node in &nodes {
        let returning = Browser::with_cookie(old.clone());
        assert_eq!(returning.count(node).await.unwrap(), 1);
        assert_ne!(id(&returning), first);
    }
}

#[tokio::test]
async fn a_new_id_keeps_contents_times_and_principal() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    set(&node1, &browser, "count", 5).await;
    let before = id(&browser);
    clock.advance(std::time::Duration::from_secs(60));
    let rotate = |session: Session| async move {
        session.set_principal(Some("user:42".into())).unwrap();
        session.rotate_id().await.unwrap();
        session.created_at()
    };
    let (_, created) = request(&node2, &browser, rotate).await;
    assert_ne!(id(&browser), before);
    for node in [&node1, &node2] {
        let seen = |session: Session| async move {
            (
                session.created_at(),
                session.principal(),
                session.get::<i64>("count").unwrap(),
            )
        };
        let (_, seen) = request(node, &browser, seen).await;
        assert_eq!(seen, (created, Some("user:42".into()), Some(5)));
    }
    assert_eq!(store.count().await.unwrap(), 1);
}

#[tokio::test]
async fn a_new_id_for_no_session_is_nothing() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, _] = two_nodes(&store, &clock);
    let browser = Browser::default();
    let rotate = |session: Session| async move { session.rotate_id().await };
    let (status, result) = request(&node1, &browser, rotate).await;
    assert_eq!((status, result.is_ok()), (StatusCode::OK, true));
    assert_eq!(browser.cookie(), None);
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn a_new_id_works_without_a_cache() {
    let (store, clock) = (Watched::new(), clock());
    let uncached = SessionSettings {
        cache_capacity: 0,
        ..settings("node1")
    };
    let node1 = node(store.clone(), clock.clone(), uncached);
    let browser = Browser::default();
    set(&node1, &browser, "count", 5).await;
    for _ in 0..3 {
        let old = Browser::with_cookie(browser.cookie());
        let rotate = |session: Session| async move {
            session.rotate_id().await.unwrap();
            session
                .update("count", |count: Option<i64>| count.unwrap() + 1)
                .await
                .unwrap()
        };
        request(&node1, &browser, rotate).await;
        assert_eq!(
            read(&node1, &old, "count").await,
            None,
            "the old id is dead"
        );
    }
    assert_eq!(read(&node1, &browser, "count").await, Some(8));
}

/// Both are answered, so the session has ended, whichever came first; unless the id was changed
/// before the request that was to end it had found it, which is then told that there is no session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renewing_and_ending_at_once_leaves_no_session() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = two_nodes(&store, &clock);
    let mut ended = 0;
    for round in 0..200 {
        let first = Browser::default();
        first.count(&nodes[round % 2]).await.unwrap();
        let (ending, renewing) = (
            Browser::with_cookie(first.cookie()),
            Browser::with_cookie(first.cookie()),
        );
        let end = |session: Session| async move {
            let found = session.id().is_some();
            session.invalidate().await.unwrap();
            found
        };
        let renew = |session: Session| async move {
            // The other request may have been first.
            let _ = session.rotate_id().await;
        };
        let ((_, found), _) = tokio::join!(
            request(&nodes[0], &ending, end),
            request(&nodes[1], &renewing, renew)
        );
        ended += usize::from(found);
        let expected = if found { 0 } else { 1 };
        assert_eq!(store.count().await.unwrap(), expected, "round {round}");
        assert_eq!(read(&nodes[0], &first, "count").await, None);
        let alive = read(&nodes[1], &renewing, "count").await;
        assert_eq!(alive.is_some(), !found, "round {round}");
        let end = |session: Session| async move { session.invalidate().await.unwrap() };
        request(&nodes[0], &renewing, end).await;
    }
    assert!(
        ended > 100,
        "{ended} of 200 sessions were found to be ended"
    );
}
