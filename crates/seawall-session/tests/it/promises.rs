//! P1 to P4 and P8, under overlapping requests.

use std::{sync::Arc, time::Duration};

use seawall_session::{Consistency, SessionError, SessionSettings};
use seawall_store::{Batcher, BatcherSettings, Value};
use tokio::task::JoinSet;

use crate::support::{Browser, Watched, clock, node, settings, two_nodes};

#[tokio::test]
async fn p1_a_response_waits_for_its_commit() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    assert_eq!(browser.count(&node1).await.unwrap(), 1);
    store.open_gate(false);
    let visit = tokio::spawn({
        let browser = browser.clone();
        async move { browser.count(&node1).await }
    });
    store.until_commits(2).await;
    tokio::task::yield_now().await;
    assert!(!visit.is_finished(), "answered before the commit");
    assert_eq!(browser.read(&node2).await.unwrap(), Some(1));
    store.open_gate(true);
    assert_eq!(visit.await.unwrap().unwrap(), 2);
    assert_eq!(browser.read(&node2).await.unwrap(), Some(2));
}

#[tokio::test]
async fn p1_what_a_reader_sees_is_committed_too() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, _] = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    store.open_gate(false);
    let tasks: Vec<_> = (0..2)
        .map(|writer| {
            let (browser, node1) = (browser.clone(), node1.clone());
            tokio::spawn(async move {
                if writer == 0 {
                    browser.count(&node1).await.map(Some)
                } else {
                    browser.read(&node1).await
                }
            })
        })
        .collect();
    store.until_commits(2).await;
    tokio::task::yield_now().await;
    assert!(
        !tasks[1].is_finished(),
        "a reader was shown what is not durable"
    );
    store.open_gate(true);
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap(), Some(2));
    }
}

#[tokio::test]
async fn p2_p3_counts_go_on_whichever_node_serves() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = two_nodes(&store, &clock);
    let browser = Browser::default();
    for visit in 1..=21 {
        let node = &nodes[visit % 2];
        assert_eq!(
            browser.count(node).await.unwrap(),
            i64::try_from(visit).unwrap()
        );
        let other = &nodes[(visit + 1) % 2];
        assert_eq!(
            browser.read(other).await.unwrap(),
            Some(i64::try_from(visit).unwrap())
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_no_update_of_overlapping_requests_is_lost() {
    for consistency in [Consistency::Strict, Consistency::Sticky] {
        let (store, clock) = (Watched::new(), clock());
        let nodes = ["node1", "node2"].map(|name| {
            let settings = SessionSettings {
                consistency,
                ..settings(name)
            };
            node(store.clone(), clock.clone(), settings)
        });
        let browser = Browser::default();
        browser.count(&nodes[0]).await.unwrap();
        let mut clients = JoinSet::new();
        for client in 0..8 {
            let (browser, nodes) = (browser.clone(), nodes.clone());
            clients.spawn(async move {
                for visit in 0..500 {
                    browser.count(&nodes[(client + visit) % 2]).await.unwrap();
                }
            });
        }
        clients.join_all().await;
        assert_eq!(browser.count(&nodes[1]).await.unwrap(), 4_002);
    }
}

#[tokio::test]
async fn p2_different_attributes_of_overlapping_requests_all_survive() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&nodes[0]).await.unwrap();
    let mut requests = JoinSet::new();
    for i in 0..40_usize {
        let (browser, node) = (browser.clone(), nodes[i % 2].clone());
        requests.spawn(async move {
            browser
                .visit(&node, |draft| draft.set(format!("a{i}"), 1).unwrap())
                .await
                .unwrap();
        });
    }
    requests.join_all().await;
    let names = browser
        .visit(&nodes[0], |draft| draft.attributes().count())
        .await
        .unwrap();
    assert_eq!(names, 41);
}

