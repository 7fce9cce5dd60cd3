//! Idle and absolute timeouts, touches and the sweep (P5).

use std::{sync::atomic::Ordering, time::Duration};

use http::StatusCode;
use seawall_session::{Listeners, SessionSettings, sweep::sweep};
use seawall_store::{Device, SessionStore};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::support::{Browser, Watched, clock, node, settings, two_nodes};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_session_that_is_used_never_expires() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&nodes[0]).await.unwrap();
    for visit in 0..100 {
        clock.advance(29 * MINUTE);
        assert_eq!(
            sweep(&*store, &*clock, &Listeners::default())
                .await
                .unwrap(),
            0,
            "swept alive at visit {visit}"
        );
        assert_eq!(browser.read(&nodes[visit % 2]).await.unwrap(), Some(1));
        store.until_commits(visit as u64 + 2).await;
    }
}

#[tokio::test]
async fn reads_within_the_touch_interval_keep_a_session_alive_too() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    clock.advance(Duration::from_secs(59));
    assert_eq!(
        browser.read(&node1).await.unwrap(),
        Some(1),
        "an access the store is not told"
    );
    clock.advance(30 * MINUTE - Duration::from_millis(1));
    assert_eq!(
        sweep(&*store, &*clock, &Listeners::default())
            .await
            .unwrap(),
        0
    );
    assert_eq!(browser.read(&node2).await.unwrap(), Some(1));
}

#[tokio::test]
async fn an_unused_session_expires_once_even_if_its_node_is_dead() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    drop(node1);
    clock.advance(32 * MINUTE);
    let old = Browser::with_cookie(browser.cookie());
    assert_eq!(old.read(&node2).await.unwrap(), None);
    let nobody = Listeners::default();
    let swept = tokio::join!(
        sweep(&*store, &*clock, &nobody),
        sweep(&*store, &*clock, &nobody)
    );
    assert_eq!(swept.0.unwrap() + swept.1.unwrap(), 1);
    assert_eq!(store.count().await.unwrap(), 0);
    assert_eq!(browser.count(&node2).await.unwrap(), 1, "a fresh session");
}

#[tokio::test]
async fn an_absolute_timeout_ends_a_session_that_is_used() {
    let (store, clock) = (Watched::new(), clock());
    let hour = SessionSettings {
        absolute_timeout: Some(60 * MINUTE),
        ..settings("node1")
    };
    let node1 = node(store.clone(), clock.clone(), hour);
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    for _ in 0..5 {
        clock.advance(10 * MINUTE);
        assert_eq!(browser.read(&node1).await.unwrap(), Some(1));
    }
    clock.advance(10 * MINUTE);
    assert_eq!(browser.read(&node1).await.unwrap(), None);
    assert_eq!(
        sweep(&*store, &*clock, &Listeners::default())
            .await
            .unwrap(),
        1
    );
}

#[tokio::test]
async fn an_immortal_session_stays() {
    let (store, clock) = (Watched::new(), clock());
    let immortal = SessionSettings {
        idle_timeout: None,
        ..settings("node1")
    };
    let node1 = node(store.clone(), clock.clone(), immortal);
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    browser.read(&node1).await.unwrap();
    clock.advance(1_000_000 * MINUTE);
    assert_eq!(
        sweep(&*store, &*clock, &Listeners::default())
            .await
            .unwrap(),
        0
    );
    assert_eq!(browser.read(&node1).await.unwrap(), Some(1));
}

#[tokio::test]
async fn a_thousand_reads_in_a_minute_cost_at_most_two_writes() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, _] = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    let before = store.commits.load(Ordering::SeqCst);
    for _ in 0..1_000 {
        clock.advance(Duration::from_millis(60));
        browser.read(&node1).await.unwrap();
    }
    let writes = store.commits.load(Ordering::SeqCst) - before;
    assert!(writes <= 2, "{writes} writes");
}

/// A read that tells the store of an access, and a sweep a long time later.
async fn read_and_sweep(
    store: &Watched,
    clock: &seawall_store::ManualClock,
    sessions: &seawall_session::SessionManager,
    browser: &Browser,
) -> u64 {
    clock.advance(2 * MINUTE);
    browser.read(sessions).await.unwrap();
    clock.advance(100_000 * MINUTE);
    sweep(store, clock, &Listeners::default()).await.unwrap()
}

