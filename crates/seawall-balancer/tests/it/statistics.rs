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

const SERVER: &str = "seawall,node1,";

#[test]
fn only_what_is_tried_again_counts_as_that() {
    let one = Upstream::start("one", Behaviour::Closes);
    let two = Upstream::start("two", Behaviour::Echoes);
    let balancer = Running::start(&[&one, &two], StickyMode::Route);
    let post = "POST / HTTP/1.1\r\nHost: test\r\nCookie: JSESSIONID=x.node1\r\n\
                Content-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(status(&exchange(balancer.port, post)), 502);
    assert_eq!(column(&balancer, SERVER, "eresp"), "1");
    assert_eq!(column(&balancer, SERVER, "wretr"), "0");
    assert_eq!(column(&balancer, "seawall,BACKEND,", "hrsp_5xx"), "1");
    balancer.until_well();
    assert_eq!(status(&balancer.get("JSESSIONID=x.node1").0), 200);
    assert_eq!(column(&balancer, SERVER, "wretr"), "1");
    assert_eq!(column(&balancer, "seawall,node2,", "wredis"), "1");
    assert_eq!(column(&balancer, "seawall,BACKEND,", "hrsp_2xx"), "1");
}

#[test]
fn bytes_are_those_that_came() {
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let one = Upstream::start("one", Behaviour::Says(chunks));
    let balancer = Running::start(&[&one], StickyMode::Route);
    balancer.get("");
    assert_eq!(column(&balancer, SERVER, "bout"), "5");
    one.behave(Behaviour::Says(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    ));
    balancer.get("");
    assert_eq!(column(&balancer, SERVER, "bout"), "8");
    one.behave(Behaviour::Says(
        "HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n",
    ));
    let head = "HEAD / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let answer = exchange(balancer.port, head);
    assert!(answer.contains("content-length: 700"), "{answer}");
    assert_eq!(column(&balancer, SERVER, "bout"), "8", "no body came");
}

#[test]
fn a_long_answer_that_breaks_off_counts_against_its_server() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf";
    let one = Upstream::start("one", Behaviour::Says(half));
    let balancer = Running::start(&[&one], StickyMode::Route);
    assert_eq!(balancer.get("").1, "half");
    assert_eq!(column(&balancer, SERVER, "eresp"), "1");
    assert_eq!(column(&balancer, SERVER, "scur"), "0");
}

#[test]
fn the_check_is_shown_as_it_went() {
    let one = Upstream::start("one", Behaviour::Echoes);
    let balancer = Running::unchecked(&[&one], StickyMode::Route, |config| {
        config.check.fall = u32::MAX;
        config.check.interval = std::time::Duration::from_millis(10);
    });
    balancer.until_state("UP", 1);
    one.answer_checks("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let deadline = std::time::Instant::now() + crate::support::LIMIT;
    while column(&balancer, SERVER, "check_code") != "500" {
        assert!(std::time::Instant::now() < deadline, "never checked");
    }
    assert_eq!(column(&balancer, SERVER, "check_status"), "L7STS");
    assert_eq!(column(&balancer, SERVER, "status"), "UP");
}

#[test]
fn a_switch_that_nobody_asked_for_counts_as_an_error() {
    let one = Upstream::start("one", Behaviour::Switches);
    let balancer = Running::start(&[&one], StickyMode::Route);
    assert_eq!(status(&balancer.get("").0), 502);
    assert_eq!(
        metric(&balancer, "seawall_balancer_failed_requests_total"),
        1
    );
}

#[test]
fn a_client_that_leaves_is_counted_and_holds_nothing() {
    let one = Upstream::start("one", Behaviour::Slow);
    let balancer = Running::start(&[&one], StickyMode::Route);
    let request = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let mut client = std::net::TcpStream::connect(("127.0.0.1", balancer.port)).unwrap();
    std::io::Write::write_all(&mut client, request).unwrap();
    let deadline = std::time::Instant::now() + crate::support::LIMIT;
    let until = |row: &str, name: &str, value: &str| {
        while column(&balancer, row, name) != value {
            assert!(
                std::time::Instant::now() < deadline,
                "{name} is never {value}"
            );
        }
    };
    until(SERVER, "scur", "1");
    drop(client);
    until("seawall,BACKEND,", "cli_abrt", "1");
    until(SERVER, "scur", "0");
    assert_eq!(metric(&balancer, "seawall_balancer_client_aborts_total"), 1);
    assert_eq!(
        column(&balancer, SERVER, "eresp"),
        "0",
        "that was not the server's fault"
    );
}

#[test]
fn the_documentation_lists_every_metric_with_its_kind() {
    let documentation = include_str!("../../../../docs/metrics.md");
    let one = Upstream::start("one", Behaviour::Echoes);
    let balancer = Running::start(&[&one], StickyMode::Route);
    let (_, metrics) = get(balancer.stats, "/metrics", "");
    let own = |line: &&str| line.starts_with("# TYPE seawall_balancer_");
    let types: Vec<_> = metrics.lines().filter(own).collect();
    for line in &types {
        let (name, kind) = line["# TYPE ".len()..].split_once(' ').unwrap();
        let row = format!("| `{name}` | {kind} |");
        assert!(documentation.contains(&row), "docs/metrics.md lacks {row}");
    }
    let listed = documentation.matches("| `seawall_balancer_").count();
    assert_eq!(
        listed,
        types.len(),
        "docs/metrics.md lists what is not there"
    );
}