#[tokio::test]
async fn p4_an_invalidated_session_stays_dead() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    browser.count(&node2).await.unwrap();
    let thief = Browser::with_cookie(browser.cookie());
    browser
        .visit(&node2, |draft| draft.invalidate())
        .await
        .unwrap();
    assert_eq!(browser.cookie(), None, "the cookie is taken away");
    assert_eq!(thief.read(&node1).await.unwrap(), None);
    assert_eq!(thief.count(&node1).await.unwrap(), 1, "a fresh session");
    assert_ne!(thief.cookie(), browser.cookie());
    assert_eq!(store_count(&store).await, 1);
}

#[tokio::test]
async fn p4_a_late_save_does_not_bring_a_session_back() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    let old_cookie = browser.cookie().unwrap();
    let late = Browser::with_cookie(browser.cookie());
    store.open_gate(false);
    let saving = tokio::spawn({
        let late = late.clone();
        async move { late.count(&node1).await }
    });
    store.until_commits(2).await;
    let invalidating = tokio::spawn({
        let (browser, node2) = (browser.clone(), node2.clone());
        async move { browser.visit(&node2, |draft| draft.invalidate()).await }
    });
    store.until_commits(3).await;
    store.open_gate(true);
    invalidating.await.unwrap().unwrap();
    saving.await.unwrap().unwrap();
    let old = Browser::with_cookie(Some(old_cookie));
    assert_eq!(
        old.read(&node2).await.unwrap(),
        None,
        "the late save brought it back"
    );
}

#[tokio::test]
async fn unknown_ids_are_never_adopted() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, _] = two_nodes(&store, &clock);
    let forged = "JSESSIONID=AAAAAAAAAAAAAAAAAAAAAA.node1".to_owned();
    let browser = Browser::with_cookie(Some(forged.clone()));
    assert_eq!(browser.count(&node1).await.unwrap(), 1);
    let given = browser.cookie().unwrap();
    assert!(
        !given.contains("AAAAAAAAAAAAAAAAAAAAAA"),
        "the client's id was adopted"
    );
}

#[tokio::test]
async fn a_request_that_stores_nothing_makes_no_session() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, _] = two_nodes(&store, &clock);
    let browser = Browser::default();
    assert_eq!(browser.read(&node1).await.unwrap(), None);
    assert_eq!(browser.cookie(), None);
    assert_eq!(store_count(&store).await, 0);
}

#[tokio::test]
async fn the_cookie_follows_the_node_that_serves() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    assert!(browser.cookie().unwrap().ends_with(".node1"));
    browser.read(&node2).await.unwrap();
    assert!(browser.cookie().unwrap().ends_with(".node2"));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_an_error_after_the_patience() {
    let (store, clock) = (Watched::new(), clock());
    let patience = Duration::from_millis(300);
    let batcher = Batcher::spawn(
        store.clone(),
        &BatcherSettings {
            patience,
            ..Default::default()
        },
    );
    let node1 =
        seawall_session::SessionManager::new(batcher, clock.clone(), settings("node1")).unwrap();
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    store.open_gate(false);
    let error = browser.count(&node1).await.unwrap_err();
    assert!(matches!(error, SessionError::Store(_)), "{error:?}");
    store.open_gate(true);
    let count = browser.count(&node1).await.unwrap();
    assert!(
        count == 2 || count == 3,
        "acknowledged visits are kept: {count}"
    );
}

#[tokio::test]
async fn values_survive_the_way_through_the_store() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    let list = Value::List(vec![Value::Null, Value::Bool(true), Value::F64(0.5)]);
    browser
        .visit(&node1, |draft| draft.set("list", list.clone()).unwrap())
        .await
        .unwrap();
    let read = browser
        .visit(&node2, |draft| draft.value("list").cloned())
        .await
        .unwrap();
    assert_eq!(read, Some(list));
}

async fn store_count(store: &Arc<Watched>) -> u64 {
    seawall_store::SessionStore::count(&**store).await.unwrap()
}
