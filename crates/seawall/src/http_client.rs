//! A small HTTP client for looking after nodes and balancers: one request, with a time limit.

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, Response, StatusCode,
    header::{AUTHORIZATION, CONNECTION, COOKIE, HOST},
    http::request,
};
use hyper_util::rt::TokioIo;
use seawall_node::AdminToken;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use crate::local;

/// The most bytes of an answer that are looked at.
const BODY_LIMIT: usize = 1 << 20;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpError {
    /// It came to nothing for another reason.
    #[error("{0}")]
    Failed(String),
    /// Nobody listens there.
    #[error("{0}")]
    Refused(String),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// Nothing comes back from the machine, or no way leads there.
    #[error("{0}")]
    Unreachable(String),
}

impl From<BoxError> for HttpError {
    fn from(error: BoxError) -> Self {
        use io::ErrorKind::{
            ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable, TimedOut,
        };
        let text = error.to_string();
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(ConnectionRefused) => Self::Refused(text),
            Some(HostUnreachable | NetworkDown | NetworkUnreachable | TimedOut) => {
                Self::Unreachable(text)
            }
            _ => Self::Failed(text),
        }
    }
}

/// Sends a GET request and gives status and body.
pub(crate) async fn get(
    address: SocketAddr,
    path: &str,
    limit: Duration,
) -> Result<(StatusCode, Bytes), HttpError> {
    let request = Request::get(path).header(HOST, address.to_string());
    let response = send(address, request, limit).await?;
    Ok((response.status(), response.into_body()))
}

/// What a browser asks for.
pub(crate) struct Visit<'a> {
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) cookies: &'a str,
    /// By TLS, of which a proxy takes care that speaks HTTP to the balancer, and says so.
    pub(crate) is_secure: bool,
}

/// Visits a page as a browser does, and gives the whole answer.
pub(crate) async fn visit(
    address: SocketAddr,
    visit: Visit<'_>,
    limit: Duration,
) -> Result<Response<Bytes>, HttpError> {
    let mut request = Request::get(visit.path).header(HOST, visit.host);
    if !visit.cookies.is_empty() {
        request = request.header(COOKIE, visit.cookies);
    }
    if visit.is_secure {
        request = request.header("X-Forwarded-Proto", "https");
    }
    send(address, request, limit).await
}

/// Sends an operator's request, without a body, and gives status and body.
pub(crate) async fn post(
    address: SocketAddr,
    path: &str,
    token: &AdminToken,
    limit: Duration,
) -> Result<(StatusCode, Bytes), HttpError> {
    let request = Request::post(path)
        .header(HOST, address.to_string())
        .header(AUTHORIZATION, format!("Bearer {}", token.secret()));
    let response = send(address, request, limit).await?;
    Ok((response.status(), response.into_body()))
}

async fn send(
    address: SocketAddr,
    request: request::Builder,
    limit: Duration,
) -> Result<Response<Bytes>, HttpError> {
    let request = request
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| HttpError::Failed(error.to_string()))?;
    let deadline = Instant::now() + limit;
    let stream = match timeout_at(deadline, TcpStream::connect(address)).await {
        Ok(stream) => stream.map_err(BoxError::from)?,
        // A machine takes connections for a process that hangs, unless too many wait already.
        Err(_) if local::is_here(address) => return Err(HttpError::Timeout(limit)),
        Err(_) => {
            return Err(HttpError::Unreachable(format!(
                "no connection within {limit:?}"
            )));
        }
    };
    match timeout_at(deadline, exchange(stream, request)).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(HttpError::Timeout(limit)),
    }
}

async fn exchange(
    stream: TcpStream,
    request: Request<Empty<Bytes>>,
) -> Result<Response<Bytes>, BoxError> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = AbortOnDrop(tokio::spawn(connection));
    let response = sender.send_request(request).await?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, BODY_LIMIT).collect().await?.to_bytes();
    drop(connection);
    Ok(Response::from_parts(head, body))
}

/// The connection is closed also when the time is up: a server that is asked again and again while
/// it hangs must not gather connections.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
