//! What nodes and balancers say of themselves, over HTTP.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use hyper::StatusCode;
use seawall_store::{Clock, SystemClock, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    config::{NodePlace, Nodes},
    http_client::{self, HttpError},
};

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
    /// Digests of its configuration's parts.
    #[serde(default)]
    pub(crate) configuration: BTreeMap<String, String>,
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
    /// How it keeps clients with their nodes, by which session cookie.
    pub(crate) stick: Option<String>,
    pub(crate) cookie: Option<String>,
    pub(crate) check_path: Option<String>,
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
    /// The status that answered the last check.
    pub(crate) check_code: Option<u16>,
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

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReportError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("it answers {0} without a health report; is this a node of Seawall?")]
    NotANode(StatusCode),
    #[error("this is another node: it says it is \"{}\"", .0.escape_debug())]
    AnotherNode(String),
    #[error(
        "it answers {0} without a balancer's report; is this the statistics address of a balancer \
         of this version?"
    )]
    NotABalancer(StatusCode),
}

/// Asks a node how it is.
pub(crate) async fn node(place: &NodePlace, limit: Duration) -> Result<NodeAnswer, ReportError> {
    let asked = Instant::now();
    let (status, body) = http_client::get(place.address, "/.seawall/health", limit).await?;
    let took = asked.elapsed();
    let report: NodeReport =
        serde_json::from_slice(&body).map_err(|_| ReportError::NotANode(status))?;
    if *report.node != *place.name {
        return Err(ReportError::AnotherNode(report.node));
    }
    Ok(NodeAnswer {
        status,
        report,
        took,
    })
}

/// A node that was asked.
#[derive(Debug, Clone)]
pub(crate) struct AskedNode {
    pub(crate) place: NodePlace,
    pub(crate) answer: Result<NodeAnswer, ReportError>,
    /// The time of this machine when the answer came.
    pub(crate) answered_at: Timestamp,
}

impl AskedNode {
    /// How far the node's clock is at least from this machine's; `None` when it does not say.
    pub(crate) fn skew(&self) -> Option<Duration> {
        let answer = self.answer.as_ref().ok()?;
        let time = answer.report.time_ms?;
        Some(skew(time, self.answered_at.as_millis(), answer.took))
    }
}

/// Asks all nodes at the same time; they come in the order of the configuration.
pub(crate) async fn nodes(nodes: &Nodes, limit: Duration) -> Vec<AskedNode> {
    let asking = nodes.iter().map(async |place| AskedNode {
        answer: node(place, limit).await,
        answered_at: SystemClock.now(),
        place: place.clone(),
    });
    join_all(asking).await
}

/// Asks a balancer how it and its servers are.
pub(crate) async fn balancer(
    address: SocketAddr,
    limit: Duration,
) -> Result<BalancerReport, ReportError> {
    let (status, body) = http_client::get(address, "/health", limit).await?;
    serde_json::from_slice(&body).map_err(|_| ReportError::NotABalancer(status))
}

/// As [`balancer`], where there need not be one.
pub(crate) async fn some_balancer(
    address: Option<SocketAddr>,
    limit: Duration,
) -> Option<Result<BalancerReport, ReportError>> {
    match address {
        Some(address) => Some(balancer(address, limit).await),
        None => None,
    }
}

/// How far a clock is off at least: it was read at some time between the question and the answer.
fn skew(theirs: i64, now: i64, took: Duration) -> Duration {
    let took = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    let asked = now.saturating_sub(took);
    let off = if theirs > now {
        theirs.saturating_sub(now)
    } else {
        asked.saturating_sub(theirs)
    };
    Duration::from_millis(u64::try_from(off).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_no_wrong_clock() {
        let took = Duration::from_millis(400);
        let millis = |theirs| skew(theirs, 10_000, took).as_millis();
        assert_eq!(millis(10_000), 0);
        assert_eq!(millis(9_600), 0);
        assert_eq!(millis(9_599), 1);
        assert_eq!(millis(12_000), 2_000);
        assert_eq!(millis(i64::MIN), u128::from(u64::MAX >> 1));
    }
}
