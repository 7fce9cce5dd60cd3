//! What is known of one client connection while it lives, and the service and body wrappers
//! that keep it up to date.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use pin_project_lite::pin_project;

const CLOSE: header::HeaderValue = header::HeaderValue::from_static("close");

/// Why a request is not looked at.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    /// The length of its body is given more than once.
    Ambiguous,
    /// Its body is coded in a way that neither a server nor a balancer here undoes (RFC 9112,
    /// section 6.1).
    Coded,
}

impl Refusal {
    fn of(request: &Request<Incoming>, connection: &Connection) -> Option<Self> {
        if connection.shared.ambiguous.load(Relaxed) {
            return Some(Self::Ambiguous);
        }
        let coding = request.headers().get(header::TRANSFER_ENCODING)?;
        (!coding.as_bytes().eq_ignore_ascii_case(b"chunked")).then_some(Self::Coded)
    }

    fn told(self) -> (StatusCode, &'static str) {
        match self {
            Self::Ambiguous => (
                StatusCode::BAD_REQUEST,
                "400 Bad Request: the length of the body is given more than once\n",
            ),
            Self::Coded => (
                StatusCode::NOT_IMPLEMENTED,
                "501 Not Implemented: send the body without a transfer coding, or in chunks\n",
            ),
        }
    }
}

/// One client connection, shared by its I/O, its service and its timer.
///
/// Atomics without ordering: all users are on one thread, only `Send` is asked of the I/O.
#[derive(Clone, Debug)]
pub struct Connection {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    peer: SocketAddr,
    opened_at: Instant,
    phase: AtomicU8,
    /// When the phase began, in ms after `opened_at`.
    phase_since_ms: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// Since when the client has taken nothing of what there is for it, in ms after `opened_at`, plus
    /// one; 0 when it takes what it gets.
    stuck_since_ms: AtomicU64,
    ambiguous: AtomicBool,
    had_body: AtomicBool,
    is_tunnel: AtomicBool,
    /// Whether the next answer is the last one.
    ending: AtomicBool,
    /// The status of an answer that no service gave; 0 when there was none.
    refused_with: AtomicU16,
}

/// What a connection is busy with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Between requests; nothing of the next one has come.
    Idle,
    /// A part of a request head has come.
    Head,
    /// A request is being answered.
    Busy,
    /// The last answer has been sent.
    Closing,
}

impl Connection {
    pub(crate) fn new(peer: SocketAddr) -> Self {
        let shared = Shared {
            peer,
            opened_at: Instant::now(),
            phase: AtomicU8::new(0),
            phase_since_ms: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            stuck_since_ms: AtomicU64::new(0),
            ambiguous: AtomicBool::new(false),
            had_body: AtomicBool::new(false),
            is_tunnel: AtomicBool::new(false),
            ending: AtomicBool::new(false),
            refused_with: AtomicU16::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The client's address.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.shared.peer
    }

    /// Bytes received so far, heads and all.
    #[must_use]
    pub fn bytes_in(&self) -> u64 {
        self.shared.bytes_in.load(Relaxed)
    }

    /// Bytes sent so far, heads and all.
    #[must_use]
    pub fn bytes_out(&self) -> u64 {
        self.shared.bytes_out.load(Relaxed)
    }

    pub(crate) fn add_bytes_in(&self, count: usize) {
        self.shared
            .bytes_in
            .store(self.bytes_in() + count as u64, Relaxed);
    }

    pub(crate) fn add_bytes_out(&self, count: usize) {
        self.shared
            .bytes_out
            .store(self.bytes_out() + count as u64, Relaxed);
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.shared.phase.load(Relaxed) {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Busy,
            _ => Phase::Closing,
        }
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.shared.phase_since_ms.store(self.millis(), Relaxed);
        self.shared.phase.store(phase as u8, Relaxed);
    }

    /// The last answer has been sent. What came before still counts from its beginning.
    pub(crate) fn mark_closing(&self) {
        self.shared.phase.store(Phase::Closing as u8, Relaxed);
    }

    /// Whether the last request had a body, of which a part may still come.
    pub(crate) fn had_body(&self) -> bool {
        self.shared.had_body.load(Relaxed)
    }

    /// Whether the connection speaks another protocol now, in which each side ends by itself.
    pub(crate) fn is_tunnel(&self) -> bool {
        self.shared.is_tunnel.load(Relaxed)
    }

    pub(crate) fn phase_started_at(&self) -> Instant {
        let since = Duration::from_millis(self.shared.phase_since_ms.load(Relaxed));
        self.shared.opened_at + since
    }

    /// Takes note of whether the client takes what it gets.
    pub(crate) fn mark_stuck(&self, is_stuck: bool) {
        let since = &self.shared.stuck_since_ms;
        if !is_stuck {
            since.store(0, Relaxed);
        } else if since.load(Relaxed) == 0 {
            since.store(self.millis() + 1, Relaxed);
        }
    }

    /// For how long the client has taken nothing of what there is for it.
    pub(crate) fn stuck_for(&self) -> Option<Duration> {
        let since = self.shared.stuck_since_ms.load(Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(self.millis().saturating_sub(since)))
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.shared.opened_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn mark_ambiguous(&self) {
        self.shared.ambiguous.store(true, Relaxed);
    }

    pub(crate) fn mark_ending(&self) {
        self.shared.ending.store(true, Relaxed);
    }

    fn is_ending(&self) -> bool {
        self.shared.ending.load(Relaxed)
    }

    /// Takes note of an answer that no service gives. 408 is said when the socket is dropped.
    pub(crate) fn refuse_with(&self, status: StatusCode) {
        self.shared.refused_with.store(status.as_u16(), Relaxed);
    }

    pub(crate) fn refused_with(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.shared.refused_with.load(Relaxed)).ok()
    }
}

/// A service whose requests move the connection's phase, and that refuses double framing.
#[derive(Debug)]
pub(crate) struct Tracked<S> {
    pub(crate) connection: Connection,
    pub(crate) inner: S,
}

impl<S, B> Service<Request<Incoming>> for Tracked<S>
where
    S: Service<Request<Incoming>, Response = Response<B>>,
    B: Body<Data = Bytes>,
{
    type Response = Response<Served<B>>;
    type Error = S::Error;
    type Future = TrackedFuture<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.connection.enter(Phase::Busy);
        let has_body = !request.body().is_end_stream();
        self.connection.shared.had_body.store(has_body, Relaxed);
        let inner = match Refusal::of(&request, &self.connection) {
            Some(refusal) => {
                self.connection.refuse_with(refusal.told().0);
                Answer::Refusal { refusal }
            }
            None => Answer::Inner {
                inner: self.inner.call(request),
            },
        };
        TrackedFuture {
            connection: Some(self.connection.clone()),
            inner,
        }
    }
}

