//! Requests that no service sees: refused by the parser, by us, or never sent to their end.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;

use crate::connection::{Connection, Phase};

/// A request that no service saw, for logs and counters. It may have had neither method nor path.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The client's address.
    pub client: SocketAddr,
    /// What the client was told, unless it left before.
    pub status: StatusCode,
    /// From its first byte until the connection was closed.
    pub took: Duration,
}

impl Refused {
    /// What a connection was ended by, if it was such a request.
    pub(crate) fn of(ended: hyper::Result<()>, connection: &Connection) -> Option<Self> {
        let status = match ended {
            Ok(()) => connection.refused_with(),
            Err(error) => {
                tracing::debug!(%error, "connection ended");
                let of_head = error.is_parse() || connection.phase() == Phase::Head;
                let of_head = of_head.then(|| status_of(&error));
                of_head.or_else(|| connection.refused_with())
            }
        };
        Some(Self {
            client: connection.peer(),
            status: status?,
            took: connection.phase_started_at().elapsed(),
        })
    }
}

/// What hyper has answered. It tells two of its statuses apart by text only.
fn status_of(error: &hyper::Error) -> StatusCode {
    if !error.is_parse_too_large() {
        return StatusCode::BAD_REQUEST;
    }
    match error.to_string().as_str() {
        "URI too long" => StatusCode::URI_TOO_LONG,
        _ => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    }
}
