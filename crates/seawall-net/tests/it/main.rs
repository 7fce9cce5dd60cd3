//! The server over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod ending;
mod refused;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use seawall_net::{Listeners, ServeLimits, Shutdown, Workers, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const DEADLINE: Duration = Duration::from_secs(20);

struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    workers: Workers,
    entered: Arc<Notify>,
    release: Arc<Notify>,
}

impl Server {
    fn start(limits: ServeLimits) -> Self {
        let listeners = Listeners::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let address = listeners.local_addr();
        let listeners = Mutex::new(listeners.into_vec());
        let shutdown = Shutdown::new();
        let entered = Arc::new(Notify::new());
        let release = Arc::new(Notify::new());
        let (ending, enter, leave) = (shutdown.clone(), entered.clone(), release.clone());
        let workers = Workers::spawn("http", 1, move |_| {
            let listener = listeners.lock().unwrap().pop().unwrap();
            let (limits, ending) = (limits.clone(), ending.clone());
            let (enter, leave) = (enter.clone(), leave.clone());
            async move {
                let service = move |_| {
                    let (enter, leave) = (enter.clone(), leave.clone());
                    service_fn(move |request| answer(request, enter.clone(), leave.clone()))
                };
                serve(listener, limits, ending, service).await.unwrap();
            }
        })
        .unwrap();
        Self {
            address,
            shutdown,
            workers,
            entered,
            release,
        }
    }

    async fn exchange(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        read_to_end(&mut stream).await
    }

    async fn stop(self) {
        self.shutdown.trigger();
        tokio::task::spawn_blocking(|| self.workers.join().unwrap())
            .await
            .unwrap();
    }
}

async fn answer(
    request: Request<Incoming>,
    entered: Arc<Notify>,
    release: Arc<Notify>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/early" {
        return Ok(Response::new(Full::new(Bytes::from_static(b"early"))));
    }
    if request.uri().path() == "/slow" {
        entered.notify_one();
        release.notified().await;
    }
    let body = request
        .into_body()
        .collect()
        .await
        .map(|body| body.to_bytes());
    Ok(Response::new(Full::new(body.unwrap_or_default())))
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(DEADLINE, read)
        .await
        .expect("an end in time");
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn answers_and_keeps_alive() {
    let server = Server::start(ServeLimits::default());
    let two = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
               GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = server.exchange(two).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    assert!(answer.contains("abc"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn refuses_a_length_given_twice() {
    let server = Server::start(ServeLimits::default());
    for fields in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3\r\nContent-Length: 4",
        "Transfer-Encoding: gzip",
        "Content-Length: +3",
        "Content-Length: 3\r\n folded: yes",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n");
        let answer = server.exchange(&request).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{fields}: {answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_slow_head_gets_408_and_an_idle_connection_just_ends() {
    let limits = ServeLimits {
        header_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(100),
        ..ServeLimits::default()
    };
    let server = Server::start(limits);
    let answer = server.exchange("GET / HTTP/1.1\r\nHos").await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let length = answer.split("\r\n\r\n").nth(1).unwrap().len();
    assert!(
        answer.contains(&format!("content-length: {length}\r\n")),
        "{answer}"
    );
    assert_eq!(server.exchange("").await, "");
    server.stop().await;
}

#[tokio::test]
async fn shutdown_finishes_what_is_in_flight() {
    let server = Server::start(ServeLimits::default());
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    server.entered.notified().await;
    server.shutdown.trigger();
    assert_eq!(read_to_end(&mut idle).await, "");
    server.release.notify_one();
    let answer = read_to_end(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    server.stop().await;
}

/// A client whose connection was made just before the end, and who says what it wants just after.
/// It believes that it is connected: the kernel has said so.
#[tokio::test]
async fn shutdown_serves_a_client_that_waits_to_be_accepted() {
    let listeners = Listeners::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
    let mut stream = TcpStream::connect(listeners.local_addr()).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let listeners = Mutex::new(listeners.into_vec());
    let workers = Workers::spawn("http", 1, move |_| {
        let listener = listeners.lock().unwrap().pop().unwrap();
        let shutdown = Shutdown::new();
        shutdown.trigger();
        async move {
            let service = |_| service_fn(|request| answer(request, Arc::default(), Arc::default()));
            let served = serve(listener, ServeLimits::default(), shutdown, service);
            served.await.unwrap();
        }
    });
    let answered = read_to_end(&mut stream).await;
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    let joined = tokio::task::spawn_blocking(|| workers.unwrap().join());
    joined.await.unwrap().unwrap();
}

#[tokio::test]
async fn shutdown_waits_for_the_request_of_a_new_connection() {
    let server = Server::start(ServeLimits::default());
    let mut earlier = TcpStream::connect(server.address).await.unwrap();
    let mut late = TcpStream::connect(server.address).await.unwrap();
    // Once the first is answered, the server has accepted both, or has the second in its queue.
    earlier
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(
        read_to_end(&mut earlier)
            .await
            .starts_with("HTTP/1.1 200 OK")
    );
    server.shutdown.trigger();
    tokio::time::sleep(Duration::from_millis(100)).await;
    late.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let answer = read_to_end(&mut late).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    server.stop().await;
}

/// A client that was answered just before the end, and sends its next request just after.
#[tokio::test]
async fn shutdown_waits_for_the_next_request_of_a_client_that_was_just_answered() {
    let server = Server::start(ServeLimits::default());
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    client.write_all(request).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("abc") {
        let mut part = [0; 1024];
        let count = client.read(&mut part).await.unwrap();
        answer.push_str(std::str::from_utf8(&part[..count]).unwrap());
    }
    assert!(!answer.contains("connection: close"), "{answer}");
    server.shutdown.trigger();
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.write_all(&request[..20]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.write_all(&request[20..]).await.unwrap();
    let answer = read_to_end(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn the_grace_time_is_bounded() {
    let limits = ServeLimits {
        grace: Duration::from_millis(50),
        ..ServeLimits::default()
    };
    let server = Server::start(limits);
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    busy.write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    server.entered.notified().await;
    tokio::time::timeout(DEADLINE, server.stop())
        .await
        .expect("an end in time");
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_their_turn() {
    let limits = ServeLimits {
        connections_max: 1,
        ..ServeLimits::default()
    };
    let server = Server::start(limits);
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first
        .write_all(b"GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    server.entered.notified().await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut second = Box::pin(server.exchange(request));
    let early = tokio::time::timeout(Duration::from_millis(100), &mut second).await;
    assert!(early.is_err(), "served over the limit");
    server.release.notify_one();
    assert!(read_to_end(&mut first).await.starts_with("HTTP/1.1 200 OK"));
    assert!(second.await.starts_with("HTTP/1.1 200 OK"));
    server.stop().await;
}
