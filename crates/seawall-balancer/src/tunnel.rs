//! Connections that switch protocols: WebSockets.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderValue, Response,
    header::{CONNECTION, UPGRADE},
};
use hyper::{
    body::Incoming,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    time::timeout,
};

use crate::{body::ResponseBody, in_flight::Passing};

const BUFFER_BYTES: usize = 16 * 1024;

/// Puts back the two fields that ask for a switch, or grant it.
pub(crate) fn ask(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Keeps the server's end of the connection with the response, until the client's is there.
pub(crate) fn keep_upgrade(
    mut response: Response<Incoming>,
    in_flight: Passing,
) -> Response<ResponseBody> {
    let upgrade = hyper::upgrade::on(&mut response);
    let mut response = response.map(|_| ResponseBody::whole(""));
    response
        .extensions_mut()
        .insert(ServerEnd(upgrade, Arc::new(in_flight)));
    response
}

/// The server's end of a tunnel, which is in flight for as long as the tunnel is open.
#[derive(Clone, Debug)]
struct ServerEnd(OnUpgrade, Arc<Passing>);

/// Joins the two ends once the response has gone out.
pub(crate) fn open(client: OnUpgrade, response: &mut Response<ResponseBody>, idle: Duration) {
    let Some(ServerEnd(server, in_flight)) = response.extensions_mut().remove() else {
        return;
    };
    tokio::task::spawn_local(async move {
        let (client, server) = match (client.await, server.await) {
            (Ok(client), Ok(server)) => (client, server),
            (Err(error), _) | (_, Err(error)) => {
                tracing::debug!(%error, "no tunnel");
                return;
            }
        };
        join(client, server, idle).await;
        drop(in_flight);
    });
}

async fn join(client: Upgraded, server: Upgraded, idle: Duration) {
    let (client_read, client_write) = tokio::io::split(TokioIo::new(client));
    let (server_read, server_write) = tokio::io::split(TokioIo::new(server));
    // When one side ends, or nothing moves on it, the other has no use either.
    tokio::select! {
        () = pass(client_read, server_write, idle) => {}
        () = pass(server_read, client_write, idle) => {}
    }
}

type Io = TokioIo<Upgraded>;

async fn pass(mut from: ReadHalf<Io>, mut to: WriteHalf<Io>, idle: Duration) {
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(Ok(count @ 1..)) = timeout(idle, from.read(&mut buffer)).await {
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
