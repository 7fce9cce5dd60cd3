//! Servers that refuse, break off and hang.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use seawall_balancer::StickyMode;

use crate::{
    server::{Behaviour, Upstream},
    support::{LIMIT, Running, exchange, get, status},
};

const POST: &str =
    "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nConnection: close\r\n\r\na=1";

const STORE_AWAY: &str =
    "HTTP/1.1 503 No\r\nContent-Length: 33\r\n\r\n{\"store\":\"down\",\"draining\":false}";

fn two(first: Behaviour) -> (Upstream, Upstream, Running) {
    let one = Upstream::start("one", first);
    let two = Upstream::start("two", Behaviour::Echoes);
    let balancer = Running::start(&[&one, &two], StickyMode::Route);
    (one, two, balancer)
}

#[test]
fn a_refused_connection_goes_to_the_next_server_at_once_whatever_the_method() {
    let (one, _two, balancer) = two(Behaviour::Echoes);
    one.end();
    for request in [
        POST,
        "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    ] {
        let started = Instant::now();
        let answer = exchange(balancer.port, request);
        assert!(answer.contains("\r\n\r\ntwo\n"), "{answer}");
        assert!(started.elapsed() < Duration::from_secs(1), "it waited");
    }
    balancer.until_state("DOWN", 1);
}

#[test]
fn a_safe_request_that_is_broken_off_is_sent_to_another_server() {
    for behaviour in [Behaviour::Closes, Behaviour::BreaksOff] {
        let (_one, _two, balancer) = two(behaviour);
        for _ in 0..6 {
            let (head, body) = balancer.get("JSESSIONID=x.node1");
            assert_eq!(status(&head), 200, "{behaviour:?}: {head}");
            assert!(body.starts_with("two\n"), "{behaviour:?}: {body}");
        }
    }
}

#[test]
fn a_request_that_may_have_taken_effect_is_not_sent_again() {
    let (one, two, balancer) = two(Behaviour::Closes);
    let request = POST.replace("Host: test", "Host: test\r\nCookie: JSESSIONID=x.node1");
    let answer = exchange(balancer.port, &request);
    assert_eq!(status(&answer), 502, "{answer}");
    assert_eq!((one.requests().len(), two.requests().len()), (1, 0));
}

#[test]
fn a_hung_server_costs_one_deadline() {
    let (one, _two, balancer) = two(Behaviour::Echoes);
    one.behave(Behaviour::Hangs);
    let started = Instant::now();
    let (_, body) = balancer.get("JSESSIONID=x.node1");
    assert!(body.starts_with("two\n"), "{body}");
    let waited = started.elapsed();
    assert!(
        waited >= Duration::from_millis(300) && waited < Duration::from_secs(5),
        "{waited:?}"
    );
    one.behave(Behaviour::Echoes);
}

#[test]
fn a_slow_page_on_a_living_server_is_waited_for() {
    let (one, _two, balancer) = two(Behaviour::Slow);
    let (head, body) = balancer.get("JSESSIONID=x.node1");
    assert_eq!(status(&head), 200);
    assert!(body.starts_with("one\n"), "{body}");
    assert_eq!(one.requests().len(), 1, "it was done twice");
}

#[test]
fn without_any_server_the_client_is_told_so() {
    let gone = Upstream::start("gone", Behaviour::Echoes);
    gone.end();
    let balancer = Running::unchecked(&[&gone], StickyMode::Route, |_| ());
    let (head, body) = balancer.get("");
    assert_eq!(status(&head), 503);
    assert!(
        head.contains("retry-after: 1") && body.contains("No server"),
        "{head}\n{body}"
    );
}

