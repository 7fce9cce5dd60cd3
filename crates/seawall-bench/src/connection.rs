//! One connection of the load: keep-alive, made again when it is lost.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const BODY_LIMIT: usize = 1 << 20;

/// A page to load, with its address looked up.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) uri: Uri,
    pub(crate) address: SocketAddr,
    pub(crate) method: Method,
}

/// An answer with status 200.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Keep-alive connections, one to each target.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: HashMap<SocketAddr, SendRequest<Empty<Bytes>>>,
}

impl Connections {
    /// Loads a page. The error is the kind under which it is counted.
    pub(crate) async fn get(
        &mut self,
        target: &Target,
        cookie: Option<&str>,
        limit: Duration,
    ) -> Result<Answer, String> {
        let answer = tokio::time::timeout(limit, self.try_get(target, cookie)).await;
        let answer = answer.unwrap_or_else(|_| Err("timeout".to_owned()));
        if answer.is_err() {
            self.open.remove(&target.address);
        }
        answer
    }

    async fn try_get(&mut self, target: &Target, cookie: Option<&str>) -> Result<Answer, String> {
        let mut sender = match self.reuse(target.address).await {
            Some(open) => open,
            None => connect(target.address).await?,
        };
        let response = match sender.send_request(request(target, cookie)?).await {
            // The server had closed the idle connection: nothing of the request was taken.
            Err(error) if error.is_canceled() => {
                sender = connect(target.address).await?;
                sender.send_request(request(target, cookie)?).await
            }
            response => response,
        };
        let (parts, body) = response.map_err(|error| kind(&error))?.into_parts();
        let body = Limited::new(body, BODY_LIMIT).collect().await;
        let body = body.map_err(|_| "answer cut off".to_owned())?.to_bytes();
        if parts.status != http::StatusCode::OK {
            return Err(format!("status {}", parts.status.as_u16()));
        }
        self.open.insert(target.address, sender);
        Ok(Answer {
            headers: parts.headers,
            body,
        })
    }
}

impl Connections {
    /// The open connection, if the server has not closed it meanwhile.
    async fn reuse(&mut self, address: SocketAddr) -> Option<SendRequest<Empty<Bytes>>> {
        let mut open = self.open.remove(&address)?;
        open.ready().await.is_ok().then_some(open)
    }
}

fn request(target: &Target, cookie: Option<&str>) -> Result<Request<Empty<Bytes>>, String> {
    let host = target
        .uri
        .authority()
        .map_or("", |authority| authority.as_str());
    let path = target
        .uri
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let mut request = Request::builder()
        .method(target.method.clone())
        .uri(path)
        .header(header::HOST, host);
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, cookie);
    }
    request
        .body(Empty::new())
        .map_err(|_| "unusable cookie".to_owned())
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Empty<Bytes>>, String> {
    let failed = |error: std::io::Error| format!("connect: {}", error.kind());
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| kind(&error))?;
    tokio::spawn(connection);
    Ok(sender)
}

fn kind(error: &hyper::Error) -> String {
    let text = if error.is_parse() {
        "unreadable answer"
    } else if error.is_incomplete_message() {
        "closed without an answer"
    } else {
        "connection reset"
    };
    text.to_owned()
}
