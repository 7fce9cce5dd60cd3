//! Why a request got no answer, and what its client is told.

use http::{Request, Response, StatusCode};
use hyper::client::conn::TrySendError;

use crate::{
    body::{RequestBody, ResponseBody},
    prepare::Outgoing,
    respond,
    wait::Late,
};

/// So many servers may lose a request: one that ends the process it meets must not end all of them.
const LOSSES_MAX: u32 = 3;

/// Why a try at one server gave no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It did not take the request: nothing can have happened.
    NotSent(Box<Outgoing>),
    /// It may have taken the request. Hung servers are told apart for the counters.
    Lost { hung: bool },
    /// The client did not send what it announced.
    Client(StatusCode),
    /// This process may not open another connection, to whichever server.
    Own(std::io::Error),
}

impl Failure {
    /// Whether the server can have taken the request.
    pub(crate) fn of(mut error: TrySendError<Request<RequestBody>>) -> Self {
        match error.take_message() {
            Some(request) => {
                let (parts, body) = request.into_parts();
                Self::NotSent(Box::new(Outgoing { parts, body }))
            }
            None => Self::Lost { hung: false },
        }
    }
}

impl From<Late> for Failure {
    fn from(late: Late) -> Self {
        match late {
            Late::Client => Self::Client(StatusCode::REQUEST_TIMEOUT),
            Late::Server => Self::Lost { hung: true },
        }
    }
}

/// The servers that may have taken the request and did not answer it.
#[derive(Debug, Default)]
pub(crate) struct Losses {
    count: u32,
    hung: bool,
}

impl Losses {
    /// Counts one; whether another server may be tried.
    pub(crate) fn add(&mut self, hung: bool) -> bool {
        self.count += 1;
        self.hung |= hung;
        self.count < LOSSES_MAX
    }

    /// What the client gets when no server is left to try, or the request must not be sent again.
    pub(crate) fn answer(&self) -> Response<ResponseBody> {
        let (status, sentence) = match self {
            Self { hung: true, .. } => (
                StatusCode::GATEWAY_TIMEOUT,
                "The server did not answer in time.",
            ),
            Self { count: 0, .. } => (
                StatusCode::SERVICE_UNAVAILABLE,
                "No server is available at the moment. Please try again shortly.",
            ),
            _ => (
                StatusCode::BAD_GATEWAY,
                "The server broke off. Whether it did what was asked is not known.",
            ),
        };
        respond::problem(status, sentence)
    }
}

/// What a client gets that did not send what it announced.
pub(crate) fn not_sent_in_full(status: StatusCode) -> Response<ResponseBody> {
    respond::problem(status, "The request did not arrive in full.")
}