#[test]
fn a_server_gets_no_traffic_before_its_first_good_check() {
    let one = Upstream::start("one", Behaviour::Echoes);
    let two = Upstream::start("two", Behaviour::Echoes);
    two.answer_checks("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let balancer = Running::unchecked(&[&one, &two], StickyMode::Route, |_| ());
    balancer.until_state("UP", 1);
    for _ in 0..6 {
        assert!(balancer.get("JSESSIONID=x.node2").1.starts_with("one\n"));
    }
    assert_eq!(two.requests().len(), 0);
}

#[test]
fn a_sick_store_takes_no_server_out_and_a_drain_moves_clients() {
    let (one, _two, balancer) = two(Behaviour::Echoes);
    one.answer_checks(STORE_AWAY);
    for _ in 0..20 {
        assert!(balancer.get("JSESSIONID=x.node1").1.starts_with("one\n"));
    }
    one.answer_checks(
        "HTTP/1.1 503 No\r\nContent-Length: 30\r\n\r\n{\"store\":\"up\",\"draining\":true}",
    );
    balancer.until_state("DRAIN", 1);
    assert!(balancer.get("JSESSIONID=x.node1").1.starts_with("two\n"));
}

/// It is the way to the store that is cut then, and who stays there gets nothing.
#[test]
fn clients_of_a_server_that_alone_has_no_store_move_to_another_one() {
    let one = Upstream::start("one", Behaviour::Echoes);
    let two = Upstream::start("two", Behaviour::Echoes);
    let balancer = Running::unchecked(&[&one, &two], StickyMode::Route, |config| {
        config.check.interval = Duration::from_millis(100);
    });
    balancer.until_state("UP", 2);
    let who = || balancer.get("JSESSIONID=x.node1").1;
    one.answer_checks(STORE_AWAY);
    let deadline = Instant::now() + LIMIT;
    while !who().starts_with("two\n") {
        assert!(Instant::now() < deadline, "never moved");
    }
    let (_, health) = get(balancer.stats, "/health", "");
    assert_eq!(health.matches("\"store_away\":true").count(), 1, "{health}");
    two.answer_checks(STORE_AWAY);
    while !who().starts_with("one\n") {
        assert!(Instant::now() < deadline, "nobody is better");
    }
}

#[test]
fn a_request_that_ends_its_server_does_not_end_all_of_them() {
    let servers: Vec<_> = ["one", "two", "three", "four", "five"]
        .map(|name| Upstream::start(name, Behaviour::Slow))
        .into();
    let balancer = Running::start(&servers.iter().collect::<Vec<_>>(), StickyMode::None);
    // So that there are many idle connections, each of which could be tried.
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| balancer.get(""));
        }
    });
    for server in &servers {
        server.behave(Behaviour::Closes);
    }
    let before: usize = servers.iter().map(|server| server.requests().len()).sum();
    let (head, _) = balancer.get("");
    let after: usize = servers.iter().map(|server| server.requests().len()).sum();
    assert_eq!(status(&head), 502, "{head}");
    assert!(after - before <= 6, "sent {} times", after - before);
}

#[test]
fn nobody_waits_for_the_upload_of_another_client() {
    let one = Upstream::start("one", Behaviour::AnswersEarly);
    let balancer = Running::start(&[&one], StickyMode::Route);
    let mut slow = TcpStream::connect(("127.0.0.1", balancer.port)).unwrap();
    slow.set_read_timeout(Some(LIMIT)).unwrap();
    slow.write_all(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\na")
        .unwrap();
    let mut start = [0; 12];
    slow.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    one.behave(Behaviour::Echoes);
    let started = Instant::now();
    assert_eq!(status(&balancer.get("").0), 200);
    assert!(started.elapsed() < Duration::from_secs(5), "it waited");
    drop(slow);
}

#[test]
fn connections_are_kept_after_requests_with_a_body_and_long_answers() {
    let one = Upstream::start("one", Behaviour::Echoes);
    let balancer = Running::start(&[&one], StickyMode::Route);
    let body = "x".repeat(100_000);
    let post = format!(
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    for _ in 0..20 {
        assert_eq!(status(&exchange(balancer.port, POST)), 200);
        assert_eq!(status(&exchange(balancer.port, &post)), 200);
    }
    assert_eq!(one.requests().len(), 40);
    assert_eq!(one.connections(), 1);
}

/// The balancer's workers end at different times, and one of them runs the checks.
#[test]
fn a_slow_page_is_waited_for_while_the_balancer_ends() {
    let slow = || {
        let one = Upstream::start("one", Behaviour::Slow);
        let two = Upstream::start("two", Behaviour::Slow);
        let balancer = Running::unchecked(&[&one, &two], StickyMode::Route, |config| {
            config.workers = 2;
        });
        balancer.until_state("UP", 2);
        let mut client = TcpStream::connect(("127.0.0.1", balancer.port)).unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        let request = b"GET / HTTP/1.1\r\nHost: test\r\nCookie: JSESSIONID=x.node1\r\n\r\n";
        client.write_all(request).unwrap();
        let deadline = Instant::now() + LIMIT;
        while one.requests().is_empty() {
            assert!(Instant::now() < deadline, "it never came");
        }
        balancer.end();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(status(&answer), 200, "{answer}");
        assert!(answer.contains("one\n"), "{answer}");
        assert_eq!(two.requests(), [""; 0], "it was done twice");
    };
    // Each has the worker that runs the checks by chance.
    thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(slow))));
}