#[tokio::test]
async fn no_idle_timeout_is_for_ever_and_can_be_taken_back() {
    let (store, clock) = (Watched::new(), clock());
    let node1 = node(store.clone(), clock.clone(), settings("node1"));
    for never in [None, Some(Duration::ZERO)] {
        let browser = Browser::default();
        browser.count(&node1).await.unwrap();
        browser
            .visit(&node1, |draft| draft.set_idle_timeout(never))
            .await
            .unwrap();
        assert_eq!(read_and_sweep(&store, &clock, &node1, &browser).await, 0);
        assert_eq!(browser.read(&node1).await.unwrap(), Some(1), "{never:?}");
        browser
            .visit(&node1, |draft| draft.set_idle_timeout(Some(MINUTE)))
            .await
            .unwrap();
        assert_eq!(read_and_sweep(&store, &clock, &node1, &browser).await, 1);
        assert_eq!(browser.read(&node1).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_absolute_timeout_counts_whatever_the_idle_timeout_is() {
    let (store, clock) = (Watched::new(), clock());
    let hour = SessionSettings {
        absolute_timeout: Some(60 * MINUTE),
        idle_timeout: Some(Duration::ZERO),
        renewal_timeout: Some(20 * MINUTE),
        ..settings("node1")
    };
    let node1 = node(store.clone(), clock.clone(), hour);
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    for _ in 0..59 {
        clock.advance(MINUTE);
        assert_eq!(
            browser.read(&node1).await.unwrap(),
            Some(1),
            "a new id is no new life"
        );
        browser
            .visit(&node1, |draft| draft.set_idle_timeout(None))
            .await
            .unwrap();
    }
    clock.advance(MINUTE);
    let old = Browser::with_cookie(browser.cookie());
    assert_eq!(old.read(&node1).await.unwrap(), None, "before any sweep");
    let swept = sweep(&*store, &*clock, &Listeners::default()).await;
    assert_eq!(swept.unwrap(), 1, "a mark of a renewal is no session");
}

#[tokio::test(start_paused = true)]
async fn a_manager_sweeps_until_its_sweeper_is_dropped() {
    let (store, clock) = (Watched::new(), clock());
    let manager = node(store, clock.clone(), settings("node1"));
    let sweeper = manager.sweep_every(MINUTE);
    let browser = Browser::default();
    browser.count(&manager).await.unwrap();
    clock.advance(60 * MINUTE);
    while sweeper.expired() == 0 {
        sleep(MINUTE).await;
    }
    assert_eq!(sweeper.expired(), 1);
}

/// Requests that come so many seconds later wait for their patience, while the store reads and takes no
/// commits.
async fn requests_that_touch(
    settings: SessionSettings,
    device: Option<Device>,
    seconds_later: &[u64],
) {
    let (store, clock) = (Watched::new(), clock());
    let node = node(store.clone(), clock.clone(), settings);
    let browser = Browser::default();
    browser.count(&node).await.unwrap();
    clock.advance(2 * MINUTE);
    store.open_gate(false);
    let mut requests = JoinSet::new();
    for &later in seconds_later {
        let (node, browser, device) = (node.clone(), browser.clone(), device.clone());
        requests.spawn(async move {
            sleep(Duration::from_secs(later)).await;
            let began = Instant::now();
            let visited = node.visit_from(device, &browser.presented(), |_| ()).await;
            (visited.unwrap_err().status(), began.elapsed())
        });
    }
    let patience = Duration::from_secs(5);
    for (status, waited) in requests.join_all().await {
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(waited >= patience, "{waited:?}");
        assert!(waited < patience + Duration::from_millis(200), "{waited:?}");
    }
    store.open_gate(true);
    assert_eq!(browser.read(&node).await.unwrap(), Some(1));
    let before = store.commits.load(Ordering::SeqCst);
    assert_eq!(browser.read(&node).await.unwrap(), Some(1));
    assert_eq!(store.commits.load(Ordering::SeqCst), before, "it is told");
}

#[tokio::test(start_paused = true)]
async fn p6_requests_that_touch_a_session_wait_for_their_own_patience() {
    requests_that_touch(settings("node1"), None, &[0, 0, 0, 2, 4]).await;
}

#[tokio::test(start_paused = true)]
async fn p6_so_do_requests_of_another_device() {
    let noting = SessionSettings {
        device_notes: true,
        ..settings("node1")
    };
    let phone = Device::new(Some("Phone/1"), None);
    requests_that_touch(noting, Some(phone), &[0, 0, 0, 2, 4]).await;
}

#[tokio::test(start_paused = true)]
async fn p5_a_touch_whose_request_is_cancelled_is_told_by_another_one() {
    let (store, clock) = (Watched::new(), clock());
    let node = node(store.clone(), clock.clone(), settings("node1"));
    let browser = Browser::default();
    browser.count(&node).await.unwrap();
    clock.advance(2 * MINUTE);
    store.open_gate(false);
    let [first, second] = [(); 2].map(|()| {
        let (node, browser) = (node.clone(), browser.clone());
        tokio::spawn(async move { browser.read(&node).await.unwrap() })
    });
    sleep(Duration::from_secs(1)).await;
    first.abort();
    sleep(Duration::from_secs(1)).await;
    store.open_gate(true);
    assert_eq!(second.await.unwrap(), Some(1));
    let before = store.commits.load(Ordering::SeqCst);
    assert_eq!(browser.read(&node).await.unwrap(), Some(1));
    assert_eq!(store.commits.load(Ordering::SeqCst), before, "it is told");
}
