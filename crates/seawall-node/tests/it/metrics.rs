//! What a node counts, read as Prometheus would.

use std::collections::BTreeMap;

use seawall_store::StoreUrl;
use seawall_testing::TestPostgres;

use crate::support::{TestNode, body, header, status};

const PATH: &str = "/.seawall/metrics";

const PAGES: [(&str, &str); 3] = [
    ("shop/count.html.j2", "{{ session.increment(\"count\") }}"),
    ("shop/read.html.j2", "{{ session.count }}"),
    ("shop/end.html.j2", "{{ session.invalidate() }}"),
];

/// Samples by name and labels. Panics at what is not in the text format.
fn metrics(node: &TestNode) -> BTreeMap<String, f64> {
    let answer = node.get(PATH);
    assert_eq!(status(&answer), 200, "{answer}");
    let content_type = header(&answer, "content-type").unwrap();
    assert!(content_type.starts_with("text/plain; version=0.0.4"));
    let (mut kinds, mut samples) = (BTreeMap::new(), BTreeMap::new());
    for line in body(&answer).lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            let (name, kind) = head.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            let before = kinds.insert(name.to_owned(), kind.to_owned());
            assert_eq!(before, None, "{name} comes twice");
        } else if !line.starts_with("# HELP ") {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{line}"
            );
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|part| name.strip_suffix(part))
                .unwrap_or(name);
            assert!(kinds.contains_key(family), "{line} has no type before it");
            let before = samples.insert(sample.to_owned(), value.parse().unwrap());
            assert_eq!(before, None, "{sample} comes twice");
        }
    }
    samples
}

fn session_of(answer: &str) -> String {
    let cookie = header(answer, "set-cookie").unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

fn visit(node: &TestNode, path: &str, cookie: &str) -> String {
    let answer = node.send(&format!("GET {path} HTTP/1.1\r\nCookie: {cookie}"), "");
    assert_eq!(status(&answer), 200, "{answer}");
    answer
}

#[test]
fn the_figures_move_as_they_should() {
    let node = TestNode::start(&PAGES);
    let before = metrics(&node);
    let cookie = session_of(&node.get("/shop/count.html"));
    visit(&node, "/shop/count.html", &cookie);
    for _ in 0..3 {
        visit(&node, "/shop/read.html", &cookie);
    }
    let during = metrics(&node);
    let shop = |name: &str| format!("seawall_{name}{{application=\"shop\"}}");
    assert_eq!(during[&shop("sessions_cached")], 1.0);
    assert!(during[&shop("session_cache_bytes")] > 200.0);
    visit(&node, "/shop/end.html", &cookie);
    visit(&node, "/shop/read.html", &cookie);
    let after = metrics(&node);
    let moved = |name: &str| after[name] - before[name];
    for (name, expected) in [
        (shop("sessions_created_total"), 1.0),
        (shop("session_cache_hits_total"), 5.0),
        (shop("session_cache_misses_total"), 1.0),
        (shop("sessions_invalidated_total"), 1.0),
        (shop("sessions_cached"), 0.0),
        (shop("sessions_rotated_total"), 0.0),
        (
            "seawall_store_commits_total{kind=\"create\"}".to_owned(),
            1.0,
        ),
        (
            "seawall_store_commits_total{kind=\"update\"}".to_owned(),
            1.0,
        ),
        (
            "seawall_store_commits_total{kind=\"delete\"}".to_owned(),
            1.0,
        ),
        ("seawall_store_validations_total".to_owned(), 3.0),
        ("seawall_store_conflicts_total".to_owned(), 0.0),
        (
            "seawall_store_batch_size_sum{lane=\"commits\"}".to_owned(),
            3.0,
        ),
        (
            "seawall_store_answer_seconds_count{lane=\"commits\"}".to_owned(),
            3.0,
        ),
    ] {
        assert_eq!(moved(&name), expected, "{name}");
    }
    assert_eq!(after["seawall_store_up"], 1.0);
    let all = "seawall_store_answer_seconds_bucket{lane=\"commits\",le=\"+Inf\"}";
    assert_eq!(
        after[all],
        after["seawall_store_answer_seconds_count{lane=\"commits\"}"]
    );
}

/// It is no outage, and no session is served all the same.
#[test]
fn a_store_that_refuses_to_work_is_not_up() {
    let server = TestPostgres::start();
    let url = server.url().replace("/postgres", "/missing");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let store = runtime.block_on(url.parse::<StoreUrl>().unwrap().open());
    let node = TestNode::start_with(&[], |config| config.store = store.unwrap());
    node.until("/.seawall/health", |health| health.contains("\"down\""));
    assert_eq!(metrics(&node)["seawall_store_up"], 0.0);
    server.query("CREATE DATABASE missing");
    node.until("/.seawall/health", |health| health.contains("\"up\""));
    assert_eq!(metrics(&node)["seawall_store_up"], 1.0);
}

#[test]
fn clients_of_a_balancer_do_not_see_them() {
    let node = TestNode::start(&[]);
    let forwarded = format!("GET {PATH} HTTP/1.1\r\nX-Forwarded-For: 198.51.100.7");
    assert_eq!(status(&node.send(&forwarded, "")), 404);
    let health = node.get("/.seawall/health");
    assert!(body(&health).contains(PATH), "{health}");
}
