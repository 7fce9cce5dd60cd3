//! A node's copy of a session, and what reads find that are answered late or by another store.

use std::{sync::atomic::Ordering, time::Duration};

use seawall_session::{Consistency, Draft, SessionManager, SessionSettings};
use tokio::{task::JoinHandle, time::sleep};

use crate::support::{Browser, Watched, clock, node, settings, two_nodes};

/// Long enough for everything to stand where the store holds it back, in simulated time.
const A_WHILE: Duration = Duration::from_millis(200);

#[tokio::test(start_paused = true)]
async fn what_a_store_has_counts_though_it_has_lost_something() {
    let (store, clock) = (Watched::new(), clock());
    let [one, two] = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&one).await.unwrap();
    let behind = store.replica();
    clock.advance(Duration::from_secs(1));
    assert_eq!(browser.count(&one).await.unwrap(), 2);
    store.fail_over(behind);
    let before = store.reads.load(Ordering::SeqCst);
    assert_eq!(browser.read(&one).await.unwrap(), Some(1));
    let reads = store.reads.load(Ordering::SeqCst) - before;
    assert_eq!(reads, 2, "what the store has, and that it has it still");
    assert_eq!(browser.count(&two).await.unwrap(), 2);
    assert_eq!(browser.count(&one).await.unwrap(), 3);
}

fn spawn<R: Send + 'static>(
    browser: &Browser,
    node: &SessionManager,
    work: impl FnMut(&mut Draft<'_>) -> R + Send + 'static,
) -> JoinHandle<R> {
    let (browser, node) = (browser.clone(), node.clone());
    tokio::spawn(async move { browser.visit(&node, work).await.unwrap() })
}

fn count(draft: &mut Draft<'_>) -> i64 {
    let count = seen(draft).unwrap_or(0) + 1;
    draft.set("count", count).unwrap();
    count
}

fn seen(draft: &mut Draft<'_>) -> Option<i64> {
    draft.value("count").and_then(|value| value.as_i64())
}

/// A session of which the first node has a copy with 1, and to which the second one has counted 2.
async fn overtaken([one, two]: [&SessionManager; 2]) -> Browser {
    let browser = Browser::default();
    browser.count(one).await.unwrap();
    let other = Browser::with_cookie(browser.cookie());
    other.count(two).await.unwrap();
    browser
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_answered_late_takes_nothing_back() {
    let (store, clock) = (Watched::new(), clock());
    let [one, two] = two_nodes(&store, &clock);
    let browser = overtaken([&one, &two]).await;
    store.hold_reads();
    // The first one conflicts, and both have to load the session anew, one after the other.
    let writing = spawn(&browser, &one, count);
    sleep(A_WHILE).await;
    let reading = spawn(&browser, &one, seen);
    sleep(A_WHILE).await;
    store.answer_reads(1);
    assert_eq!(writing.await.unwrap(), 3);
    store.answer_reads(1);
    assert_eq!(reading.await.unwrap(), Some(3), "its read found 2");
}

#[tokio::test(start_paused = true)]
async fn p4_a_read_that_is_answered_late_brings_no_session_back() {
    let (store, clock) = (Watched::without_notices(), clock());
    let [one, two] = ["node1", "node2"].map(|name| {
        let sticky = SessionSettings {
            consistency: Consistency::Sticky,
            ..settings(name)
        };
        node(store.clone(), clock.clone(), sticky)
    });
    let browser = overtaken([&one, &two]).await;
    sleep(Duration::from_secs(2)).await;
    store.hold_reads();
    let late = Browser::with_cookie(browser.cookie());
    let reading = spawn(&late, &one, seen);
    sleep(A_WHILE).await;
    let end = |draft: &mut Draft<'_>| draft.invalidate();
    spawn(&browser, &one, end).await.unwrap();
    store.answer_reads(1);
    assert_eq!(reading.await.unwrap(), None, "its read found 2");
}