#[test]
fn a_server_that_has_just_come_back_says_nothing_of_the_store_of_others() {
    let one = Upstream::start("one", Behaviour::Echoes);
    let two = Upstream::start("two", Behaviour::Echoes);
    two.answer_checks("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
    let interval = Duration::from_millis(500);
    let balancer = Running::unchecked(&[&one, &two], StickyMode::Route, |config| {
        config.check.interval = interval;
    });
    balancer.until_state("DOWN", 1);
    one.answer_checks(STORE_AWAY);
    thread::sleep(interval * 5);
    two.answer_checks("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    balancer.until_state("UP", 2);
    // It has not asked the store yet, which may be away for it too.
    let who = || balancer.get("JSESSIONID=x.node1").1;
    assert!(who().starts_with("one\n"), "{}", who());
    let deadline = Instant::now() + LIMIT;
    while !who().starts_with("two\n") {
        assert!(Instant::now() < deadline, "never moved");
    }
}

#[test]
fn however_many_wait_for_a_server_its_checks_stay_apart() {
    let one = Upstream::start("one", Behaviour::Slow);
    let balancer = Running::unchecked(&[&one], StickyMode::Route, |config| {
        config.check.fast_interval = Duration::from_millis(100);
    });
    balancer.until_state("UP", 1);
    let before = one.checks();
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..60 {
            scope.spawn(|| balancer.get(""));
            thread::sleep(Duration::from_millis(20));
        }
    });
    let most = usize::try_from(started.elapsed().as_millis() / 100).unwrap() + 2;
    let checks = one.checks() - before;
    assert!(
        checks <= most,
        "checked {checks} times in {:?}",
        started.elapsed()
    );
}

/// Each client is counted on to take one connection to a server, wherever it goes.
#[test]
fn clients_that_go_to_another_server_leave_no_connections_behind() {
    const CLIENTS: usize = 10;
    let servers = ["one", "two", "three"].map(|name| Upstream::start(name, Behaviour::Slow));
    let all: Vec<_> = servers.iter().collect();
    let balancer = Running::unchecked(&all, StickyMode::Route, |config| {
        config.limits.connections_max = CLIENTS;
    });
    balancer.until_state("UP", 3);
    for node in 1..=3 {
        let cookie = format!("JSESSIONID=x.node{node}");
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| assert_eq!(status(&balancer.get(&cookie).0), 200));
            }
        });
    }
    let open = || servers.iter().map(Upstream::open).sum::<usize>();
    let deadline = Instant::now() + LIMIT;
    while open() > CLIENTS {
        assert!(Instant::now() < deadline, "{} are open", open());
    }
}

#[test]
fn a_server_without_a_port_is_refused() {
    let any = "127.0.0.1:0".parse().unwrap();
    let server = seawall_balancer::ServerConfig {
        name: "one".into(),
        address: "[::1]:0".parse().unwrap(),
        weight: 1,
    };
    let config = seawall_balancer::BalancerConfig::new(any, any, vec![server]);
    let error = seawall_balancer::Balancer::bind(config).unwrap_err();
    assert!(error.to_string().contains("port 0"), "{error}");
}
