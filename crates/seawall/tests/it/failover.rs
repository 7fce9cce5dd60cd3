//! Nodes that die or hang under load, and connections that break (P6, P9): no safe request fails,
//! no count goes back.
//!
//! `SEAWALL_ROUNDS` says how often; the default keeps the tests short.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use seawall_testing::TestPostgres;
use serde_json::Value;

use crate::{
    cluster::{Bench, Cluster, SESSIONS, get, until},
    front::Front,
};

/// A hung node costs one deadline of the balancer (2 s), and what the machine adds.
const DEADLINE_MS: u32 = 3_500;

/// A node that hangs while it holds SQLite's write lock holds up the others until the supervisor
/// has killed it, which `store.patience` (5 s) covers.
const PATIENCE_MS: u32 = 5_000;

/// How often a test repeats what it does.
pub(crate) fn rounds() -> u32 {
    std::env::var("SEAWALL_ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(2)
}

/// How many requests a server has had, and what its state is.
fn server(stats: u16, name: &str) -> (u64, String) {
    let (_, csv) = get(stats, "/stats;csv", "").unwrap();
    let line = csv
        .lines()
        .find(|line| line.starts_with(&format!("seawall,{name},")))
        .unwrap();
    let column = |index: usize| line.split(',').nth(index).unwrap().to_owned();
    (column(7).parse().unwrap(), column(17))
}

fn wait_for_load(stats: u16, name: &str) {
    let (before, _) = server(stats, name);
    until("the load is on", || {
        (server(stats, name).0 > before + 100).then_some(())
    });
}

fn wait_for_state(stats: u16, name: &str, state: &str) {
    until(&format!("{name} is {state}"), || {
        (server(stats, name).1 == state).then_some(())
    });
}

/// The load's report, in which no request failed or waited longer than `limit_ms`.
fn without_failure(bench: Bench, limit_ms: u32) -> Value {
    let report = bench.report();
    assert!(
        report["errors"].as_object().unwrap().is_empty(),
        "requests failed: {report}"
    );
    let longest = report["longest_wait_ms"].as_f64().unwrap();
    assert!(longest < f64::from(limit_ms), "too late: {report}");
    report
}

/// Sends `signal` to a node under load; the node must be replaced and take traffic again.
fn strike(cluster: &Cluster, index: u16, signal: Signal, limit_ms: u32) {
    let name = format!("node{}", index + 1);
    let bench = cluster.bench(if signal == Signal::SIGSTOP { 6 } else { 4 });
    wait_for_load(cluster.stats, &name);
    let struck = cluster.node_pid(index);
    kill(struck, signal).unwrap();
    until("another process takes its place", || {
        (cluster.node_pid(index) != struck).then_some(())
    });
    let report = without_failure(bench, limit_ms);
    // Each client of the node moves once, and stays where it moved.
    assert!(report["moves"].as_u64().unwrap() <= SESSIONS, "{report}");
    wait_for_state(cluster.stats, &name, "UP");
    wait_for_load_of_a_new_client(cluster, &name);
}

fn wait_for_load_of_a_new_client(cluster: &Cluster, name: &str) {
    let (before, _) = server(cluster.stats, name);
    until("it takes traffic", || {
        get(cluster.front, "/session-test/", "")?;
        (server(cluster.stats, name).0 > before).then_some(())
    });
}

#[test]
fn a_killed_node_is_not_noticed_and_comes_back() {
    let cluster = Cluster::start();
    for round in 0..rounds() {
        let index = u16::try_from(round % 2).unwrap();
        strike(&cluster, index, Signal::SIGKILL, DEADLINE_MS);
    }
}

#[test]
fn a_hung_node_is_replaced() {
    let cluster = Cluster::start();
    for _ in 0..rounds() {
        strike(&cluster, 0, Signal::SIGSTOP, PATIENCE_MS);
    }
}

#[test]
fn a_hung_node_costs_one_deadline_where_it_holds_no_lock() {
    let server = TestPostgres::start();
    let cluster = Cluster::on(Some(&server.url()));
    for _ in 0..rounds() {
        strike(&cluster, 1, Signal::SIGSTOP, DEADLINE_MS);
    }
}

#[test]
fn a_hung_balancer_is_replaced() {
    let cluster = Cluster::start();
    let pids = cluster.children();
    let nodes = [0, 1].map(|index| cluster.node_pid(index));
    let balancer = pids.into_iter().find(|pid| !nodes.contains(pid)).unwrap();
    kill(balancer, Signal::SIGSTOP).unwrap();
    until("another process takes its place", || {
        let children: Vec<Pid> = cluster.children();
        (children.len() == 3 && !children.contains(&balancer)).then_some(())
    });
    until("it serves", || get(cluster.front, "/session-test/", ""));
}

#[test]
fn connections_that_break_are_not_noticed() {
    let cluster = Cluster::start();
    let front = Front::over_proxies(&cluster);
    for name in ["node1", "node2"] {
        wait_for_state(front.stats, name, "UP");
    }
    for _ in 0..rounds() {
        let bench = cluster.bench_at(front.port, 3);
        wait_for_load(front.stats, "node1");
        let broken = front.sever();
        assert!(broken > 0, "nothing was under way");
        wait_for_load(front.stats, "node1");
        without_failure(bench, DEADLINE_MS);
    }
}
