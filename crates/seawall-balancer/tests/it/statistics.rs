//! What the statistics say.

use seawall_balancer::StickyMode;

use crate::{
    server::{Behaviour, Upstream},
    support::{Running, exchange, get, status},
};

/// The value of a column in the row of the CSV that begins with `row`.
fn column(balancer: &Running, row: &str, column: &str) -> String {
    let (_, csv) = get(balancer.stats, "/stats;csv", "");
    let columns: Vec<_> = csv.split('\n').next().unwrap().split(',').collect();
    let index = columns.iter().position(|name| *name == column).unwrap();
    let row = csv.lines().find(|line| line.starts_with(row)).unwrap();
    row.split(',').nth(index).unwrap().to_owned()
}

fn metric(balancer: &Running, name: &str) -> u64 {
    let (_, metrics) = get(balancer.stats, "/metrics", "");
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn requests_that_the_parser_refuses_are_counted() {
    let one = Upstream::start("one", Behaviour::Echoes);
    let balancer = Running::start(&[&one], StickyMode::Route);
    let long = "x".repeat(300_000);
    let refused = [
        "nonsense\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        &format!("GET / HTTP/1.1\r\nHost: test\r\nX: {long}\r\n\r\n"),
    ];
    for request in refused {
        exchange(balancer.port, request);
    }
    balancer.get("");
    assert_eq!(column(&balancer, "seawall,FRONTEND,", "ereq"), "5");
    assert_eq!(column(&balancer, "seawall,FRONTEND,", "stot"), "6");
    assert_eq!(
        metric(&balancer, "seawall_balancer_request_errors_total"),
        5
    );
    assert_eq!(metric(&balancer, "seawall_balancer_http_requests_total"), 6);
    assert_eq!(
        metric(&balancer, "seawall_balancer_failed_requests_total"),
        0
    );
}

#[test]
fn requests_are_counted_where_they_went() {
    let one = Upstream::start("one", Behaviour::Echoes);
    let balancer = Running::start(&[&one], StickyMode::Route);
    for _ in 0..3 {
        balancer.get("");
    }
    let (_, csv) = get(balancer.stats, "/stats;csv", "");
    let mut lines = csv.lines();
    let header: Vec<_> = lines
        .next()
        .unwrap()
        .trim_start_matches("# ")
        .split(',')
        .collect();
    let row: Vec<_> = lines
        .find(|l| l.starts_with("seawall,node1,"))
        .unwrap()
        .split(',')
        .collect();
    let column = |name: &str| row[header.iter().position(|column| *column == name).unwrap()];
    assert_eq!(
        (column("status"), column("stot"), column("hrsp_2xx")),
        ("UP", "3", "3")
    );
    assert_eq!(
        (column("check_status"), column("check_code")),
        ("L7OK", "200")
    );
    let (_, metrics) = get(balancer.stats, "/metrics", "");
    assert!(metrics.contains("seawall_balancer_server_requests_total{server=\"node1\"} 3"));
    for line in [
        "seawall_balancer_server_response_seconds_bucket{server=\"node1\",le=\"+Inf\"} 3",
        "seawall_balancer_server_response_seconds_count{server=\"node1\"} 3",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    let (head, page) = get(balancer.stats, "/stats", "");
    assert_eq!(status(&head), 200);
    assert!(
        page.contains("content=\"30\"") && page.contains("node1"),
        "{page}"
    );
    assert_eq!(status(&get(balancer.stats, "/other", "").0), 404);
}
