//! What nodes and balancer say of themselves.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    time::Duration,
};

use futures_util::future::join_all;

use crate::{
    config::Settings,
    http_client, local,
    reports::{self, AskedNode, BalancerReport, ReportError},
};

/// How long a node or a balancer may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Facts of one moment.
#[derive(Debug)]
pub(super) struct Facts {
    /// In the order of the configuration.
    pub(super) nodes: Vec<AskedNode>,
    pub(super) node_metrics: Vec<ProcessMetrics>,
    /// `None` when there is none.
    pub(super) balancer: Option<Result<BalancerReport, ReportError>>,
    pub(super) balancer_metrics: ProcessMetrics,
    /// Who else listens where a node or the balancer should and does not answer, as far as this
    /// machine can tell.
    pub(super) strangers: BTreeMap<SocketAddr, String>,
}

/// What a process takes of its machine; nothing is known of one that does not answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ProcessMetrics {
    pub(super) open_files: Option<u64>,
    pub(super) files_limit: Option<u64>,
    pub(super) memory: Option<u64>,
    pub(super) memory_limit: Option<u64>,
}

impl Facts {
    pub(super) async fn gather(settings: &Settings) -> Self {
        let stats = settings.stats();
        let metrics_of_balancer = async || match stats {
            Some(stats) => metrics(stats, "/metrics").await,
            None => ProcessMetrics::default(),
        };
        let of_nodes = settings.nodes.iter();
        let of_nodes = of_nodes.map(|place| metrics(place.address, "/.seawall/metrics"));
        let (nodes, node_metrics, balancer, balancer_metrics) = tokio::join!(
            reports::nodes(&settings.nodes, ANSWER_LIMIT),
            join_all(of_nodes),
            reports::some_balancer(stats, ANSWER_LIMIT),
            metrics_of_balancer(),
        );
        let strangers = strangers(settings, &nodes, &balancer);
        Self {
            nodes,
            node_metrics,
            balancer,
            balancer_metrics,
            strangers,
        }
    }

    /// Whether a page can be expected: from the balancer and a node, as far as there are some.
    pub(super) fn serves(&self) -> bool {
        let is_well = |node: &AskedNode| {
            let answer = node.answer.as_ref();
            answer.is_ok_and(|answer| answer.status.is_success())
        };
        let has_balancer = self.balancer.as_ref().is_none_or(Result::is_ok);
        has_balancer && (self.nodes.is_empty() || self.nodes.iter().any(is_well))
    }
}

fn strangers(
    settings: &Settings,
    nodes: &[AskedNode],
    balancer: &Option<Result<BalancerReport, ReportError>>,
) -> BTreeMap<SocketAddr, String> {
    let nodes = nodes.iter().filter(|node| node.answer.is_err());
    let mut silent: Vec<_> = nodes.map(|node| node.place.address).collect();
    if matches!(balancer, Some(Err(_))) {
        silent.extend([settings.balancer.stats, settings.balancer.listen]);
    }
    let stranger = |address| Some((address, local::stranger(address)?.to_string()));
    silent.into_iter().filter_map(stranger).collect()
}

async fn metrics(address: SocketAddr, path: &str) -> ProcessMetrics {
    match http_client::get(address, path, ANSWER_LIMIT).await {
        Ok((_, text)) => parse(&String::from_utf8_lossy(&text)),
        Err(_) => ProcessMetrics::default(),
    }
}

/// Reads lines `NAME VALUE` of Prometheus' text format.
fn parse(text: &str) -> ProcessMetrics {
    let values: HashMap<_, _> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let value = |name| values.get(name)?.parse().ok();
    ProcessMetrics {
        open_files: value("process_open_fds"),
        files_limit: value("process_max_fds"),
        memory: value("process_resident_memory_bytes"),
        memory_limit: value("seawall_memory_limit_bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_metrics_are_read() {
        let own = parse(&seawall_net::process_metrics());
        assert!(own.open_files.is_some() && own.files_limit.is_some() && own.memory.is_some());
        assert_eq!(
            parse("process_open_fds many\n<h1>"),
            ProcessMetrics::default()
        );
    }
}
