//! Clients stay with their server, and stay where they moved.

use seawall_balancer::StickyMode;

use crate::{
    server::{Behaviour, Upstream},
    support::Running,
};

fn two(sticky: StickyMode) -> (Upstream, Upstream, Running) {
    let one = Upstream::start("one", Behaviour::Echoes);
    let two = Upstream::start("two", Behaviour::Echoes);
    let balancer = Running::start(&[&one, &two], sticky);
    (one, two, balancer)
}

fn served_by(balancer: &Running, cookie: &str) -> Vec<String> {
    let server = |_| {
        balancer
            .get(cookie)
            .1
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    (0..4).map(server).collect()
}

#[test]
fn route_follows_the_suffix() {
    let (_one, _two, balancer) = two(StickyMode::Route);
    assert_eq!(served_by(&balancer, "JSESSIONID=abc.node2"), ["two"; 4]);
    assert_eq!(served_by(&balancer, "JSESSIONID=abc.node1"), ["one"; 4]);
    assert_eq!(
        served_by(&balancer, "")
            .iter()
            .filter(|name| *name == "one")
            .count(),
        2
    );
}

#[test]
fn prefix_is_added_and_taken_away_and_remembers_who_moved() {
    let (one, two, balancer) = two(StickyMode::Prefix);
    let (head, _) = balancer.get("JSESSIONID=node1~abc; a=1");
    assert!(
        head.contains("set-cookie: JSESSIONID=node1~abc.one; Path=/; HttpOnly"),
        "{head}"
    );
    assert!(
        one.requests()[0]
            .to_lowercase()
            .contains("cookie: jsessionid=abc; a=1")
    );
    one.end();
    balancer.until_state("DOWN", 1);
    assert_eq!(served_by(&balancer, "JSESSIONID=node1~abc"), ["two"; 4]);
    assert!(two.requests().iter().all(|request| !request.contains('~')));
}

#[test]
fn insert_sets_a_cookie_of_its_own_once() {
    let (_one, two, balancer) = two(StickyMode::Insert);
    let (head, _) = balancer.get("");
    assert!(
        head.contains("set-cookie: SEAWALLSRV=node1; path=/; HttpOnly"),
        "{head}"
    );
    assert_eq!(served_by(&balancer, "SEAWALLSRV=node2; a=1"), ["two"; 4]);
    let (head, _) = balancer.get("SEAWALLSRV=node2");
    assert!(!head.contains("SEAWALLSRV"), "{head}");
    assert!(
        two.requests()
            .iter()
            .all(|request| !request.contains("SEAWALLSRV"))
    );
}

#[test]
fn none_goes_round() {
    let (_one, _two, balancer) = two(StickyMode::None);
    let names = served_by(&balancer, "JSESSIONID=abc.node2");
    assert_eq!(names.iter().filter(|name| *name == "two").count(), 2);
}
