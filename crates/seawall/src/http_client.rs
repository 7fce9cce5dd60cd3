//! A small HTTP client for looking after nodes and balancers: one request, with a time limit.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use seawall_node::AdminToken;
use tokio::net::TcpStream;

/// The most bytes of an answer that are looked at.
const BODY_LIMIT: usize = 1 << 20;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Sends a GET request and gives status and body.
pub(crate) async fn get(
    address: SocketAddr,
    path: &str,
    limit: Duration,
) -> Result<(StatusCode, Bytes), String> {
    send(address, Method::GET, path, None, limit).await
}

/// Sends an operator's request, without a body, and gives status and body.
pub(crate) async fn post(
    address: SocketAddr,
    path: &str,
    token: &AdminToken,
    limit: Duration,
) -> Result<(StatusCode, Bytes), String> {
    send(address, Method::POST, path, Some(token), limit).await
}

async fn send(
    address: SocketAddr,
    method: Method,
    path: &str,
    token: Option<&AdminToken>,
    limit: Duration,
) -> Result<(StatusCode, Bytes), String> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address.to_string())
        .header("connection", "close");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {}", token.secret()));
    }
    let request = request
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    match tokio::time::timeout(limit, exchange(address, request)).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}

async fn exchange(
    address: SocketAddr,
    request: Request<Empty<Bytes>>,
) -> Result<(StatusCode, Bytes), BoxError> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = AbortOnDrop(tokio::spawn(connection));
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), BODY_LIMIT)
        .collect()
        .await?
        .to_bytes();
    drop(connection);
    Ok((status, body))
}

/// The connection is closed also when the time is up: a server that is asked again and again while
/// it hangs must not gather connections.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
