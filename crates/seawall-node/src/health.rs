//! How the node is, and whether it is the store that is sick.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Response, StatusCode};
use seawall_net::Shutdown;
use seawall_store::{Batcher, Read, SessionKey};
use serde::Serialize;

use crate::{
    metrics::METRICS_PATH,
    respond::{self, Body},
};

/// How often the store is asked how it is, and how long it may take.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// The node's state, kept up to date by the requests and a probe of the store.
#[derive(Debug)]
pub(crate) struct Health {
    node: Arc<str>,
    shutdown: Shutdown,
    in_flight: AtomicU64,
    store_is_up: AtomicBool,
}

/// The answer at `/.seawall/health`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    node: &'a str,
    pid: u32,
    version: &'a str,
    sessions: usize,
    in_flight: u64,
    store: &'a str,
    draining: bool,
    /// Where there is more.
    metrics: &'a str,
}

/// Counts a request while it lives.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Health>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

impl Health {
    pub(crate) fn new(node: Arc<str>, shutdown: Shutdown) -> Self {
        let (in_flight, store_is_up) = (AtomicU64::new(0), AtomicBool::new(false));
        Self {
            node,
            shutdown,
            in_flight,
            store_is_up,
        }
    }

    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    pub(crate) fn enter(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(self.clone())
    }

    /// 200 when the node can serve sessions, 503 otherwise; the body says which part is sick.
    pub(crate) fn respond(&self, sessions: usize) -> Response<Body> {
        let store_is_up = self.store_is_up.load(Relaxed);
        let draining = self.shutdown.is_triggered();
        let report = Report {
            node: &self.node,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION"),
            sessions,
            in_flight: self.in_flight(),
            store: if store_is_up { "up" } else { "down" },
            draining,
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

/// Asks the store how it is, for as long as the node lives. The batcher logs when that changes.
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
    loop {
        let answer = tokio::time::timeout(PROBE_LIMIT, batcher.read(probe.clone())).await;
        let is_up = matches!(answer, Ok(Ok(_)));
        health.store_is_up.store(is_up, Relaxed);
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}