pin_project! {
    /// The answer of a [`Tracked`] service.
    pub(crate) struct TrackedFuture<F> {
        connection: Option<Connection>,
        #[pin]
        inner: Answer<F>,
    }
}

pin_project! {
    #[project = AnswerProjection]
    enum Answer<F> {
        Inner { #[pin] inner: F },
        Refusal { refusal: Refusal },
    }
}

impl<F, B, E> Future for TrackedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Served<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = match this.inner.project() {
            AnswerProjection::Inner { inner } => ready!(inner.poll(context))?,
            AnswerProjection::Refusal { refusal } => return Poll::Ready(Ok(refuse(*refusal))),
        };
        let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switches && let Some(connection) = this.connection {
            connection.shared.is_tunnel.store(true, Relaxed);
        }
        if !switches && this.connection.as_ref().is_some_and(Connection::is_ending) {
            // A node that leaves says more in that field, and `close` too.
            response
                .headers_mut()
                .entry(header::CONNECTION)
                .or_insert(CLOSE);
        }
        let guard = Answering {
            connection: this.connection.take(),
        };
        Poll::Ready(Ok(response.map(|body| Served {
            inner: Some(body),
            text: None,
            _guard: guard,
        })))
    }
}

fn refuse<B>(refusal: Refusal) -> Response<Served<B>> {
    let (status, text) = refusal.told();
    let text = Some(Bytes::from_static(text.as_bytes()));
    let guard = Answering { connection: None };
    let mut response = Response::new(Served {
        inner: None,
        text,
        _guard: guard,
    });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, CLOSE);
    headers.insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/plain"),
    );
    response
}

/// Marks the connection idle when the answer has been handed over.
#[derive(Debug)]
struct Answering {
    connection: Option<Connection>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.enter(Phase::Idle);
        }
    }
}

pin_project! {
    /// The body of an answer on its way to the client.
    #[derive(Debug)]
    pub struct Served<B> {
        #[pin]
        inner: Option<B>,
        text: Option<Bytes>,
        _guard: Answering,
    }
}

impl<B: Body<Data = Bytes>> Body for Served<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        match this.inner.as_pin_mut() {
            Some(inner) => inner.poll_frame(context),
            None => Poll::Ready(this.text.take().map(|text| Ok(Frame::data(text)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner
            .as_ref()
            .map_or(self.text.is_none(), B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.inner, &self.text) {
            (Some(inner), _) => inner.size_hint(),
            (None, text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
        }
    }
}
