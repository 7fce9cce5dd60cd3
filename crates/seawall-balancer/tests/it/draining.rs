//! Servers that drain, and what of nodes is not for clients.

use std::time::{Duration, Instant};

use seawall_balancer::StickyMode;
use serde_json::Value;

use crate::{
    server::{Behaviour, Upstream},
    support::{LIMIT, Running, exchange, get, status},
};

/// What the balancer says of its first server.
fn server(balancer: &Running) -> Value {
    let (_, body) = get(balancer.stats, "/health", "");
    let report: Value = serde_json::from_str(&body).unwrap();
    report["servers"][0].clone()
}

#[test]
fn a_server_that_drains_gets_nothing_more_as_soon_as_an_answer_says_so() {
    let one = Upstream::start("node1", Behaviour::Echoes);
    let two = Upstream::start("node2", Behaviour::Echoes);
    // Checks would find it out too, but not before this test is over.
    let balancer = Running::unchecked(&[&one, &two], StickyMode::Route, |config| {
        config.check.interval = Duration::from_secs(600);
    });
    balancer.until_state("UP", 2);
    one.drain();
    let (head, body) = balancer.get("JSESSIONID=abc.node1");
    assert!(
        body.starts_with("node1\n"),
        "the one that tells of it: {body}"
    );
    assert!(
        !head.contains("draining"),
        "that is not for clients: {head}"
    );
    for _ in 0..4 {
        let (_, body) = balancer.get("JSESSIONID=abc.node1");
        assert!(body.starts_with("node2\n"), "{body}");
    }
    balancer.until_state("DRAIN", 1);
    assert_eq!(server(&balancer)["draining"], true);
    assert_eq!(one.requests().len(), 1);
}

#[test]
fn what_is_not_for_clients_is_not_passed_on() {
    let one = Upstream::start("node1", Behaviour::Echoes);
    let balancer = Running::start(&[&one], StickyMode::Route);
    for path in [
        "/.seawall/health",
        "//.seawall/drain",
        "/a/%2e./.seawall/ready",
    ] {
        let request = format!("POST {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        assert_eq!(status(&exchange(balancer.port, &request)), 404, "{path}");
    }
    assert_eq!(one.requests(), [""; 0]);
    let (_, body) = get(balancer.port, "/.well-known/x", "");
    assert!(body.contains("GET /.well-known/x"), "{body}");
}

#[test]
fn a_tunnel_is_in_flight_until_it_ends() {
    let one = Upstream::start("node1", Behaviour::Switches);
    let balancer = Running::start(&[&one], StickyMode::Route);
    let until_in_flight = |count: u64| {
        let deadline = Instant::now() + LIMIT;
        while server(&balancer)["in_flight"] != count {
            assert!(Instant::now() < deadline, "never {count} in flight");
        }
    };
    let tunnel = crate::tunnel::open(&balancer);
    until_in_flight(1);
    drop(tunnel);
    until_in_flight(0);
}

#[test]
fn the_report_counts_requests_errors_and_times() {
    let one = Upstream::start("node1", Behaviour::Echoes);
    let balancer = Running::start(&[&one], StickyMode::Route);
    for _ in 0..3 {
        balancer.get("");
    }
    one.behave(Behaviour::Closes);
    let request = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    assert!(status(&exchange(balancer.port, request)) >= 500);
    let (_, body) = get(balancer.stats, "/health", "");
    let report: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&report["requests"], &report["errors"]),
        (&4.into(), &1.into())
    );
    assert_eq!(report["recent"]["errors"], 1);
    assert!(
        report["servers"][0]["p50_ms"].as_f64().unwrap() > 0.0,
        "{report}"
    );
}
