//! Connections that switch protocols.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use seawall_balancer::StickyMode;

use crate::{
    server::{Behaviour, Upstream},
    support::{LIMIT, Running},
};

/// A client's end of a tunnel that is open.
pub(crate) fn open(balancer: &Running) -> TcpStream {
    let mut client = TcpStream::connect(("127.0.0.1", balancer.port)).unwrap();
    client.set_read_timeout(Some(LIMIT)).unwrap();
    client
        .write_all(
            b"GET /ws HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n",
        )
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 101") && head.contains("upgrade: echo"),
        "{head}"
    );
    client
}

#[test]
fn bytes_pass_both_ways_after_a_switch() {
    let one = Upstream::start("one", Behaviour::Switches);
    let balancer = Running::start(&[&one], StickyMode::Route);
    let mut client = open(&balancer);
    for message in ["hello", "again"] {
        client.write_all(message.as_bytes()).unwrap();
        let mut answer = [0; 5];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, message.as_bytes());
    }
}

#[test]
fn who_has_said_all_gets_the_rest_of_the_answer() {
    let one = Upstream::start("one", Behaviour::Switches);
    let balancer = Running::start(&[&one], StickyMode::Route);
    let mut client = open(&balancer);
    let mut writing = client.try_clone().unwrap();
    let sent = thread::spawn(move || {
        writing.write_all(&vec![b'x'; 2_000_000]).unwrap();
        writing.shutdown(Shutdown::Write).unwrap();
    });
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    sent.join().unwrap();
    assert_eq!(answer.len(), 2_000_000);
}

#[test]
fn a_tunnel_is_idle_when_nothing_moves_either_way() {
    const IDLE: Duration = Duration::from_millis(500);
    let one = Upstream::start("one", Behaviour::Ticks);
    let balancer = Running::unchecked(&[&one], StickyMode::Route, |config| {
        config.timeouts.tunnel = IDLE;
    });
    balancer.until_state("UP", 1);
    let mut client = open(&balancer);
    let started = Instant::now();
    while started.elapsed() < IDLE * 3 {
        client.read_exact(&mut [0]).unwrap();
    }
    one.behave(Behaviour::Switches);
    let mut silent = open(&balancer);
    assert_eq!(silent.read(&mut [0]).unwrap(), 0, "it is closed");
}

#[test]
fn a_server_that_has_said_all_still_hears_the_client() {
    const SIZE: usize = 20_000_000;
    let one = Upstream::start("one", Behaviour::Listens);
    let balancer = Running::start(&[&one], StickyMode::Route);
    let mut client = open(&balancer);
    let mut writing = client.try_clone().unwrap();
    let sent = thread::spawn(move || {
        writing.write_all(&vec![b'x'; SIZE]).unwrap();
        writing.shutdown(Shutdown::Write).unwrap();
    });
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "it has said all");
    sent.join().unwrap();
    let deadline = Instant::now() + LIMIT;
    // The head that asked for the switch comes before what was said in the tunnel.
    while one.requests().len() < 2 {
        assert!(Instant::now() < deadline, "it never heard the end");
    }
    assert_eq!(one.requests()[1].len(), SIZE);
}

#[test]
fn a_tunnel_to_a_server_that_has_gone_ends() {
    let one = Upstream::start("one", Behaviour::Leaves);
    let balancer = Running::start(&[&one], StickyMode::Route);
    let mut client = open(&balancer);
    let deadline = Instant::now() + LIMIT;
    while client.write_all(b".").is_ok() {
        assert!(Instant::now() < deadline, "what nobody takes is taken");
        thread::sleep(Duration::from_millis(10));
    }
}
