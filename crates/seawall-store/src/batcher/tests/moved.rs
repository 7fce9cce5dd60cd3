//! Sessions that another node renames while the answer to an update of theirs is lost.

use super::*;

/// Sends an update that meets `fault`, has another node build on what is there by renaming the
/// session, and says what became of the update when it was sent again.
async fn update_while_it_moves(fault: Fault, is_seen: bool) -> CommitOutcome {
    let store = Faulty::new(99, &[]);
    let batcher = Batcher::spawn(store.clone(), &BatcherSettings::default());
    batcher.commit(create("a")).await.unwrap();
    store.faults.lock().unwrap().push(fault);
    let tries = store.tries.load(Ordering::SeqCst);
    let updating = tokio::spawn(async move { batcher.commit(update("a", 1, 7)).await });
    while store.tries.load(Ordering::SeqCst) == tries {
        tokio::task::yield_now().await;
    }
    let there = record(if is_seen { 7 } else { 1 });
    let mut renamed = (*there)
        .clone()
        .written_by(&"other".into(), Timestamp::default());
    renamed.origin = Some("a".into());
    let rename = Commit::Rename {
        key: key("a"),
        new_id: "b".into(),
        expected: there.version,
        record: Arc::new(renamed),
    };
    let renamed = store.inner.commit(&[rename]).await.unwrap();
    assert_eq!(renamed, [CommitOutcome::Done]);
    updating.await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_update_that_took_effect_before_the_session_moved_is_done() {
    let outcome = update_while_it_moves(Fault::AnswerLost, true).await;
    assert_eq!(outcome, CommitOutcome::Done, "it would be done twice");
}

#[tokio::test(start_paused = true)]
async fn an_update_that_never_arrived_before_the_session_moved_is_not() {
    let outcome = update_while_it_moves(Fault::RequestLost, false).await;
    assert_eq!(outcome, CommitOutcome::Missing);
}
