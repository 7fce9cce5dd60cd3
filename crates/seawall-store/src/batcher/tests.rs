//! Batching, patience and settling, against a store that fails on purpose.

mod locks;
mod moved;
mod outages;
mod refusals;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{sync::Semaphore, time::Instant};

use self::refusals::hang_if;
use super::{outage::LONGEST_PAUSE, *};
use crate::{
    clock::Timestamp,
    key::SessionKey,
    memory::MemoryStore,
    record::{SessionRecord, Version, WRITER_LIMIT},
    store::{BoxFuture, Expired, Lookup, SessionSummary},
};

/// The memory store behind a gate, with a list of faults to meet first.
#[derive(Debug)]
struct Faulty {
    inner: MemoryStore,
    gate: Semaphore,
    faults: Mutex<Vec<Fault>>,
    batches: Mutex<Vec<usize>>,
    tries: AtomicUsize,
    /// Whether those who overwrite say who wrote before.
    keeps_writers: AtomicBool,
    is_away: AtomicBool,
    /// The sessions whose rows somebody holds.
    held: Mutex<Vec<&'static str>>,
    /// The sessions of which the store takes no commit.
    refused: Mutex<Vec<&'static str>>,
    refusals: AtomicUsize,
    /// Whether commits, or reads, are not answered.
    hangs: AtomicBool,
    hangs_reading: AtomicBool,
    /// How long a batch takes.
    pace: Mutex<Duration>,
    /// How many reads go wrong from now on.
    lost_reads: AtomicUsize,
    read_batches: Mutex<Vec<usize>>,
    /// How many outcomes there are, whatever is asked.
    outcomes: Mutex<Option<usize>>,
    /// Calls that are under way, and the most that were at a time.
    calls: AtomicUsize,
    most_calls: AtomicUsize,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The commit takes effect, and its answer is lost.
    AnswerLost,
    /// The commit takes effect, its answer is lost, and another node writes afterwards.
    AnswerLostThenOverwritten,
    /// A bug.
    Panic,
    /// The commit never reaches the store.
    RequestLost,
}

impl Faulty {
    fn new(permits: usize, faults: &[Fault]) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::default(),
            gate: Semaphore::new(permits),
            faults: Mutex::new(faults.to_vec()),
            batches: Mutex::default(),
            tries: AtomicUsize::new(0),
            keeps_writers: AtomicBool::new(true),
            is_away: AtomicBool::new(false),
            held: Mutex::default(),
            refused: Mutex::default(),
            refusals: AtomicUsize::new(0),
            hangs: AtomicBool::new(false),
            hangs_reading: AtomicBool::new(false),
            pace: Mutex::default(),
            lost_reads: AtomicUsize::new(0),
            read_batches: Mutex::default(),
            outcomes: Mutex::default(),
            calls: AtomicUsize::new(0),
            most_calls: AtomicUsize::new(0),
        })
    }

    /// A call takes its time to find out that the store is away.
    async fn reach(&self) -> Result<(), StoreError> {
        let calls = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_calls.fetch_max(calls, Ordering::SeqCst);
        if !self.is_away.load(Ordering::SeqCst) {
            self.calls.fetch_sub(1, Ordering::SeqCst);
            return Ok(());
        }
        self.tries.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(30)).await;
        self.calls.fetch_sub(1, Ordering::SeqCst);
        Err(StoreError::Unavailable {
            store: "faulty".into(),
            reason: "away".into(),
            cause: Cause::Other,
        })
    }

    async fn overwrite(&self, commit: &Commit) {
        let Commit::Update { key, record, .. } = commit else {
            return;
        };
        let mut later = (**record)
            .clone()
            .written_by(&"other".into(), Timestamp::default());
        if !self.keeps_writers.load(Ordering::SeqCst) {
            later.writers = (0..WRITER_LIMIT)
                .map(|node| (format!("late{node}").into(), later.version))
                .collect();
        }
        let update = Commit::Update {
            key: key.clone(),
            expected: record.version,
            record: Arc::new(later),
        };
        assert_eq!(
            self.inner.commit(&[update]).await.unwrap(),
            [CommitOutcome::Done]
        );
    }
}

impl SessionStore for Faulty {
    fn description(&self) -> &str {
        "faulty"
    }

