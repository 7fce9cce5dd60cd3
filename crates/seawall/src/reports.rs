//! What nodes and balancers say of themselves, over HTTP.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{config::NodePlace, http_client};

/// A node's report at `/.seawall/health`. What older versions do not say is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeReport {
    pub(crate) node: String,
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) sessions: u64,
    pub(crate) in_flight: u64,
    pub(crate) store: String,
    pub(crate) draining: bool,
    /// Since its start.
    pub(crate) requests: Option<u64>,
    pub(crate) uptime_seconds: Option<u64>,
    pub(crate) memory_bytes: Option<u64>,
    /// Its clock, in ms since 1970.
    pub(crate) time_ms: Option<i64>,
}

/// A node's answer.
#[derive(Debug, Clone)]
pub(crate) struct NodeAnswer {
    pub(crate) status: StatusCode,
    pub(crate) report: NodeReport,
    /// How long it took from the question to the answer.
    pub(crate) took: Duration,
}

/// A balancer's report at `/health` of its statistics' address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct BalancerReport {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) uptime_seconds: u64,
    pub(crate) memory_bytes: Option<u64>,
    /// Since its start.
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) recent: Recent,
    pub(crate) servers: Vec<ServerReport>,
}

/// What a balancer counted in its last minutes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recent {
    pub(crate) seconds: u64,
    pub(crate) requests: u64,
    /// Answers with status 500 and more.
    pub(crate) errors: u64,
}

/// What a balancer says of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ServerReport {
    pub(crate) name: String,
    pub(crate) address: String,
    /// In HAProxy's words: `UP`, `DOWN`, `DRAIN`, `no check`.
    pub(crate) state: String,
    pub(crate) suspect: bool,
    pub(crate) draining: bool,
    pub(crate) since_seconds: u64,
    pub(crate) in_flight: u64,
    pub(crate) requests: u64,
    pub(crate) latency: Latency,
}

/// A histogram of answers since the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) bounds_us: Vec<u64>,
    pub(crate) counts: Vec<u64>,
}

/// Asks a node how it is.
pub(crate) async fn node(place: &NodePlace, limit: Duration) -> Result<NodeAnswer, String> {
    let asked = Instant::now();
    let (status, body) = http_client::get(place.address, "/.seawall/health", limit).await?;
    let took = asked.elapsed();
    let report: NodeReport = serde_json::from_slice(&body).map_err(|_| {
        format!("it answers {status} without a health report; is this a node of Seawall?")
    })?;
    if *report.node != *place.name {
        let name = report.node.escape_debug();
        return Err(format!("this is another node: it says it is \"{name}\""));
    }
    Ok(NodeAnswer {
        status,
        report,
        took,
    })
}

/// Asks a balancer how it and its servers are.
pub(crate) async fn balancer(
    address: SocketAddr,
    limit: Duration,
) -> Result<BalancerReport, String> {
    let (status, body) = http_client::get(address, "/health", limit).await?;
    serde_json::from_slice(&body).map_err(|_| {
        format!(
            "it answers {status} without a balancer's report; is this the statistics address of a \
             balancer of this version?"
        )
    })
}
