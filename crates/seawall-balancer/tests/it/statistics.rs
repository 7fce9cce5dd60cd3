//! What the statistics say.

use seawall_balancer::StickyMode;

use crate::{
    server::{Behaviour, Upstream},
    support::{Running, get, status},
};

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