    fn read<'a>(
        &'a self,
        reads: &'a [Read],
    ) -> BoxFuture<'a, Result<Vec<ReadOutcome>, StoreError>> {
        Box::pin(async move {
            hang_if(&self.hangs_reading).await?;
            self.reach().await?;
            self.read_batches.lock().unwrap().push(reads.len());
            let lose = |left: usize| left.checked_sub(1);
            match (self.lost_reads).fetch_update(Ordering::SeqCst, Ordering::SeqCst, lose) {
                Ok(_) => Err(cable_cut()),
                Err(_) => Ok(self.count_wrong(self.inner.read(reads).await?)),
            }
        })
    }

    fn commit<'a>(
        &'a self,
        commits: &'a [Commit],
    ) -> BoxFuture<'a, Result<Vec<CommitOutcome>, StoreError>> {
        Box::pin(async move {
            hang_if(&self.hangs).await?;
            self.reach().await?;
            self.wait_for_locks(commits).await?;
            self.take_or_refuse(commits).await?;
            self.tries.fetch_add(1, Ordering::SeqCst);
            let fault = self.faults.lock().unwrap().pop();
            let lost = cable_cut();
            match fault {
                Some(Fault::Panic) => panic!("on purpose"),
                Some(Fault::RequestLost) => return Err(lost),
                Some(Fault::AnswerLost) => {
                    self.inner.commit(commits).await?;
                    return Err(lost);
                }
                Some(Fault::AnswerLostThenOverwritten) => {
                    self.inner.commit(commits).await?;
                    self.overwrite(&commits[0]).await;
                    return Err(lost);
                }
                None => {}
            }
            self.gate.acquire().await.unwrap().forget();
            self.batches.lock().unwrap().push(commits.len());
            Ok(self.count_wrong(self.inner.commit(commits).await?))
        })
    }

    fn claim_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Expired>, StoreError>> {
        self.inner.claim_expired(now, limit)
    }

    fn locate<'a>(
        &'a self,
        lookups: &'a [Lookup],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Option<SessionKey>>, StoreError>> {
        self.inner.locate(lookups, now)
    }

    fn list_by_principal<'a>(
        &'a self,
        principal: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<SessionSummary>, StoreError>> {
        self.inner.list_by_principal(principal, now)
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.inner.count()
    }
}

fn cable_cut() -> StoreError {
    StoreError::Unavailable {
        store: "faulty".into(),
        reason: "cable cut".into(),
        cause: Cause::Other,
    }
}

fn key(id: &str) -> SessionKey {
    SessionKey {
        id: id.into(),
        context: "_app".into(),
        virtual_host: "0.0.0.0".into(),
    }
}

fn record(version: i64) -> Arc<SessionRecord> {
    Arc::new(SessionRecord {
        version: Version::from_i64(version),
        created_at: Timestamp::default(),
        last_access: Timestamp::default(),
        idle_timeout: None,
        expiry_slack: Duration::ZERO,
        deadline: None,
        principal: None,
        origin: None,
        last_node: "node1".into(),
        writers: crate::Writers::new(),
        attributes: crate::Attributes::new(),
        notes: crate::Attributes::new(),
    })
}

fn create(id: &str) -> Commit {
    Commit::Create {
        key: key(id),
        record: record(1),
    }
}

fn update(id: &str, expected: i64, version: i64) -> Commit {
    Commit::Update {
        key: key(id),
        expected: Version::from_i64(expected),
        record: record(version),
    }
}

