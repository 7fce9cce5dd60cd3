//! Why a session could not be used.

use std::sync::Arc;

use http::StatusCode;
use seawall_store::{StoreError, ValueError};

use crate::limits::LimitExceeded;

/// Why a session could not be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SessionError {
    /// The response has left without a session, or with the old id.
    #[error(
        "the response has left: its client cannot be told of a new session or session id; do this \
         before the handler answers"
    )]
    Answered,
    /// Other nodes kept writing the session in between.
    #[error("the session was changed by others {attempts} times in a row; try again")]
    Contended {
        /// How often this request tried.
        attempts: u32,
    },
    /// The session ended while the request ran: it was invalidated, or it expired.
    #[error("the session has ended")]
    Ended,
    /// A session may not hold what was to be set; it is as it was.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The request has no [`SessionLayer`](crate::SessionLayer) around it.
    #[error("no session layer: add seawall_session::SessionLayer to the service")]
    NoLayer,
    /// The store did not do what it was asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An attribute has another type, or cannot be stored.
    #[error("session attribute {name:?}: {source}")]
    Value {
        /// The attribute's name.
        name: Arc<str>,
        /// What is wrong with it.
        #[source]
        source: Arc<ValueError>,
    },
}

impl SessionError {
    /// Logs what happened. A store that is away is not logged for each request: the batcher says
    /// once that it is.
    pub(crate) fn log(&self, what: &str) {
        match self {
            Self::Store(error) if error.is_transient() => tracing::debug!(%error, "{what}"),
            error => tracing::warn!(%error, "{what}"),
        }
    }

    /// The status of a response to a request that met this error: 503 when the store is away or too busy
    /// (an answer should have `Retry-After` then, as axum's has) or others keep writing the session, 409
    /// when it ended meanwhile or its principal has too many, and 500 for what only a developer or
    /// operator can mend.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Contended { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Ended | Self::Limit(LimitExceeded::SessionsOfPrincipal { .. }) => {
                StatusCode::CONFLICT
            }
            Self::Answered | Self::Limit(_) | Self::NoLayer | Self::Value { .. } => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Store(error) => match error {
                StoreError::Rejected { .. } => StatusCode::INTERNAL_SERVER_ERROR,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            },
        }
    }
}
