//! Nodes for tests: managers over one store, a browser that keeps its cookie, a store with a gate.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue, header::COOKIE};
use seawall_session::{Draft, Presented, SessionError, SessionManager, SessionSettings};
use seawall_store::{
    Batcher, BatcherSettings, BoxFuture, Cause, Clock, Commit, CommitOutcome, Expired, Lookup,
    ManualClock, Notices, Read, ReadOutcome, SessionKey, SessionStore, SessionSummary, StoreError,
    Timestamp, memory::MemoryStore,
};
use tokio::sync::watch;

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(1_790_000_000_000)))
}

pub(crate) fn settings(node: &str) -> SessionSettings {
    SessionSettings {
        node: node.into(),
        ..SessionSettings::default()
    }
}

pub(crate) fn node(
    store: Arc<dyn SessionStore>,
    clock: Arc<dyn Clock>,
    settings: SessionSettings,
) -> SessionManager {
    let batcher = Batcher::spawn(store, &BatcherSettings::default());
    SessionManager::new(batcher, clock, settings).unwrap()
}

/// Two nodes over one store.
pub(crate) fn two_nodes(store: &Arc<Watched>, clock: &Arc<ManualClock>) -> [SessionManager; 2] {
    ["node1", "node2"].map(|name| node(store.clone(), clock.clone(), settings(name)))
}

/// A client that keeps its session cookie.
#[derive(Debug, Clone, Default)]
pub(crate) struct Browser {
    cookie: Arc<Mutex<Option<String>>>,
}

impl Browser {
    pub(crate) fn cookie(&self) -> Option<String> {
        self.cookie.lock().unwrap().clone()
    }

    pub(crate) fn with_cookie(cookie: Option<String>) -> Self {
        Self {
            cookie: Arc::new(Mutex::new(cookie)),
        }
    }

    pub(crate) fn presented(&self) -> Vec<Presented> {
        let mut headers = HeaderMap::new();
        if let Some(cookie) = self.cookie() {
            headers.insert(COOKIE, HeaderValue::from_str(&cookie).unwrap());
        }
        Presented::all(&headers, "JSESSIONID")
    }

    pub(crate) fn keep(&self, header: Option<&HeaderValue>) {
        let Some(header) = header else { return };
        let text = header.to_str().unwrap();
        let pair = text.split(';').next().unwrap().to_owned();
        let deleted = text.contains("Max-Age=0");
        *self.cookie.lock().unwrap() = (!deleted).then_some(pair);
    }

    pub(crate) async fn visit<R>(
        &self,
        node: &SessionManager,
        work: impl FnMut(&mut Draft<'_>) -> R,
    ) -> Result<R, SessionError> {
        let visited = node.visit(&self.presented(), work).await?;
        self.keep(visited.cookie.as_ref());
        Ok(visited.value)
    }

    /// Counts a visit and gives the count.
    pub(crate) async fn count(&self, node: &SessionManager) -> Result<i64, SessionError> {
        self.visit(node, |draft| {
            let count = draft.value("count").and_then(|v| v.as_i64()).unwrap_or(0) + 1;
            draft.set("count", count).unwrap();
            count
        })
        .await
    }

    pub(crate) async fn read(&self, node: &SessionManager) -> Result<Option<i64>, SessionError> {
        self.visit(node, |draft| draft.value("count").and_then(|v| v.as_i64()))
            .await
    }
}

/// The memory store, with a gate before its commits and lists, and a count of what was asked of it.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: Mutex<Arc<MemoryStore>>,
    gate: watch::Sender<bool>,
    /// How many batches of reads are answered, of those that came.
    answered: watch::Sender<u64>,
    read_batches: AtomicU64,
    is_away: AtomicBool,
    list_limit: AtomicUsize,
    tells_nobody: AtomicBool,
    pub(crate) commits: AtomicU64,
    pub(crate) reads: AtomicU64,
}