#[tokio::test]
async fn what_arrives_during_a_batch_becomes_the_next() {
    let store = Faulty::new(0, &[]);
    let batcher = Batcher::spawn(store.clone(), &BatcherSettings::default());
    let first = tokio::spawn({
        let batcher = batcher.clone();
        async move { batcher.commit(create("first")).await }
    });
    while store.tries.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let others: Vec<_> = (0..50)
        .map(|i| {
            let batcher = batcher.clone();
            tokio::spawn(async move { batcher.commit(create(&format!("s{i}"))).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.gate.add_permits(2);
    assert_eq!(first.await.unwrap().unwrap(), CommitOutcome::Done);
    for other in others {
        assert_eq!(other.await.unwrap().unwrap(), CommitOutcome::Done);
    }
    assert_eq!(*store.batches.lock().unwrap(), [1, 50]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_settled_by_reading_back() {
    let store = Faulty::new(99, &[Fault::AnswerLost]);
    let batcher = Batcher::spawn(store.clone(), &BatcherSettings::default());
    assert_eq!(
        batcher.commit(create("a")).await.unwrap(),
        CommitOutcome::Done
    );
    store.faults.lock().unwrap().push(Fault::AnswerLost);
    assert_eq!(
        batcher.commit(update("a", 1, 7)).await.unwrap(),
        CommitOutcome::Done
    );
    store.faults.lock().unwrap().push(Fault::RequestLost);
    assert_eq!(
        batcher.commit(update("a", 7, 8)).await.unwrap(),
        CommitOutcome::Done
    );
    store.faults.lock().unwrap().push(Fault::RequestLost);
    assert_eq!(
        batcher.commit(update("a", 5, 9)).await.unwrap(),
        CommitOutcome::Conflict
    );
    store.faults.lock().unwrap().push(Fault::AnswerLost);
    let delete = Commit::delete(key("a"));
    assert_eq!(batcher.commit(delete).await.unwrap(), CommitOutcome::Done);
}

/// What broke the connection for commits has broken the one for reads as well, and that is seen only
/// when it is used.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_settled_though_the_way_to_read_broke_too() {
    let store = Faulty::new(99, &[]);
    let batcher = Batcher::spawn(store.clone(), &BatcherSettings::default());
    batcher.commit(create("a")).await.unwrap();
    store.faults.lock().unwrap().push(Fault::AnswerLost);
    store.lost_reads.store(1, Ordering::SeqCst);
    let outcome = batcher.commit(update("a", 1, 7)).await;
    assert_eq!(outcome.unwrap(), CommitOutcome::Done);
}

#[tokio::test(start_paused = true)]
async fn what_others_built_on_is_told_from_what_never_took_effect() {
    let store = Faulty::new(99, &[]);
    let batcher = Batcher::spawn(store.clone(), &BatcherSettings::default());
    batcher.commit(create("a")).await.unwrap();
    let fail = |fault| store.faults.lock().unwrap().push(fault);
    fail(Fault::AnswerLostThenOverwritten);
    assert_eq!(
        batcher.commit(update("a", 1, 7)).await.unwrap(),
        CommitOutcome::Done
    );
    fail(Fault::RequestLost);
    let outcome = batcher.commit(update("a", 1, 6)).await.unwrap();
    assert_eq!(
        outcome,
        CommitOutcome::Conflict,
        "version 7 is this node's, 6 is not"
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_is_an_error_and_not_done_twice() {
    let store = Faulty::new(99, &[]);
    store.keeps_writers.store(false, Ordering::SeqCst);
    let batcher = Batcher::spawn(store.clone(), &BatcherSettings::default());
    batcher.commit(create("a")).await.unwrap();
    let fail = |fault| store.faults.lock().unwrap().push(fault);
    fail(Fault::AnswerLostThenOverwritten);
    let result = batcher.commit(update("a", 1, 7)).await;
    assert!(
        matches!(result, Err(StoreError::Ambiguous { .. })),
        "{result:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_their_patience_and_not_longer() {
    let store = Faulty::new(99, &[Fault::RequestLost; 1_000]);
    let settings = BatcherSettings::default();
    let batcher = Batcher::spawn(store.clone(), &settings);
    let started = Instant::now();
    let result = batcher.commit(create("a")).await;
    assert!(
        matches!(result, Err(StoreError::Unavailable { .. })),
        "{result:?}"
    );
    let waited = started.elapsed();
    assert!(waited >= settings.patience && waited < settings.patience + 2 * LONGEST_PAUSE);
    store.faults.lock().unwrap().clear();
    assert_eq!(
        batcher.commit(create("a")).await.unwrap(),
        CommitOutcome::Done
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_says_what_to_do() {
    let store = Faulty::new(999, &[]);
    store.is_away.store(true, Ordering::SeqCst);
    let settings = BatcherSettings {
        queue_limit: 10,
        ..BatcherSettings::default()
    };
    let batcher = Batcher::spawn(store.clone(), &settings);
    let waiting: Vec<_> = (0..10)
        .map(|i| {
            let batcher = batcher.clone();
            tokio::spawn(async move { batcher.commit(create(&format!("s{i}"))).await })
        })
        .collect();
    tokio::time::sleep(LONGEST_PAUSE).await;
    assert_eq!(batcher.statistics().commits.waiting, 10);
    let error = batcher.commit(create("late")).await.unwrap_err();
    assert!(error.to_string().contains("store.queue_limit"), "{error}");
    assert_eq!(batcher.statistics().commits.refused, 1);
    for waiting in waiting {
        assert!(waiting.await.unwrap().is_err());
    }
    assert_eq!(batcher.statistics().commits.timed_out, 10);
    assert_eq!(batcher.statistics().commits.waiting, 0);
}

#[tokio::test]
async fn a_lane_that_panicked_is_told_of() {
    let store = Faulty::new(usize::MAX >> 4, &[Fault::Panic]);
    let batcher = Batcher::spawn(store, &BatcherSettings::default());
    let is_well = timeout(Duration::from_millis(50), batcher.failed()).await;
    assert!(is_well.is_err(), "nothing has happened yet");
    let error = batcher.commit(create("unlucky")).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    batcher.failed().await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_holds_one_operation_at_least() {
    let settings = BatcherSettings {
        batch_limit: 0,
        ..BatcherSettings::default()
    };
    let batcher = Batcher::spawn(Faulty::new(999, &[]), &settings);
    assert_eq!(
        batcher.commit(create("a")).await.unwrap(),
        CommitOutcome::Done
    );
}
