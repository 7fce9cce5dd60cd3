//! Commits that the store cannot take, and those that share a batch with them.

use futures_util::future::join_all;
use tokio::time::sleep;

use super::*;

/// How long the store's connection waits for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

const PATIENCE: Duration = Duration::from_secs(5);

impl Faulty {
    /// A batch that is refused has taken effect up to the commit that cannot be taken.
    pub(super) async fn take_or_refuse(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let is_refused =
            |commit: &Commit| self.refused.lock().unwrap().contains(&&*commit.key().id);
        let Some(first) = commits.iter().position(is_refused) else {
            return Ok(());
        };
        self.refusals.fetch_add(1, Ordering::SeqCst);
        self.inner.commit(&commits[..first]).await?;
        Err(StoreError::Rejected {
            store: "faulty".into(),
            reason: "it has a flaw".into(),
            cause: Cause::Other,
        })
    }

    /// The outcomes, or as many as the test says.
    pub(super) fn count_wrong<T: Clone>(&self, mut outcomes: Vec<T>) -> Vec<T> {
        if let Some(count) = *self.outcomes.lock().unwrap() {
            let last = outcomes.last().unwrap().clone();
            outcomes.resize(count, last);
        }
        outcomes
    }

    fn refuse(&self, ids: &[&'static str]) {
        *self.refused.lock().unwrap() = ids.to_vec();
    }

    async fn hang_once_refused(&self) {
        while self.refusals.load(Ordering::SeqCst) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        self.hangs.store(true, Ordering::SeqCst);
    }
}

pub(super) async fn hang_if(hangs: &AtomicBool) -> Result<(), StoreError> {
    if !hangs.load(Ordering::SeqCst) {
        return Ok(());
    }
    sleep(ANSWER_LIMIT).await;
    Err(StoreError::Timeout {
        store: "faulty".into(),
        waited: ANSWER_LIMIT,
    })
}

/// A batcher whose patience is known, before a store whose batches take `pace`.
fn spawn(store: &Arc<Faulty>, pace: Duration) -> Batcher {
    *store.pace.lock().unwrap() = pace;
    let settings = BatcherSettings {
        patience: PATIENCE,
        ..BatcherSettings::default()
    };
    Batcher::spawn(store.clone(), &settings)
}

/// Commits of 64 sessions, all asked for at once.
async fn commit_all(
    batcher: &Batcher,
    commit: impl Fn(&str) -> Commit,
) -> Vec<(Result<CommitOutcome, StoreError>, Duration)> {
    let asked = Instant::now();
    let commits = (0..64).map(|i| {
        let commit = commit(&format!("s{i:02}"));
        async move { (batcher.commit(commit).await, asked.elapsed()) }
    });
    join_all(commits).await
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_is_refused_is_found_among_many_with_few_sends() {
    let store = Faulty::new(9_999, &[]);
    let batcher = spawn(&store, Duration::from_millis(10));
    for (outcome, _) in commit_all(&batcher, create).await {
        assert_eq!(outcome.unwrap(), CommitOutcome::Done);
    }
    store.refuse(&["s40"]);
    store.batches.lock().unwrap().clear();
    let outcomes = commit_all(&batcher, |id| update(id, 1, 2)).await;
    for (i, (outcome, _)) in outcomes.into_iter().enumerate() {
        match outcome {
            Err(error @ StoreError::Rejected { .. }) => assert_eq!(i, 40, "{error}"),
            outcome => assert_eq!(outcome.unwrap(), CommitOutcome::Done, "{i}"),
        }
    }
    let refusals = store.refusals.load(Ordering::SeqCst);
    let batches = store.batches.lock().unwrap().clone();
    assert_eq!((refusals, batches.len()), (7, 6), "{batches:?}");
    assert_eq!(batcher.statistics().committed.updates, 63);
    assert_eq!(batcher.statistics().outages, 0);
}

#[tokio::test(start_paused = true)]
async fn others_have_their_turn_while_what_was_refused_is_sent_in_parts() {
    let store = Faulty::new(9_999, &[]);
    let pace = Duration::from_millis(150);
    let batcher = spawn(&store, pace);
    store.refuse(&["s20", "s40"]);
    let others = async {
        sleep(pace * 2).await;
        for other in 0..5 {
            let asked = Instant::now();
            let outcome = batcher.commit(create(&format!("t{other}"))).await;
            assert_eq!(outcome.unwrap(), CommitOutcome::Done);
            assert!(asked.elapsed() < pace * 3, "{:?}", asked.elapsed());
        }
    };
    let (all, ()) = tokio::join!(commit_all(&batcher, create), others);
    let refused = all.iter().filter(|(outcome, _)| outcome.is_err()).count();
    assert_eq!(refused, 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_and_then_hangs_costs_nobody_more_than_its_patience() {
    let store = Faulty::new(9_999, &[]);
    let batcher = spawn(&store, Duration::from_millis(10));
    store.refuse(&["s40"]);
    let late = async {
        sleep(Duration::from_secs(1)).await;
        let asked = Instant::now();
        (batcher.commit(create("late")).await, asked.elapsed())
    };
    let all = commit_all(&batcher, create);
    let (all, late, ()) = tokio::join!(all, late, store.hang_once_refused());
    assert!(matches!(late.0, Err(StoreError::Timeout { .. })));
    for (outcome, waited) in all.into_iter().chain([late]) {
        let in_vain = matches!(outcome, Err(StoreError::Timeout { .. }));
        assert!(in_vain || outcome.is_ok(), "{outcome:?}");
        assert!(waited < PATIENCE + ANSWER_LIMIT, "{waited:?}");
    }
    assert!(!batcher.statistics().is_up);
    store.hangs.store(false, Ordering::SeqCst);
    let outcome = batcher.commit(create("t")).await;
    assert_eq!(outcome.unwrap(), CommitOutcome::Done);
    assert_eq!(batcher.statistics().outages, 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_while_it_sends_parts_is_outlasted() {
    let store = Faulty::new(9_999, &[]);
    let batcher = spawn(&store, Duration::from_millis(10));
    for (outcome, _) in commit_all(&batcher, create).await {
        outcome.unwrap();
    }
    store.refuse(&["s40"]);
    let pause = async {
        store.hang_once_refused().await;
        sleep(ANSWER_LIMIT).await;
        store.hangs.store(false, Ordering::SeqCst);
    };
    let (all, ()) = tokio::join!(commit_all(&batcher, |id| update(id, 1, 2)), pause);
    for (i, (outcome, waited)) in all.into_iter().enumerate() {
        assert!(waited < PATIENCE + ANSWER_LIMIT, "{waited:?}");
        match outcome {
            Err(error) => assert_eq!((i, error.is_transient()), (40, false), "{error}"),
            outcome => assert_eq!(outcome.unwrap(), CommitOutcome::Done, "{i}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_answer_was_lost_is_settled_with_one_read() {
    let store = Faulty::new(9_999, &[]);
    let batcher = spawn(&store, Duration::from_millis(10));
    for (outcome, _) in commit_all(&batcher, create).await {
        outcome.unwrap();
    }
    store.faults.lock().unwrap().push(Fault::AnswerLost);
    for (outcome, _) in commit_all(&batcher, |id| update(id, 1, 2)).await {
        assert_eq!(outcome.unwrap(), CommitOutcome::Done);
    }
    assert_eq!(*store.read_batches.lock().unwrap(), [64]);
}

#[tokio::test(start_paused = true)]
async fn rows_that_take_long_to_read_hold_nobody_beyond_its_patience() {
    let store = Faulty::new(9_999, &[]);
    let batcher = spawn(&store, Duration::from_millis(10));
    for (outcome, _) in commit_all(&batcher, create).await {
        outcome.unwrap();
    }
    store.faults.lock().unwrap().push(Fault::AnswerLost);
    store.hangs_reading.store(true, Ordering::SeqCst);
    let hurried = async {
        sleep(Duration::from_secs(1)).await;
        let (asked, patience) = (Instant::now(), Duration::from_secs(1));
        let outcome = batcher.commit_within(create("hurried"), patience).await;
        assert!(outcome.unwrap_err().is_transient());
        assert!(asked.elapsed() < patience * 2, "{:?}", asked.elapsed());
    };
    let all = commit_all(&batcher, |id| update(id, 1, 2));
    let (all, ()) = tokio::join!(all, hurried);
    for (outcome, waited) in all {
        assert!(outcome.unwrap_err().is_transient());
        assert!(waited < PATIENCE + ANSWER_LIMIT, "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_back_end_with_another_number_of_outcomes_is_told_of() {
    for count in [0, 99] {
        let said = &format!("faulty: it gave {count} outcomes where 1 were asked for");
        let store = Faulty::new(9_999, &[]);
        let batcher = spawn(&store, Duration::ZERO);
        *store.outcomes.lock().unwrap() = Some(count);
        let (key, known) = (key("a"), None);
        let unread = batcher.read(Read { key, known }).await.unwrap_err();
        assert!(unread.to_string().starts_with(said), "{unread}");
        for (outcome, _) in commit_all(&batcher, create).await {
            let error = outcome.unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
        *store.outcomes.lock().unwrap() = None;
        assert!(batcher.commit(create("a")).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn commits_are_done_once_though_too_few_outcomes_came_of_their_batch() {
    let store = Faulty::new(9_999, &[]);
    let batcher = spawn(&store, Duration::ZERO);
    for (outcome, _) in commit_all(&batcher, create).await {
        outcome.unwrap();
    }
    *store.outcomes.lock().unwrap() = Some(1);
    for (outcome, _) in commit_all(&batcher, |id| update(id, 1, 2)).await {
        assert_eq!(outcome.unwrap(), CommitOutcome::Done);
    }
}
