//! Draining a node, and its last moments.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use seawall_store::{Clock, SystemClock};
use serde_json::Value;

use crate::support::{ADMIN_TOKEN, TestNode, body, header, status};

fn ask(node: &TestNode, method: &str, path: &str, token: &str) -> String {
    let authorization = format!("Authorization: Bearer {token}");
    let head = format!("{method} {path} HTTP/1.1\r\n{authorization}\r\nContent-Length: 0");
    node.send(&head, "")
}

fn health(node: &TestNode) -> (u16, Value) {
    let answer = node.get("/.seawall/health");
    (
        status(&answer),
        serde_json::from_str(body(&answer)).unwrap(),
    )
}

fn until_well(node: &TestNode) {
    node.until("/.seawall/health", |answer| status(answer) == 200);
}

/// The head of the answer to a request on a connection that stays open.
fn visit(stream: &mut TcpStream) -> String {
    write!(stream, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = header(&head, "content-length").unwrap().parse().unwrap();
    stream.read_exact(&mut vec![0; length]).unwrap();
    head
}

#[test]
fn a_node_that_drains_says_so_and_still_answers() {
    let node = TestNode::start(&[]);
    until_well(&node);
    let drained = ask(&node, "POST", "/.seawall/drain", ADMIN_TOKEN);
    assert_eq!(body(&drained), "{\"draining\":true}");
    let (code, report) = health(&node);
    assert_eq!((code, &report["draining"]), (503, &true.into()));
    let mut stream = node.connect();
    let head = visit(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(
        head.contains("connection: close, x-seawall-draining\r\n"),
        "{head}"
    );
    assert!(head.contains("x-seawall-draining: 1\r\n"), "{head}");
    stream.read_to_end(&mut Vec::new()).unwrap();
    let ready = ask(&node, "POST", "/.seawall/ready", ADMIN_TOKEN);
    assert_eq!(body(&ready), "{\"draining\":false}");
    assert_eq!(health(&node).0, 200);
    assert_eq!(header(&node.get("/"), "x-seawall-draining"), None);
}

#[test]
fn only_who_shows_the_token_may_drain() {
    let node = TestNode::start(&[]);
    until_well(&node);
    for path in ["/.seawall/drain", "/.seawall/ready"] {
        for wrong in ["", "x", "0123456789abcdeF", "0123456789abcdef0"] {
            let answer = ask(&node, "POST", path, wrong);
            assert_eq!(status(&answer), 401, "{path} {wrong}");
            assert_eq!(header(&answer, "www-authenticate"), Some("Bearer"));
        }
        let answer = ask(&node, "GET", path, ADMIN_TOKEN);
        assert_eq!(
            (status(&answer), header(&answer, "allow")),
            (405, Some("POST"))
        );
    }
    assert_eq!(health(&node).0, 200, "nobody has drained it");
    let node = TestNode::start_with(&[], |config| config.admin_token = None);
    let answer = ask(&node, "POST", "/.seawall/drain", "");
    assert_eq!(status(&answer), 403);
    assert!(answer.contains("admin.token_file"), "{answer}");
}

#[test]
fn the_report_counts_requests_and_knows_time_and_memory() {
    let node = TestNode::start(&[]);
    until_well(&node);
    for _ in 0..3 {
        node.get("/");
    }
    // A connection counts until the node has seen that its client is gone.
    let only_this_one = |answer: &str| answer.contains("\"connections\":1,");
    node.until("/.seawall/health", only_this_one);
    let (_, report) = health(&node);
    assert_eq!(
        (&report["requests"], &report["in_flight"]),
        (&3.into(), &0.into())
    );
    assert!(
        report["memory_bytes"].as_u64().unwrap() > 1 << 20,
        "{report}"
    );
    let time = u64::try_from(SystemClock.now().as_millis()).unwrap();
    assert!(
        report["time_ms"].as_u64().unwrap().abs_diff(time) < 60_000,
        "{report}"
    );
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn a_node_that_is_asked_to_end_answers_and_says_that_it_leaves() {
    let node = TestNode::start_with(&[], |config| config.linger = LONG);
    until_well(&node);
    let mut stream = node.connect();
    assert!(visit(&mut stream).starts_with("HTTP/1.1 200"));
    node.shutdown.trigger();
    node.until("/.seawall/health", |answer| {
        answer.contains("\"draining\":true")
    });
    let made_ready = ask(&node, "POST", "/.seawall/ready", ADMIN_TOKEN);
    assert_eq!(status(&made_ready), 409, "it is too late for that");
    // One who was connected before, and one who comes now.
    for mut stream in [stream, node.connect()] {
        let head = visit(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("connection: close"), "{head}");
    }
    let asked = Instant::now();
    node.at_once.trigger();
    assert!(node.end());
    assert!(asked.elapsed() < LONG / 2, "the second word does not wait");
}

#[test]
fn a_node_ends_at_once_when_everybody_knows_already() {
    let node = TestNode::start_with(&[], |config| config.linger = LONG);
    let asked = Instant::now();
    assert!(node.end());
    assert!(asked.elapsed() < LONG / 2, "nobody has ever come");
    let linger = Duration::from_secs(2);
    let node = TestNode::start_with(&[], |config| config.linger = linger);
    until_well(&node);
    ask(&node, "POST", "/.seawall/drain", ADMIN_TOKEN);
    // Checks go on all the time.
    let drained = Instant::now();
    while drained.elapsed() < linger {
        assert_eq!(health(&node).0, 503);
    }
    let asked = Instant::now();
    assert!(node.end());
    assert!(
        asked.elapsed() < linger / 2,
        "it has drained for long enough"
    );
}
