//! Nodes that die or hang under load (P6, P9): no safe request fails, no count goes back.
//!
//! `SEAWALL_ROUNDS` says how often; the default keeps the test short.

use nix::sys::signal::{Signal, kill};
use serde_json::Value;

use crate::cluster::{Cluster, get, until};

/// A hung node costs one deadline (2 s), and what the machine adds.
const HUNG_LIMIT_MS: f64 = 3_500.0;

fn rounds() -> u32 {
    std::env::var("SEAWALL_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(2)
}

fn failed(report: &Value) -> bool {
    !report["errors"].as_object().unwrap().is_empty()
}

/// How many requests a server has had, and what its state is.
fn server(cluster: &Cluster, name: &str) -> (u64, String) {
    let (_, csv) = get(cluster.stats, "/stats;csv", "").unwrap();
    let line = csv
        .lines()
        .find(|line| line.starts_with(&format!("seawall,{name},")))
        .unwrap();
    let column = |index: usize| line.split(',').nth(index).unwrap().to_owned();
    (column(7).parse().unwrap(), column(17))
}

#[test]
fn a_killed_node_is_not_noticed_and_comes_back() {
    let cluster = Cluster::start();
    for round in 0..rounds() {
        let victim = u16::try_from(round % 2).unwrap();
        let bench = cluster.bench(4);
        let name = format!("node{}", victim + 1);
        let (before, _) = server(&cluster, &name);
        until("the load is on", || {
            (server(&cluster, &name).0 > before + 100).then_some(())
        });
        let pid = cluster.node_pid(victim);
        kill(pid, Signal::SIGKILL).unwrap();
        until("another process takes its place", || {
            (cluster.node_pid(victim) != pid).then_some(())
        });
        let report = bench.report();
        assert!(!failed(&report), "round {round}: {report}");
        until("it is up again", || {
            (server(&cluster, &name).1 == "UP").then_some(())
        });
    }
}

#[test]
fn a_hung_node_costs_one_deadline() {
    let cluster = Cluster::start();
    for round in 0..rounds() {
        let bench = cluster.bench(8);
        let (before, _) = server(&cluster, "node1");
        until("the load is on", || {
            (server(&cluster, "node1").0 > before + 100).then_some(())
        });
        let pid = cluster.node_pid(0);
        kill(pid, Signal::SIGSTOP).unwrap();
        until("it is found down", || {
            (server(&cluster, "node1").1 == "DOWN").then_some(())
        });
        kill(pid, Signal::SIGCONT).unwrap();
        let report = bench.report();
        assert!(!failed(&report), "round {round}: {report}");
        let longest = report["longest_wait_ms"].as_f64().unwrap();
        assert!(longest < HUNG_LIMIT_MS, "round {round}: {report}");
        until("it is up again", || {
            (server(&cluster, "node1").1 == "UP").then_some(())
        });
    }
}
