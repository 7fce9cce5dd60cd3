//! New ids beside everything else that happens to a session.

use std::{sync::atomic::Ordering, time::Duration};

use seawall_session::{Session, SessionError};
use tokio::time::{sleep, timeout};

use crate::{
    checklist::request,
    support::{Browser, Watched, clock, two_nodes},
};

/// Long enough for everything to stand at the store's gate, in simulated time.
const A_WHILE: Duration = Duration::from_millis(200);

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
