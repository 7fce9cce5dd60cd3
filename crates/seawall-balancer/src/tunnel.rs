//! Connections that switch protocols: WebSockets.

use std::{cell::Cell, io, pin::pin, sync::Arc, time::Duration};

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
    time::{Instant, timeout_at},
};

use crate::{body::ResponseBody, in_flight::Passing, pool::Place};

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
    place: Place,
) -> Response<ResponseBody> {
    let upgrade = hyper::upgrade::on(&mut response);
    let mut response = response.map(|_| ResponseBody::whole(""));
    response
        .extensions_mut()
        .insert(ServerEnd(upgrade, Arc::new((in_flight, place))));
    response
}

/// The server's end of a tunnel, which is in flight, and a connection, for as long as it is open.
#[derive(Clone, Debug)]
struct ServerEnd(OnUpgrade, Arc<(Passing, Place)>);

/// Joins the two ends once the response has gone out.
pub(crate) fn open(client: OnUpgrade, response: &mut Response<ResponseBody>, idle: Duration) {
    let Some(ServerEnd(server, held)) = response.extensions_mut().remove() else {
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
        drop(held);
    });
}

async fn join(client: Upgraded, server: Upgraded, idle: Duration) {
    let (client_read, client_write) = tokio::io::split(TokioIo::new(client));
    let (server_read, server_write) = tokio::io::split(TokioIo::new(server));
    let moved = Moved::default();
    // One way may end before the other: who has said all still listens. A way that breaks ends both.
    let _ = tokio::try_join!(
        pass(client_read, server_write, idle, &moved),
        pass(server_read, client_write, idle, &moved),
    );
}

/// When anything moved last, in whichever direction.
#[derive(Debug)]
struct Moved(Cell<Instant>);

impl Default for Moved {
    fn default() -> Self {
        Self(Cell::new(Instant::now()))
    }
}

impl Moved {
    fn now(&self) {
        self.0.set(Instant::now());
    }

    /// What comes of `work`, unless nothing moves for so long.
    async fn before_idle<T>(
        &self,
        idle: Duration,
        work: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let mut work = pin!(work);
        loop {
            let end = self.0.get() + idle;
            match timeout_at(end, work.as_mut()).await {
                Ok(done) => return done,
                Err(_) if self.0.get() + idle <= Instant::now() => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(_) => {}
            }
        }
    }
}

type Io = TokioIo<Upgraded>;

async fn pass(
    mut from: ReadHalf<Io>,
    mut to: WriteHalf<Io>,
    idle: Duration,
    moved: &Moved,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = moved.before_idle(idle, from.read(&mut buffer)).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        moved.now();
        moved
            .before_idle(idle, to.write_all(&buffer[..count]))
            .await?;
        moved.now();
    }
}
