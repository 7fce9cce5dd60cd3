//! Requests that stack on one session wait for their own patience, not for each other's (P6).

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use seawall_session::{SessionError, SessionManager};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::support::{Browser, Watched, clock, two_nodes};

const PATIENCE: Duration = Duration::from_secs(5);

/// How long it may take to find out that a patience is over.
const A_WHILE: Duration = Duration::from_millis(200);

/// Where the commits of a session are when the store takes none.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// At the store, which hangs.
    Hangs,
    /// In the queue, because the store is known to hang.
    IsKnownToHang,
    /// In the queue, because the store is away, for reads too.
    IsAway,
}

const TROUBLES: [Trouble; 3] = [Trouble::Hangs, Trouble::IsKnownToHang, Trouble::IsAway];

/// A node whose store does not take commits any more, and a session that it has a copy of.
async fn start(trouble: Trouble) -> (Arc<Watched>, SessionManager, Browser) {
    let store = Watched::new();
    let [node, _] = two_nodes(&store, &clock());
    let (browser, other) = (Browser::default(), Browser::default());
    browser.count(&node).await.unwrap();
    match trouble {
        Trouble::Hangs => store.open_gate(false),
        Trouble::IsKnownToHang => {
            store.open_gate(false);
            other.count(&node).await.unwrap_err();
        }
        Trouble::IsAway => {
            store.take_away(true);
            other.count(&node).await.unwrap_err();
        }
    }
    (store, node, browser)
}

/// A request that counts, and how long it waits.
fn count(
    node: &SessionManager,
    browser: &Browser,
) -> JoinHandle<(Result<i64, SessionError>, Duration)> {
    let (node, browser) = (node.clone(), browser.clone());
    tokio::spawn(async move {
        let began = Instant::now();
        (browser.count(&node).await, began.elapsed())
    })
}

#[tokio::test(start_paused = true)]
async fn p6_requests_that_stack_wait_for_their_own_patience() {
    for trouble in TROUBLES {
        let (store, node, browser) = start(trouble).await;
        let mut requests = Vec::new();
        for _ in 0..3 {
            requests.push(count(&node, &browser));
            sleep(Duration::from_millis(2_300)).await;
        }
        for request in requests {
            let (counted, waited) = request.await.unwrap();
            let status = counted.unwrap_err().status();
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            let in_time = PATIENCE..PATIENCE + A_WHILE;
            assert!(in_time.contains(&waited), "{trouble:?}: {waited:?}");
        }
        store.take_away(false);
        store.open_gate(true);
        assert_eq!(browser.count(&node).await.unwrap(), 2, "{trouble:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn p6_a_request_that_came_later_is_done_when_the_store_is_back() {
    for trouble in TROUBLES {
        let (store, node, browser) = start(trouble).await;
        let first = count(&node, &browser);
        sleep(Duration::from_secs(4)).await;
        let second = count(&node, &browser);
        sleep(Duration::from_secs(2)).await;
        store.take_away(false);
        store.open_gate(true);
        first.await.unwrap().0.unwrap_err();
        let (counted, waited) = second.await.unwrap();
        assert_eq!(counted.unwrap(), 2, "{trouble:?}: it is done once");
        assert!(waited < Duration::from_secs(3), "{trouble:?}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn p6_a_read_beside_a_commit_that_hangs_is_answered() {
    let (_store, node, browser) = start(Trouble::Hangs).await;
    let first = count(&node, &browser);
    sleep(Duration::from_secs(4)).await;
    let began = Instant::now();
    assert_eq!(browser.read(&node).await.unwrap(), Some(1));
    assert!(began.elapsed() < Duration::from_secs(2));
    first.await.unwrap().0.unwrap_err();
}
