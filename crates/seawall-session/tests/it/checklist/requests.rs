//! What becomes of a session within one request.

use std::sync::atomic::Ordering;

use http::StatusCode;
use seawall_session::{Session, SessionError, SessionSettings};
use seawall_store::SessionStore;

use super::{read, request, set};
use crate::support::{Browser, Watched, clock, node, settings, two_nodes};

#[tokio::test]
async fn a_session_made_and_ended_in_one_request_is_never_stored() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, _] = two_nodes(&store, &clock);
    let browser = Browser::default();
    let make_and_end = |session: Session| async move {
        session.set("count", &1).unwrap();
        session.invalidate().await.unwrap();
    };
    request(&node1, &browser, make_and_end).await;
    let make_and_end = |draft: &mut seawall_session::Draft<'_>| {
        draft.set("count", 1).unwrap();
        draft.invalidate();
    };
    browser.visit(&node1, make_and_end).await.unwrap();
    assert_eq!(browser.cookie(), None);
    assert_eq!(store.commits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_session_begun_anew_in_one_request_has_a_new_id_and_nothing_of_the_old() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    set(&node1, &browser, "old", 1).await;
    let old = Browser::with_cookie(browser.cookie());
    let renew = |session: Session| async move {
        let before = session.id();
        session.invalidate().await.unwrap();
        session.set("new", &2).unwrap();
        session.save().await.unwrap();
        before != session.id()
    };
    let (_, is_new) = request(&node2, &browser, renew).await;
    assert!(is_new);
    assert_eq!(read(&node1, &browser, "new").await, Some(2));
    assert_eq!(read(&node1, &browser, "old").await, None);
    assert_eq!(read(&node1, &old, "old").await, None, "the old id is dead");
    assert_eq!(store.count().await.unwrap(), 1);
}

/// Jetty's methods throw. Here an ended session is like none: reads find nothing, and a write
/// begins another session.
#[tokio::test]
async fn an_ended_session_is_empty_for_the_rest_of_its_request() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, _] = two_nodes(&store, &clock);
    let browser = Browser::default();
    set(&node1, &browser, "count", 1).await;
    let look = |session: Session| async move {
        let clone = session.clone();
        session.invalidate().await.unwrap();
        clone.remove("count");
        clone.rotate_id().await.unwrap();
        (
            clone.id(),
            clone.get::<i64>("count").unwrap(),
            clone.principal(),
        )
    };
    let (status, seen) = request(&node1, &browser, look).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((seen.1, seen.2), (None, None));
    assert_eq!(read(&node1, &browser, "count").await, None);
}

/// Login, then a redirect: the next request, on another node, finds what was set.
#[tokio::test]
async fn what_is_set_before_a_redirect_is_there_after_it() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    for visit in 0..20 {
        set(&node1, &browser, "step", visit).await;
        assert_eq!(read(&node2, &browser, "step").await, Some(visit));
    }
}

#[tokio::test]
async fn all_parts_of_a_request_have_one_session() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    let nested = |session: Session| async move {
        let inner = session.clone();
        inner.set("inner", &1).unwrap();
        let seen = session.get::<i64>("inner").unwrap();
        session.remove("inner");
        let gone = inner.get::<i64>("inner").unwrap();
        session.set("outer", &2).unwrap();
        (seen, gone, inner.get::<i64>("outer").unwrap())
    };
    let (_, seen) = request(&node1, &browser, nested).await;
    assert_eq!(seen, (Some(1), None, Some(2)));
    assert_eq!(read(&node2, &browser, "outer").await, Some(2));
    assert_eq!(read(&node2, &browser, "inner").await, None);
}

#[tokio::test]
async fn changes_of_a_task_that_the_handler_waits_for_are_saved() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    let elsewhere = |session: Session| async move {
        let task = tokio::spawn(async move {
            tokio::task::yield_now().await;
            session.set("count", &3)
        });
        task.await.unwrap()
    };
    assert!(request(&node1, &browser, elsewhere).await.1.is_ok());
    assert_eq!(read(&node2, &browser, "count").await, Some(3));
}

#[tokio::test]
async fn a_removed_attribute_is_gone_on_every_node() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    set(&node1, &browser, "count", 1).await;
    assert_eq!(read(&node2, &browser, "count").await, Some(1));
    let remove = |session: Session| async move { session.remove("count") };
    request(&node1, &browser, remove).await;
    for node in [&node1, &node2] {
        assert_eq!(read(node, &browser, "count").await, None);
    }
    assert_eq!(
        store.count().await.unwrap(),
        1,
        "an empty session is a session"
    );
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_when_it_is_set() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    let refused = |session: Session| async move {
        session.set("good", &1).unwrap();
        session.set("bad", &u64::MAX)
    };
    let (status, result) = request(&node1, &browser, refused).await;
    let Err(SessionError::Value { name, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!((&*name, status), ("bad", StatusCode::OK));
    assert_eq!(
        read(&node2, &browser, "good").await,
        Some(1),
        "the others are saved"
    );
}

#[tokio::test]
async fn the_same_id_in_another_application_is_another_session() {
    let (store, clock) = (Watched::new(), clock());
    let applications = [("/a", "0.0.0.0"), ("/b", "0.0.0.0"), ("/a", "example.org")];
    let nodes = applications.map(|(path, host)| {
        let placed = SessionSettings {
            context_path: path.into(),
            virtual_host: host.into(),
            ..settings("node1")
        };
        node(store.clone(), clock.clone(), placed)
    });
    let browser = Browser::default();
    set(&nodes[0], &browser, "count", 1).await;
    for node in &nodes[1..] {
        let visitor = Browser::with_cookie(browser.cookie());
        assert_eq!(read(node, &visitor, "count").await, None);
    }
    assert_eq!(read(&nodes[0], &browser, "count").await, Some(1));
}
