//! New ids beside everything else that happens to a session.

use std::{sync::atomic::Ordering, time::Duration};

use http::StatusCode;
use seawall_session::{Consistency, Session, SessionError, SessionSettings};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    checklist::request,
    support::{Browser, Watched, clock, node, settings, two_nodes},
};

/// Long enough for everything to stand at the store's gate, in simulated time.
const A_WHILE: Duration = Duration::from_millis(200);

fn trusting(node: &str, consistency: Consistency) -> SessionSettings {
    SessionSettings {
        consistency,
        ..settings(node)
    }
}

async fn rotate(session: Session) -> Result<(), SessionError> {
    session.rotate_id().await
}

#[tokio::test(start_paused = true)]
async fn p2_a_rotation_that_is_cancelled_loses_no_update() {
    for is_queued in [false, true] {
        let store = Watched::new();
        let [one, two] = two_nodes(&store, &clock());
        let (browser, other) = (Browser::default(), Browser::default());
        browser.count(&one).await.unwrap();
        let old = Browser::with_cookie(browser.cookie());
        store.open_gate(false);
        let before = store.commits.load(Ordering::SeqCst);
        let (node, another) = (one.clone(), other.clone());
        // While another session's commit is under way, the rename waits for the next batch.
        let beside = tokio::spawn(async move {
            if is_queued {
                another.count(&node).await.unwrap();
            }
        });
        sleep(A_WHILE).await;
        let rotating = request(&one, &browser, rotate);
        assert!(timeout(A_WHILE, rotating).await.is_err(), "it waits");
        assert_eq!(store.commits.load(Ordering::SeqCst), before + 1);
        let (node, counting) = (one.clone(), browser.clone());
        let counting = tokio::spawn(async move { counting.count(&node).await.unwrap() });
        sleep(A_WHILE).await;
        store.open_gate(true);
        assert_eq!(counting.await.unwrap(), 2);
        assert_ne!(browser.cookie(), old.cookie(), "the copy has moved");
        assert_eq!(browser.read(&two).await.unwrap(), Some(2));
        assert_eq!(old.read(&two).await.unwrap(), None, "P8");
        beside.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn rotations_of_one_session_take_turns() {
    for consistency in [Consistency::Strict, Consistency::Sticky] {
        let (store, clock) = (Watched::new(), clock());
        let one = node(store.clone(), clock, trusting("node1", consistency));
        let browser = Browser::default();
        browser.count(&one).await.unwrap();
        store.open_gate(false);
        let rotating = [(); 3].map(|()| {
            let (node, browser) = (one.clone(), Browser::with_cookie(browser.cookie()));
            tokio::spawn(async move {
                let (status, rotated) = request(&node, &browser, rotate).await;
                rotated.unwrap();
                (status, browser)
            })
        });
        sleep(A_WHILE).await;
        let reads = store.reads.load(Ordering::SeqCst);
        assert!(reads < 10, "{consistency:?}: they wait without asking");
        store.open_gate(true);
        let mut alive = 0;
        for rotating in rotating {
            let (status, browser) = rotating.await.unwrap();
            assert_eq!(status, StatusCode::OK);
            alive += usize::from(browser.read(&one).await.unwrap() == Some(1));
        }
        assert_eq!(alive, 1, "the last id is the session's (P8)");
    }
}

#[tokio::test(start_paused = true)]
async fn p6_a_rotation_waits_for_another_one_for_its_own_patience() {
    let store = Watched::new();
    let [one, _] = two_nodes(&store, &clock());
    let browser = Browser::default();
    browser.count(&one).await.unwrap();
    store.open_gate(false);
    let mut rotating = JoinSet::new();
    for wait in [0, 1, 4] {
        let (node, browser) = (one.clone(), Browser::with_cookie(browser.cookie()));
        rotating.spawn(async move {
            sleep(Duration::from_secs(wait)).await;
            let began = Instant::now();
            let (_, rotated) = request(&node, &browser, rotate).await;
            (rotated.unwrap_err().status(), began.elapsed())
        });
    }
    for (status, waited) in rotating.join_all().await {
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let patience = Duration::from_secs(5);
        assert!(
            waited >= patience && waited < patience + A_WHILE,
            "{waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_finds_out_what_another_node_wrote() {
    let (store, clock) = (Watched::without_notices(), clock());
    let [one, two] = ["node1", "node2"].map(|name| {
        let settings = trusting(name, Consistency::Sticky);
        node(store.clone(), clock.clone(), settings)
    });
    let browser = Browser::default();
    browser.count(&one).await.unwrap();
    let elsewhere = Browser::with_cookie(browser.cookie());
    assert_eq!(elsewhere.count(&two).await.unwrap(), 2);
    let before = store.commits.load(Ordering::SeqCst);
    let log_in = |session: Session| async move { session.log_in("user:42").await };
    let (status, logged_in) = request(&one, &browser, log_in).await;
    logged_in.unwrap();
    assert_eq!(status, StatusCode::OK);
    let tries = store.commits.load(Ordering::SeqCst) - before;
    assert_eq!(tries, 2, "the conflict, and the rename");
    assert_eq!(browser.read(&two).await.unwrap(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_finds_out_what_another_node_wrote() {
    let (store, clock) = (Watched::without_notices(), clock());
    let minute = Duration::from_secs(60);
    let [one, two] = ["node1", "node2"].map(|name| {
        let settings = SessionSettings {
            renewal_timeout: (name == "node1").then_some(minute),
            ..trusting(name, Consistency::Sticky)
        };
        node(store.clone(), clock.clone(), settings)
    });
    let browser = Browser::default();
    browser.count(&one).await.unwrap();
    let elsewhere = Browser::with_cookie(browser.cookie());
    assert_eq!(elsewhere.count(&two).await.unwrap(), 2);
    clock.advance(minute);
    let before = browser.cookie();
    assert_eq!(browser.read(&one).await.unwrap(), Some(1), "trusted");
    assert_eq!(browser.cookie(), before, "the rename met the other write");
    assert_eq!(browser.read(&one).await.unwrap(), Some(2));
    assert_ne!(browser.cookie(), before);
}
