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
    inner: MemoryStore,
    gate: watch::Sender<bool>,
    is_away: AtomicBool,
    list_limit: AtomicUsize,
    tells_nobody: AtomicBool,
    pub(crate) commits: AtomicU64,
    pub(crate) reads: AtomicU64,
}

impl Watched {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::default(),
            gate: watch::Sender::new(true),
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
        Box::pin(async move {
            self.check_that_it_is_there()?;
            self.inner.read(reads).await
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
            self.inner.commit(commits).await
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

    fn notices(&self) -> Option<Notices> {
        let tells = !self.tells_nobody.load(Ordering::SeqCst);
        tells.then(|| self.inner.notices()).flatten()
    }

    fn list_by_principal<'a>(
        &'a self,
        principal: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<SessionSummary>, StoreError>> {
        let mut gate = self.gate.subscribe();
        Box::pin(async move {
            gate.wait_for(|open| *open).await.unwrap();
            let mut sessions = self.inner.list_by_principal(principal, now).await?;
            sessions.truncate(self.list_limit.load(Ordering::SeqCst));
            Ok(sessions)
        })
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.inner.count()
    }
}
