//! The end of a server that is full.

use std::time::Duration;

use seawall_net::ServeLimits;
use tokio::{io::AsyncWriteExt, net::TcpStream};

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
