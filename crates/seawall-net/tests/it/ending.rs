//! The end of a server that is full, and of connections on which something still comes.

use std::time::Duration;

use seawall_net::ServeLimits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{DEADLINE, Server};

#[tokio::test]
async fn the_end_waits_for_no_slot_longer_than_the_grace_time() {
    let limits = ServeLimits {
        connections_max: 1,
        grace: Duration::from_millis(300),
        ..ServeLimits::default()
    };
    let server = Server::start(limits);
    let request = b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(request).await.unwrap();
    server.entered.notified().await;
    let mut waiting = TcpStream::connect(server.address).await.unwrap();
    waiting.write_all(request).await.unwrap();
    tokio::time::timeout(DEADLINE, server.stop())
        .await
        .expect("an end in time");
}

#[tokio::test]
async fn a_client_that_still_sends_gets_its_answer_and_no_reset() {
    const SIZE: usize = 20_000_000;
    let server = Server::start(ServeLimits::default());
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let head = format!("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n");
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&vec![b'x'; SIZE]).await.expect("no reset");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("no reset");
    assert!(answer.ends_with("early"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn who_sends_for_ever_is_left() {
    let server = Server::start(ServeLimits::default());
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /early HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000)).repeat(16);
    let send = async { while client.write_all(chunk.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(DEADLINE, send)
        .await
        .expect("an end in time");
    server.stop().await;
}
