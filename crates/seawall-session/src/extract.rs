//! The axum extractor: `session: Session` as a handler's argument.

use axum_core::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header::RETRY_AFTER, request::Parts};

use crate::{error::SessionError, layer::SessionHandle, limits::LimitExceeded, session::Session};

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, SessionError> {
        let handle = parts
            .extensions
            .get::<SessionHandle>()
            .ok_or(SessionError::NoLayer)?;
        handle.session().await.cloned()
    }
}

impl IntoResponse for SessionError {
    /// The client gets a status and a sentence; the log gets the cause.
    fn into_response(self) -> Response {
        self.log("session error");
        let status = self.status();
        let text = match (&self, status) {
            (Self::Ended, _) => "The session has ended.",
            (Self::Limit(LimitExceeded::SessionsOfPrincipal { .. }), _) => {
                "There are too many sessions of this user. Log out somewhere else first."
            }
            (_, StatusCode::SERVICE_UNAVAILABLE) => "Sessions are not available now. Try again.",
            _ => "The session could not be used.",
        };
        let mut response = (status, text).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(1));
        }
        response
    }
}
