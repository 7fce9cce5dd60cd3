//! How the node is, whether it takes traffic, and whether it is the store that is sick.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU8, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header::CONNECTION};
use seawall_net::resident_memory;
use seawall_store::{Batcher, Clock, Read, SessionKey, StoreError};
use serde::Serialize;

use crate::{
    metrics::METRICS_PATH,
    respond::{self, Body},
};

/// How often the store is asked how it is, and how long it may take.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// Stands in the answers of a node that drains. It is named in `Connection`, and so concerns only the
/// next hop: every proxy takes it away, and gives the connection up.
const DRAINING: HeaderName = HeaderName::from_static("x-seawall-draining");

/// Takes traffic.
const SERVING: u8 = 0;
/// Asks for nothing new, until it is told otherwise.
const DRAINED: u8 = 1;
/// Is about to end.
const LEAVING: u8 = 2;

/// The node's state, kept up to date by the requests and a probe of the store.
#[derive(Debug)]
pub(crate) struct Health {
    node: Arc<str>,
    clock: Arc<dyn Clock>,
    configuration: BTreeMap<&'static str, String>,
    started: Instant,
    traffic: AtomicU8,
    connections: AtomicU64,
    /// When the last connection was made, and since when the node drains, in ms after `started`.
    connected_ms: AtomicU64,
    drained_ms: AtomicU64,
    /// Requests that have come, and those that were answered or given up.
    begun: AtomicU64,
    finished: AtomicU64,
    store_is_up: AtomicBool,
}

/// The answer at `/.seawall/health`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    node: &'a str,
    pid: u32,
    version: &'a str,
    /// Copies in the cache.
    sessions: usize,
    in_flight: u64,
    /// Since the process began; requests for `/.seawall/` are not among them.
    requests: u64,
    connections: u64,
    store: &'a str,
    draining: bool,
    /// Where there is more.
    metrics: &'a str,
    uptime_seconds: u64,
    memory_bytes: Option<u64>,
    /// The node's clock, in ms since 1970.
    time_ms: i64,
    configuration: &'a BTreeMap<&'static str, String>,
}

/// Counts a request while it lives.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Health>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.finished.fetch_add(1, Relaxed);
    }
}

/// Counts a connection while it lives.
#[derive(Debug)]
pub(crate) struct OpenConnection(Arc<Health>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

impl Health {
    pub(crate) fn new(
        node: Arc<str>,
        clock: Arc<dyn Clock>,
        configuration: BTreeMap<&'static str, String>,
    ) -> Self {
        Self {
            node,
            clock,
            configuration,
            started: Instant::now(),
            traffic: AtomicU8::new(SERVING),
            connections: AtomicU64::new(0),
            connected_ms: AtomicU64::new(0),
            drained_ms: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            store_is_up: AtomicBool::new(false),
        }
    }

    pub(crate) fn in_flight(&self) -> u64 {
        // In this order, so that none is counted as finished that has not been as begun.
        let finished = self.finished.load(SeqCst);
        self.begun.load(SeqCst).saturating_sub(finished)
    }

    /// Whether the store did what it was asked last.
    pub(crate) fn store_is_up(&self) -> bool {
        self.store_is_up.load(Relaxed)
    }

    pub(crate) fn enter(self: &Arc<Self>) -> InFlight {
        self.begun.fetch_add(1, Relaxed);
        InFlight(self.clone())
    }

    pub(crate) fn open(self: &Arc<Self>) -> OpenConnection {
        self.connections.fetch_add(1, Relaxed);
        self.connected_ms.store(self.clock_ms(), Relaxed);
        OpenConnection(self.clone())
    }

    fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    fn clock_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether nobody is connected, and everybody who might come knows better: because nobody has
    /// come for `linger`, or because the node has drained for so long.
    pub(crate) fn is_deserted(&self, linger: Duration) -> bool {
        let now = self.clock_ms();
        let has_passed =
            |since_ms: u64| Duration::from_millis(now.saturating_sub(since_ms)) >= linger;
        let connected = self.connected_ms.load(Relaxed);
        // 0: nobody has ever come.
        let is_alone = connected == 0 || has_passed(connected);
        let drained = self.drained_ms.load(Relaxed);
        let is_known = drained != 0 && has_passed(drained);
        self.connections() == 0 && (is_alone || is_known)
    }

    /// Asks for nothing new from now on.
    pub(crate) fn drain(&self) {
        if self.change(SERVING, DRAINED) {
            self.drained_ms.store(self.clock_ms().max(1), Relaxed);
            tracing::info!("draining: balancers are asked to send nothing new");
        }
    }

    /// Takes traffic again; false when the node is about to end.
    pub(crate) fn ready(&self) -> bool {
        if self.change(DRAINED, SERVING) {
            self.drained_ms.store(0, Relaxed);
            tracing::info!("ready: takes traffic again");
        }
        self.traffic.load(SeqCst) != LEAVING
    }

    /// Asks for nothing new, for good.
    pub(crate) fn leave(&self) {
        self.traffic.store(LEAVING, SeqCst);
    }

    fn change(&self, from: u8, to: u8) -> bool {
        let changed = self.traffic.compare_exchange(from, to, SeqCst, SeqCst);
        changed.is_ok()
    }

    fn is_draining(&self) -> bool {
        self.traffic.load(Relaxed) != SERVING
    }

    /// While the node drains: has an answer say so, and end its connection. A balancer that keeps
    /// no idle connection sends no request into one that the node is just closing.
    pub(crate) fn announce(&self, headers: &mut HeaderMap) {
        if self.is_draining() {
            headers.insert(DRAINING, HeaderValue::from_static("1"));
            let value = HeaderValue::from_static("close, x-seawall-draining");
            headers.insert(CONNECTION, value);
        }
    }

    /// 200 when the node can serve sessions, 503 otherwise; the body says which part is sick.
    pub(crate) fn respond(&self, sessions: usize) -> Response<Body> {
        let store_is_up = self.store_is_up();
        let draining = self.is_draining();
        let report = Report {
            node: &self.node,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            sessions,
            in_flight: self.in_flight(),
            requests: self.begun.load(Relaxed),
            connections: self.connections(),
            store: if store_is_up { "up" } else { "down" },
            draining,
            uptime_seconds: self.started.elapsed().as_secs(),
            memory_bytes: resident_memory(),
            time_ms: self.clock.now().as_millis(),
            configuration: &self.configuration,
            metrics: METRICS_PATH,
        };
        let healthy = store_is_up && !draining;
        let status = if healthy {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let json = serde_json::to_vec(&report).expect("plain data");
        respond::uncached(status, "application/json", json)
    }
}

/// Asks the store how it is, for as long as the node lives. The batcher logs when it goes away or
/// comes back; that it is there and refuses everything, as with a wrong password, is logged here.
pub(crate) async fn watch_store(health: Arc<Health>, batcher: Batcher) {
    let nobody = SessionKey {
        id: "probe".into(),
        context: "".into(),
        virtual_host: "".into(),
    };
    let probe = Read {
        key: nobody,
        known: None,
    };
    let mut refuses = false;
    loop {
        let answer = tokio::time::timeout(PROBE_LIMIT, batcher.read(probe.clone())).await;
        let is_up = matches!(answer, Ok(Ok(_)));
        health.store_is_up.store(is_up, Relaxed);
        match answer {
            Ok(Err(error @ StoreError::Rejected { .. })) if !refuses => {
                tracing::error!(%error, "store refuses to work; sessions are not served");
                refuses = true;
            }
            Ok(Ok(_)) if refuses => {
                tracing::info!("store works again");
                refuses = false;
            }
            _ => {}
        }
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}
