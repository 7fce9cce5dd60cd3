//! Copies of sessions on a node: never needed, never wrong.

use std::{sync::atomic::Ordering, time::Duration};

use seawall_session::SessionSettings;
use seawall_store::{SessionStore, StoreUrl, SystemClock};
use seawall_testing::TestRedis;
use tokio::task::JoinSet;

use crate::support::{Browser, Watched, clock, node, settings, two_nodes};

#[tokio::test]
async fn requests_of_one_node_share_a_copy() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let (browser, node2) = (browser.clone(), node2.clone());
        requests.spawn(async move { browser.count(&node2).await.unwrap() });
    }
    let mut counts = requests.join_all().await;
    counts.sort_unstable();
    assert_eq!(counts, (2..22).collect::<Vec<_>>());
    assert_eq!(node2.cached_sessions(), 1);
}

#[tokio::test]
async fn a_session_that_fell_out_of_the_cache_is_as_it_was() {
    let (store, clock) = (Watched::new(), clock());
    for capacity in [0, 1, 2] {
        let small = SessionSettings {
            cache_capacity: capacity,
            ..settings("node1")
        };
        let node1 = node(store.clone(), clock.clone(), small);
        let browsers: Vec<_> = (0..5).map(|_| Browser::default()).collect();
        for round in 1..=10 {
            for browser in &browsers {
                assert_eq!(
                    browser.count(&node1).await.unwrap(),
                    round,
                    "capacity {capacity}"
                );
                assert_eq!(browser.read(&node1).await.unwrap(), Some(round));
            }
            assert!(node1.cached_sessions() <= capacity, "capacity {capacity}");
        }
    }
}

#[tokio::test]
async fn a_node_without_cache_loses_no_update_and_ends_sessions() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = ["node1", "node2"].map(|name| {
        let uncached = SessionSettings {
            cache_capacity: 0,
            ..settings(name)
        };
        node(store.clone(), clock.clone(), uncached)
    });
    let browser = Browser::default();
    browser.count(&nodes[0]).await.unwrap();
    let mut requests = JoinSet::new();
    for request in 0..40 {
        let (browser, node) = (browser.clone(), nodes[request % 2].clone());
        requests.spawn(async move { browser.count(&node).await.unwrap() });
    }
    requests.join_all().await;
    assert_eq!(browser.read(&nodes[0]).await.unwrap(), Some(41));
    let old = Browser::with_cookie(browser.cookie());
    browser
        .visit(&nodes[0], |draft| draft.invalidate())
        .await
        .unwrap();
    assert_eq!(old.read(&nodes[1]).await.unwrap(), None);
    assert_eq!(store.count().await.unwrap(), 0);
}

#[tokio::test]
async fn each_change_is_one_write_and_reads_are_none() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    let writes = || store.commits.load(Ordering::SeqCst);
    browser.count(&node1).await.unwrap();
    assert_eq!(writes(), 1, "made and filled in one");
    browser.count(&node1).await.unwrap();
    assert_eq!(writes(), 2);
    for _ in 0..10 {
        browser.read(&node1).await.unwrap();
    }
    assert_eq!(writes(), 2);
    let remove_nothing = |draft: &mut seawall_session::Draft<'_>| draft.remove("nothing");
    browser.visit(&node1, remove_nothing).await.unwrap();
    assert_eq!(writes(), 2);
    browser.read(&node2).await.unwrap();
    browser.count(&node2).await.unwrap();
    assert_eq!(writes(), 3);
}

#[tokio::test]
async fn a_change_within_the_touch_interval_is_written_at_once() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    for count in 2..5 {
        clock.advance(Duration::from_millis(10));
        assert_eq!(browser.count(&node1).await.unwrap(), count);
        let elsewhere = Browser::with_cookie(browser.cookie());
        assert_eq!(elsewhere.read(&node2).await.unwrap(), Some(count));
    }
}

#[tokio::test]
async fn an_ended_session_leaves_the_cache() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&nodes[0]).await.unwrap();
    browser.read(&nodes[1]).await.unwrap();
    let old = Browser::with_cookie(browser.cookie());
    browser
        .visit(&nodes[0], |draft| draft.invalidate())
        .await
        .unwrap();
    old.read(&nodes[1]).await.unwrap();
    assert_eq!(nodes.map(|node| node.cached_sessions()), [0, 0]);
}

/// Jetty invalidates it in all contexts, and deletes it if told to. Here it is left for the program
/// that can read it: after a roll-back, or while a newer version of ours is brought in.
#[tokio::test]
async fn an_unreadable_session_is_left_and_its_client_gets_another() {
    let server = TestRedis::start();
    let store = server
        .url()
        .parse::<StoreUrl>()
        .unwrap()
        .open()
        .await
        .unwrap();
    let clock = std::sync::Arc::new(SystemClock);
    let [node1, node2] =
        ["node1", "node2"].map(|name| node(store.clone(), clock.clone(), settings(name)));
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    let row = server.command(&["keys", "*:s:*"]);
    let map = || server.command(&["hget", &row, "map"]);
    server.command(&["hset", &row, "map", "no map"]);
    let old = browser.cookie().unwrap();
    let returning = Browser::with_cookie(Some(old.clone()));
    assert_eq!(
        returning.read(&node2).await.unwrap(),
        None,
        "an answer all the same"
    );
    assert_eq!(returning.count(&node2).await.unwrap(), 1);
    let given = returning.cookie().unwrap();
    let id = |cookie: &str| cookie.split('.').next().unwrap().to_owned();
    assert_ne!(id(&given), id(&old), "the id is not given again");
    assert_eq!(map(), "no map", "it is as it was");
    assert_eq!(store.count().await.unwrap(), 2);
}
