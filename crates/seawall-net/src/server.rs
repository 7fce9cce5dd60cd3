//! The HTTP/1 server of one worker: accepts, limits, serves, ends gracefully.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Sleep;

use crate::BoxError;
use crate::accept::Listener;
use crate::connection::{Connection, Phase, Tracked};
use crate::io::ServerIo;
use crate::refused::Refused;
use crate::shutdown::Shutdown;

/// What hyper parses without allocating.
const DEFAULT_HEADERS_MAX: usize = 100;
/// For how long nothing may have come on a connection for a request still to be expected when the
/// server ends; and how often to look.
const EXPECTED_LIMIT: Duration = Duration::from_secs(1);
const EXPECTED_PAUSE: Duration = Duration::from_millis(10);

/// Limits of one worker's HTTP/1 server.
#[derive(Clone, Debug)]
pub struct ServeLimits {
    /// Connections at once; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Time for a whole request head, from its first byte.
    pub header_timeout: Duration,
    /// Time a connection may stay open between requests, and while the client takes nothing of an
    /// answer.
    pub idle_timeout: Duration,
    /// Fields in a request head.
    pub headers_max: usize,
    /// Bytes of a request head (at least 8192).
    pub head_bytes_max: usize,
    /// Time that requests in flight get to finish after shutdown.
    pub grace: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(50),
            headers_max: DEFAULT_HEADERS_MAX,
            head_bytes_max: 64 * 1024,
            grace: Duration::from_secs(10),
        }
    }
}

/// Serves `listener` until `shutdown`, then finishes what is in flight within the grace time.
///
/// `make_service` is called once for each connection with the client's address. Must run on a
/// [`Workers`](crate::Workers) runtime: connections are tasks of this thread.
///
/// # Errors
/// When the listener cannot be used at all. Errors of single connections end only these.
pub async fn serve<M, S, B>(
    listener: impl Into<Listener>,
    limits: ServeLimits,
    shutdown: Shutdown,
    make_service: M,
) -> io::Result<()>
where
    M: Fn(SocketAddr) -> S,
    S: Service<Request<Incoming>, Response = Response<B>> + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let make_service = |connection: &Connection| make_service(connection.peer());
    serve_noting(listener, limits, shutdown, make_service, |_| ()).await
}

/// As [`serve`], for services that also want the connection's byte counts, and with `note`, which is
/// told of requests that no service sees.
///
/// # Errors
/// As [`serve`].
pub async fn serve_noting<M, S, B>(
    listener: impl Into<Listener>,
    limits: ServeLimits,
    shutdown: Shutdown,
    make_service: M,
    note: impl Fn(Refused) + 'static,
) -> io::Result<()>
where
    M: Fn(&Connection) -> S,
    S: Service<Request<Incoming>, Response = Response<B>> + 'static,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let listener = listener.into().open()?;
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let slot_count = u32::try_from(limits.connections_max).unwrap_or(u32::MAX);
    let builder = http_builder(&limits);
    let limits = Arc::new(limits);
    let note = Rc::new(note);
    let mut tasks = JoinSet::new();
    let mut start = |(stream, peer), permit| {
        while tasks.try_join_next().is_some() {}
        let connection = Connection::new(peer);
        let service = Tracked {
            inner: make_service(&connection),
            connection: connection.clone(),
        };
        let io = ServerIo::new(stream, connection.clone(), permit);
        let http = builder
            .serve_connection(TokioIo::new(io), service)
            .with_upgrades();
        let (limits, shutdown) = (Arc::clone(&limits), shutdown.clone());
        tasks.spawn_local(drive(http, connection, limits, shutdown, Rc::clone(&note)));
    };
    let slot = || async {
        Arc::clone(&slots)
            .acquire_owned()
            .await
            .map_err(io::Error::other)
    };
    while let Some(accepted) = listener.accept(&slots, &shutdown).await {
        start(accepted, slot().await?);
    }
    let rest = async {
        for accepted in listener.into_queue()? {
            // It may be a tunnel that has the last slot, which ends when it likes.
            start(accepted, slot().await?);
        }
        let all_closed = slots.acquire_many(slot_count).await;
        all_closed.map(drop).map_err(io::Error::other)
    };
    let ended = tokio::time::timeout(limits.grace, rest).await;
    if ended.is_err() {
        let connections = limits.connections_max - slots.available_permits();
        tracing::warn!(connections, "grace time over, closing what is left");
    }
    tasks.shutdown().await;
    ended.unwrap_or(Ok(()))
}

