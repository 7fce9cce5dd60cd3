//! Rows that somebody else holds.

use futures_util::future::join_all;
use tokio::time::sleep;

use super::*;

/// How long the store waits for a row.
const LOCK_LIMIT: Duration = Duration::from_millis(250);

impl Faulty {
    pub(super) async fn wait_for_locks(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let pace = *self.pace.lock().unwrap();
        sleep(pace).await;
        let is_held = |commit: &Commit| self.held.lock().unwrap().contains(&&*commit.key().id);
        if !commits.iter().any(is_held) {
            return Ok(());
        }
        sleep(LOCK_LIMIT).await;
        Err(StoreError::Unavailable {
            store: "faulty".into(),
            reason: "a row is held".into(),
            cause: Cause::Locked,
        })
    }

    fn hold(&self, ids: &[&'static str]) {
        *self.held.lock().unwrap() = ids.to_vec();
    }
}

const PATIENCE: Duration = Duration::from_secs(5);

/// A batcher whose patience is known, before a store.
fn spawn(store: &Arc<Faulty>) -> Batcher {
    let settings = BatcherSettings {
        patience: PATIENCE,
        ..BatcherSettings::default()
    };
    Batcher::spawn(store.clone(), &settings)
}

async fn assert_told_in_time(batcher: &Batcher, id: &str) {
    let asked = Instant::now();
    let error = batcher.commit(create(id)).await.unwrap_err();
    assert_eq!(error.cause(), Cause::Locked, "{error}");
    let waited = asked.elapsed();
    assert!(PATIENCE <= waited && waited < PATIENCE * 2, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn only_those_whose_rows_are_held_wait_and_not_longer_than_their_patience() {
    let store = Faulty::new(9_999, &[]);
    store.hold(&["a", "b", "c"]);
    let batcher = spawn(&store);
    let held = join_all(["a", "b", "c"].map(|id| assert_told_in_time(&batcher, id)));
    let others = async {
        for other in 0..40 {
            let asked = Instant::now();
            let id = format!("s{other}");
            assert_eq!(
                batcher.commit(create(&id)).await.unwrap(),
                CommitOutcome::Done
            );
            assert!(asked.elapsed() < LOCK_LIMIT * 9, "{:?}", asked.elapsed());
        }
    };
    tokio::join!(held, others);
    assert_eq!(batcher.statistics().outages, 0);
}

#[tokio::test(start_paused = true)]
async fn a_row_that_is_set_free_in_time_is_written() {
    let store = Faulty::new(999, &[]);
    store.hold(&["a"]);
    let batcher = spawn(&store);
    let free = async {
        sleep(PATIENCE / 2).await;
        store.hold(&[]);
    };
    let (outcome, ()) = tokio::join!(batcher.commit(create("a")), free);
    assert_eq!(outcome.unwrap(), CommitOutcome::Done);
    assert_eq!(batcher.statistics().outages, 0);
}

#[tokio::test(start_paused = true)]
async fn on_a_slow_store_nobody_is_left_behind() {
    let store = Faulty::new(9_999, &[]);
    store.hold(&["a"]);
    *store.pace.lock().unwrap() = Duration::from_millis(150);
    let batcher = spawn(&store);
    let ids: Vec<_> = (0..30).map(|other| format!("s{other}")).collect();
    let others = ids.iter().map(|id| batcher.commit(create(id)));
    let last = async {
        sleep(Duration::from_millis(600)).await;
        batcher.commit(create("last")).await
    };
    let told = assert_told_in_time(&batcher, "a");
    let asked = Instant::now();
    let ((), _, last) = tokio::join!(told, join_all(others), last);
    assert!(last.is_ok(), "{last:?}");
    assert!(asked.elapsed() < PATIENCE * 2, "{:?}", asked.elapsed());
}
