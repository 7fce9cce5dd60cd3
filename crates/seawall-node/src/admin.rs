//! What operators may ask of a node: to take nothing new (drain), and to take traffic again.
//!
//! `POST /.seawall/drain` and `POST /.seawall/ready`, with the header `Authorization: Bearer TOKEN`
//! (RFC 6750). The state is the node's own, so that any number of balancers see it, and it ends with
//! the process.

use std::fmt;

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, AUTHORIZATION, WWW_AUTHENTICATE},
};
use subtle::ConstantTimeEq;

use crate::{
    health::Health,
    respond::{self, Body},
};

/// The shortest admin token, in bytes.
pub const ADMIN_TOKEN_MIN: usize = 16;

const READY_PATH: &str = "/.seawall/ready";
const DRAIN_PATH: &str = "/.seawall/drain";

/// The secret that lets a caller drain a node. Neither `Debug` nor a log shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken(Box<str>);

/// Why a text is no [`AdminToken`]. It does not hold the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an admin token has at least {ADMIN_TOKEN_MIN} characters, all of them visible ASCII; make one \
     with `openssl rand -hex 32`"
)]
pub struct AdminTokenError;

impl AdminToken {
    /// Takes a token as it stands in its file; space around it does not count.
    ///
    /// # Errors
    /// [`AdminTokenError`] when it is too short to be a secret, or cannot stand in a header.
    pub fn new(text: &str) -> Result<Self, AdminTokenError> {
        let text = text.trim();
        let is_usable = text.len() >= ADMIN_TOKEN_MIN && text.bytes().all(|b| b.is_ascii_graphic());
        if is_usable {
            Ok(Self(text.into()))
        } else {
            Err(AdminTokenError)
        }
    }

    /// The secret, for the one who has to show it.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }

    /// Whether the caller shows this token; takes as long whichever part of it is wrong.
    fn is_shown_by(&self, headers: &HeaderMap) -> bool {
        let shown = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        shown.is_some_and(|(_, token)| token.trim().as_bytes().ct_eq(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

/// The answer to an operator; `None` when the path is not for operators.
pub(crate) fn respond<B>(
    request: &Request<B>,
    token: Option<&AdminToken>,
    health: &Health,
) -> Option<Response<Body>> {
    let drain = match request.uri().path() {
        DRAIN_PATH => true,
        READY_PATH => false,
        _ => return None,
    };
    Some(match refusal(request, token) {
        Some(refusal) => refusal,
        None => carry_out(drain, health),
    })
}

fn refusal<B>(request: &Request<B>, token: Option<&AdminToken>) -> Option<Response<Body>> {
    if request.method() != Method::POST {
        let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "use POST");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(response);
    }
    let Some(token) = token else {
        let sentence = "this node has no admin token; name a file with one as admin.token_file in \
                        seawall.toml, and restart the node";
        return Some(problem(StatusCode::FORBIDDEN, sentence));
    };
    if token.is_shown_by(request.headers()) {
        return None;
    }
    let sentence = "send the node's admin token as Authorization: Bearer TOKEN";
    let mut response = problem(StatusCode::UNAUTHORIZED, sentence);
    response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    Some(response)
}

fn carry_out(drain: bool, health: &Health) -> Response<Body> {
    if drain {
        health.drain();
    } else if !health.ready() {
        let sentence = "this node is about to end";
        return problem(StatusCode::CONFLICT, sentence);
    }
    json(StatusCode::OK, &serde_json::json!({ "draining": drain }))
}

fn problem(status: StatusCode, sentence: &str) -> Response<Body> {
    json(status, &serde_json::json!({ "error": sentence }))
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    respond::uncached(status, "application/json", value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    #[test]
    fn only_the_whole_token_opens() {
        let token = AdminToken::new(&format!("{SECRET}\n")).unwrap();
        let shown = |value: &str| {
            let value = HeaderValue::from_str(value).unwrap();
            token.is_shown_by(&HeaderMap::from_iter([(AUTHORIZATION, value)]))
        };
        assert!(shown(&format!("Bearer {SECRET}")) && shown(&format!("bearer  {SECRET}")));
        for wrong in ["", "Bearer", "Bearer ", SECRET, "Bearer 0123456789abcdee"] {
            assert!(!shown(wrong), "{wrong}");
        }
        for scheme in ["Basic", "Bearerr"] {
            assert!(!shown(&format!("{scheme} {SECRET}")));
        }
        assert!(
            !shown(&format!("Bearer {SECRET}0")) && !shown(&format!("Bearer {SECRET} {SECRET}"))
        );
        assert!(!token.is_shown_by(&HeaderMap::new()));
        assert!(!format!("{token:?}").contains(SECRET));
    }

    #[test]
    fn what_is_no_secret_is_no_token() {
        for text in ["", "short", "0123456789 abcdef", "0123456789abcdé"] {
            assert_eq!(AdminToken::new(text), Err(AdminTokenError), "{text}");
        }
    }
}