fn http_builder(limits: &ServeLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .header_read_timeout(None)
        .max_buf_size(limits.head_bytes_max.max(8192));
    if limits.headers_max != DEFAULT_HEADERS_MAX {
        builder.max_headers(limits.headers_max);
    }
    builder
}

/// Runs one connection, with its timers and its part in the shutdown.
///
/// Timer and shutdown are polled once to leave their wakers, then only when an atomic says that
/// they fired: on the request path they cost one load each.
async fn drive<S, B>(
    http: http1::UpgradeableConnection<TokioIo<ServerIo>, S>,
    connection: Connection,
    limits: Arc<ServeLimits>,
    shutdown: Shutdown,
    note: Rc<impl Fn(Refused)>,
) where
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<BoxError>,
{
    let mut http = pin!(http);
    let mut ending = pin!(async {
        shutdown.wait().await;
        connection.mark_ending();
        last_request(&connection).await;
    });
    let mut timer = pin!(tokio::time::sleep(tick(&limits)));
    let mut first = true;
    let mut told = false;
    let ended = poll_fn(|context| {
        if let Poll::Ready(result) = http.as_mut().poll(context) {
            return Poll::Ready(result);
        }
        if !told && (first || shutdown.is_triggered()) && ending.as_mut().poll(context).is_ready() {
            told = true;
            http.as_mut().graceful_shutdown();
            context.waker().wake_by_ref();
        }
        if (first || timer.is_elapsed())
            && is_overdue(timer.as_mut(), context, &connection, &limits)
        {
            return Poll::Ready(Ok(()));
        }
        first = false;
        Poll::Pending
    });
    if let Some(refused) = Refused::of(ended.await, &connection) {
        note(refused);
    }
}

/// Waits until no other request is expected on a connection. Its client believes that it is being
/// served, and may be sending one just now; hyper closes a connection on which no head has come in full.
/// The answer to that request says that it is the last one.
async fn last_request(connection: &Connection) {
    loop {
        let waited = connection.phase_started_at().elapsed();
        match connection.phase() {
            Phase::Busy | Phase::Closing => return,
            Phase::Idle if waited >= EXPECTED_LIMIT => return,
            Phase::Idle | Phase::Head => tokio::time::sleep(EXPECTED_PAUSE).await,
        }
    }
}

/// Polls the timer until it waits again; true when the connection has used up its time.
fn is_overdue(
    mut timer: Pin<&mut Sleep>,
    context: &mut Context<'_>,
    connection: &Connection,
    limits: &ServeLimits,
) -> bool {
    while timer.as_mut().poll(context).is_ready() {
        if connection
            .stuck_for()
            .is_some_and(|stuck| stuck >= limits.idle_timeout)
        {
            return true;
        }
        match overdue(
            connection.phase(),
            connection.phase_started_at(),
            Instant::now(),
            limits,
        ) {
            Some(Overdue::Head) => {
                connection.refuse_with(StatusCode::REQUEST_TIMEOUT);
                return true;
            }
            Some(Overdue::Idle) => return true,
            None => timer
                .as_mut()
                .reset(tokio::time::Instant::now() + tick(limits)),
        }
    }
    false
}

#[derive(Debug, Eq, PartialEq)]
enum Overdue {
    Head,
    Idle,
}

fn overdue(phase: Phase, since: Instant, now: Instant, limits: &ServeLimits) -> Option<Overdue> {
    let spent = now.saturating_duration_since(since);
    match phase {
        Phase::Head => (spent >= limits.header_timeout).then_some(Overdue::Head),
        Phase::Idle => (spent >= limits.idle_timeout).then_some(Overdue::Idle),
        Phase::Busy | Phase::Closing => None,
    }
}

/// How often the timers are looked at: late by a quarter at most.
fn tick(limits: &ServeLimits) -> Duration {
    let shortest = limits.header_timeout.min(limits.idle_timeout);
    (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_up_by_phase() {
        let limits = ServeLimits {
            header_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(5),
            ..ServeLimits::default()
        };
        let start = Instant::now();
        let check =
            |phase, seconds| overdue(phase, start, start + Duration::from_secs(seconds), &limits);
        assert_eq!(check(Phase::Head, 0), None);
        assert_eq!(check(Phase::Head, 1), Some(Overdue::Head));
        assert_eq!(check(Phase::Idle, 4), None);
        assert_eq!(check(Phase::Idle, 5), Some(Overdue::Idle));
        assert_eq!(check(Phase::Busy, 500), None);
    }
}
