//! Clients that send slowly, or not what they announced, and such as take nothing.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use seawall_balancer::StickyMode;

use crate::{
    server::{Behaviour, Upstream},
    support::{LIMIT, Running, status},
};

const SERVER: Duration = Duration::from_millis(600);
const CLIENT: Duration = Duration::from_millis(800);

fn one(behaviour: Behaviour) -> (Upstream, Running) {
    let one = Upstream::start("one", behaviour);
    let balancer = Running::unchecked(&[&one], StickyMode::Route, |config| {
        config.timeouts.server = SERVER;
        config.limits.idle_timeout = CLIENT;
    });
    balancer.until_state("UP", 1);
    (one, balancer)
}

fn send(balancer: &Running, request: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(("127.0.0.1", balancer.port)).unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    client.write_all(request).unwrap();
    client
}

fn answer(client: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

const HEAD: &str = "POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n";

#[test]
fn an_upload_takes_the_time_that_it_takes() {
    let (_one, balancer) = one(Behaviour::Echoes);
    let head = format!("{HEAD}Content-Length: 8\r\n\r\n");
    let mut client = send(&balancer, head.as_bytes());
    let started = Instant::now();
    for _ in 0..8 {
        client.write_all(b"a").unwrap();
        thread::sleep(SERVER / 4);
    }
    assert!(started.elapsed() > SERVER);
    let answer = answer(&mut client);
    assert_eq!(status(&answer), 200, "{answer}");
}

#[test]
fn a_client_that_stops_sending_is_told_and_the_server_is_not_blamed() {
    let (_one, balancer) = one(Behaviour::Echoes);
    let head = format!("{HEAD}Content-Length: 8\r\n\r\nabc");
    let answer = answer(&mut send(&balancer, head.as_bytes()));
    assert_eq!(status(&answer), 408, "{answer}");
    let report = crate::support::get(balancer.stats, "/health", "").1;
    assert!(report.contains("\"suspect\":false"), "{report}");
}

#[test]
fn a_body_that_is_none_is_refused_and_the_server_is_not_blamed() {
    let (_one, balancer) = one(Behaviour::Echoes);
    let head = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\nZZ\r\n");
    let answer = answer(&mut send(&balancer, head.as_bytes()));
    assert_eq!(status(&answer), 400, "{answer}");
    let report = crate::support::get(balancer.stats, "/health", "").1;
    assert!(report.contains("\"suspect\":false"), "{report}");
    assert!(report.contains("\"response_errors\":0"), "{report}");
}

#[test]
fn a_server_that_takes_nothing_of_an_upload_is_not_waited_for() {
    let (one, balancer) = one(Behaviour::Echoes);
    one.behave(Behaviour::Hangs);
    let head = format!("{HEAD}Content-Length: 8\r\n\r\nabcdefgh");
    let answer = answer(&mut send(&balancer, head.as_bytes()));
    assert_eq!(status(&answer), 504, "{answer}");
    one.behave(Behaviour::Echoes);
}

#[test]
fn a_server_that_hangs_in_its_answer_is_left_for_another() {
    let one = Upstream::start("one", Behaviour::Echoes);
    let two = Upstream::start("two", Behaviour::Echoes);
    let balancer = Running::start(&[&one, &two], StickyMode::Route);
    one.behave(Behaviour::Stalls);
    let started = Instant::now();
    let (_, body) = balancer.get("JSESSIONID=x.node1");
    assert!(body.starts_with("two\n"), "{body}");
    assert!(started.elapsed() < Duration::from_secs(5), "it waited");
    one.behave(Behaviour::Echoes);
}

#[test]
fn a_client_that_takes_nothing_is_left() {
    const SIZE: usize = 30_000_000;
    let body = "x".repeat(SIZE);
    let says = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n{body}");
    let (_one, balancer) = one(Behaviour::Says(says.leak()));
    let mut client = send(&balancer, b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    // It is closed in this time, or gets everything afterwards.
    thread::sleep(CLIENT * 5);
    assert!(answer(&mut client).len() < SIZE);
}

#[test]
fn a_server_that_answers_before_the_end_of_an_upload_is_heard() {
    let (one, balancer) = one(Behaviour::Refuses);
    for body in 0..50 {
        let size = 1_000_000 + body;
        let head = format!("{HEAD}Content-Length: {size}\r\n\r\n");
        let mut client = send(&balancer, head.as_bytes());
        // The balancer takes no more of it than it can pass on.
        let _ = client.write_all(&vec![b'x'; size]);
        let answer = answer(&mut client);
        assert_eq!(status(&answer), 413, "{body}: {answer}");
    }
    let report = crate::support::get(balancer.stats, "/health", "").1;
    assert!(report.contains("\"suspect\":false"), "{report}");
    assert_eq!(one.connections(), 50, "each was sent once");
}

#[test]
fn a_client_that_breaks_off_its_upload_while_it_is_answered_does_not_blame_the_server() {
    let (one, balancer) = one(Behaviour::Begins);
    let head = format!("{HEAD}Content-Length: 8\r\n\r\n");
    let mut client = send(&balancer, head.as_bytes());
    let mut answer = String::new();
    while !answer.ends_with("half") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        answer.push(byte[0].into());
    }
    drop(client);
    let deadline = Instant::now() + LIMIT;
    while one.open() > 0 {
        assert!(Instant::now() < deadline, "the server is let go");
        thread::yield_now();
    }
    let report = crate::support::get(balancer.stats, "/health", "").1;
    assert!(report.contains("\"suspect\":false"), "{report}");
}
