//! Connections that switch protocols.

use std::{
    io::{Read, Write},
    net::TcpStream,
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