impl Watched {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            gate: watch::Sender::new(true),
            answered: watch::Sender::new(u64::MAX),
            read_batches: AtomicU64::new(0),
            is_away: AtomicBool::new(false),
            list_limit: AtomicUsize::new(usize::MAX),
            tells_nobody: AtomicBool::new(false),
            commits: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        })
    }

    /// As SQLite and MariaDB, which send no notices.
    pub(crate) fn without_notices() -> Arc<Self> {
        let store = Self::new();
        store.tells_nobody.store(true, Ordering::SeqCst);
        store
    }

    /// Lets commits through, or holds them back.
    pub(crate) fn open_gate(&self, open: bool) {
        self.gate.send_replace(open);
    }

    /// Holds back what is read from now on.
    pub(crate) fn hold_reads(&self) {
        let came = self.read_batches.load(Ordering::SeqCst);
        self.answered.send_replace(came);
    }

    /// Answers so many more batches of reads.
    pub(crate) fn answer_reads(&self, count: u64) {
        let more = |answered: &mut u64| *answered = answered.saturating_add(count);
        self.answered.send_modify(more);
    }

    /// What the store holds now, in a replica that is behind from now on.
    pub(crate) fn replica(&self) -> MemoryStore {
        (*self.inner()).clone()
    }

    /// A replica takes the store's place.
    pub(crate) fn fail_over(&self, replica: MemoryStore) {
        *self.inner.lock().unwrap() = Arc::new(replica);
    }

    fn inner(&self) -> Arc<MemoryStore> {
        self.inner.lock().unwrap().clone()
    }

    /// Lets the store answer nothing, or again.
    pub(crate) fn take_away(&self, away: bool) {
        self.is_away.store(away, Ordering::SeqCst);
    }

    /// Lets lists hold so many sessions and no more.
    pub(crate) fn limit_lists(&self, limit: usize) {
        self.list_limit.store(limit, Ordering::SeqCst);
    }

    fn check_that_it_is_there(&self) -> Result<(), StoreError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable {
                store: "watched memory".into(),
                reason: "it was taken away".into(),
                cause: Cause::Other,
            });
        }
        Ok(())
    }

    /// Waits until a commit stands at the gate or has passed it.
    pub(crate) async fn until_commits(&self, count: u64) {
        let all = async {
            while self.commits.load(Ordering::SeqCst) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all)
            .await
            .unwrap();
    }
}

impl SessionStore for Watched {
    fn description(&self) -> &str {
        "watched memory"
    }

    fn read<'a>(
        &'a self,
        reads: &'a [Read],
    ) -> BoxFuture<'a, Result<Vec<ReadOutcome>, StoreError>> {
        self.reads.fetch_add(reads.len() as u64, Ordering::SeqCst);
        let place = self.read_batches.fetch_add(1, Ordering::SeqCst);
        let mut answered = self.answered.subscribe();
        Box::pin(async move {
            self.check_that_it_is_there()?;
            let outcomes = self.inner().read(reads).await;
            answered.wait_for(|count| *count > place).await.unwrap();
            outcomes
        })
    }

    fn commit<'a>(
        &'a self,
        commits: &'a [Commit],
    ) -> BoxFuture<'a, Result<Vec<CommitOutcome>, StoreError>> {
        self.commits
            .fetch_add(commits.len() as u64, Ordering::SeqCst);
        let mut gate = self.gate.subscribe();
        Box::pin(async move {
            gate.wait_for(|open| *open).await.unwrap();
            self.check_that_it_is_there()?;
            self.inner().commit(commits).await
        })
    }

    fn claim_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Expired>, StoreError>> {
        Box::pin(async move { self.inner().claim_expired(now, limit).await })
    }

    fn locate<'a>(
        &'a self,
        lookups: &'a [Lookup],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Option<SessionKey>>, StoreError>> {
        Box::pin(async move { self.inner().locate(lookups, now).await })
    }

    fn notices(&self) -> Option<Notices> {
        let tells = !self.tells_nobody.load(Ordering::SeqCst);
        tells.then(|| self.inner().notices()).flatten()
    }

    fn list_by_principal<'a>(
        &'a self,
        principal: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<SessionSummary>, StoreError>> {
        let mut gate = self.gate.subscribe();
        Box::pin(async move {
            gate.wait_for(|open| *open).await.unwrap();
            let mut sessions = self.inner().list_by_principal(principal, now).await?;
            sessions.truncate(self.list_limit.load(Ordering::SeqCst));
            Ok(sessions)
        })
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move { self.inner().count().await })
    }
}
