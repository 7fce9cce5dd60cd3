//! What is told of requests that no service sees.

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;
use seawall_net::{Refused, ServeLimits, Shutdown, Workers, serve_noting};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{DEADLINE, read_to_end};

fn start(shutdown: &Shutdown) -> (SocketAddr, Workers, Receiver<Refused>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (telling, told) = channel();
    let shutdown = shutdown.clone();
    let workers = Workers::spawn("http", 1, move |_| {
        let listener = listener.try_clone().unwrap();
        let (shutdown, telling) = (shutdown.clone(), telling.clone());
        let limits = ServeLimits {
            header_timeout: Duration::from_millis(200),
            ..ServeLimits::default()
        };
        async move {
            let service = |_: &_| {
                service_fn(async |_| {
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
                })
            };
            let note = move |refused| telling.send(refused).unwrap();
            serve_noting(listener, limits, shutdown, service, note)
                .await
                .unwrap();
        }
    });
    (address, workers.unwrap(), told)
}

#[tokio::test]
async fn each_request_that_no_service_sees_is_told_of_once_with_its_status() {
    let shutdown = Shutdown::new();
    let (address, workers, told) = start(&shutdown);
    let (long, longer) = ("x".repeat(70_000), "x".repeat(300_000));
    for (request, status) in [
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nBad Name: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nX: \0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHos", 408),
        (&format!("GET /{long} HTTP/1.1\r\n\r\n"), 414),
        (&format!("GET / HTTP/1.1\r\nX: {longer}\r\n\r\n"), 431),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            501,
        ),
        (
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            400,
        ),
        ("GET / HTTP/1.1\r\n\r\nnonsense\r\n\r\n", 400),
    ] {
        let mut client = TcpStream::connect(address).await.unwrap();
        // One that is too long may be cut off.
        let _ = client.write_all(request.as_bytes()).await;
        let answer = read_to_end(&mut client).await;
        assert!(answer.contains(&format!("HTTP/1.1 {status} ")), "{answer}");
        let refused = told.recv_timeout(DEADLINE).unwrap();
        assert_eq!(refused.status.as_u16(), status, "{refused:?}");
        assert_eq!(refused.client, client.local_addr().unwrap());
    }
    let mut gone = TcpStream::connect(address).await.unwrap();
    gone.write_all(b"GET / HTTP/1.1\r\nHos").await.unwrap();
    drop(gone);
    assert_eq!(told.recv_timeout(DEADLINE).unwrap().status.as_u16(), 400);
    let mut well = TcpStream::connect(address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    well.write_all(request).await.unwrap();
    assert!(read_to_end(&mut well).await.ends_with("ok"));
    drop(TcpStream::connect(address).await.unwrap());
    shutdown.trigger();
    tokio::task::spawn_blocking(|| workers.join().unwrap())
        .await
        .unwrap();
    assert!(told.try_recv().is_err(), "neither was refused");
}
