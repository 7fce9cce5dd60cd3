//! Pages: MiniJinja templates that run on the draft of a session.

use std::{net::IpAddr, sync::Arc};

use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{
        CONTENT_SECURITY_POLICY, REFERRER_POLICY, SET_COOKIE, USER_AGENT, X_CONTENT_TYPE_OPTIONS,
    },
};
use minijinja::{Environment, ErrorKind, Value, context};
use seawall_session::{Draft, Presented, SessionError, UNVERIFIED, UNVERIFIED_HEADER, Visited};
use seawall_store::Device;

use super::{session_object::SessionObject, sites::Sites};
use crate::{
    params::Params,
    respond::{self, Body},
};

const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self'; \
     frame-ancestors 'self'; form-action 'self'; base-uri 'none'",
);

/// A page that takes more steps fails: while it runs, nothing else does on its worker. They take a
/// fraction of a second.
pub(super) const STEP_LIMIT: u64 = 5_000_000;

/// What a page sees of a request.
#[derive(Debug)]
pub(crate) struct PageRequest {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) host: String,
    /// Where the client is, as far as trusted proxies tell.
    pub(crate) remote: IpAddr,
    pub(crate) params: Params,
    pub(crate) headers: HeaderMap,
}

impl PageRequest {
    fn device(&self) -> Device {
        let user_agent = self.headers.get(USER_AGENT);
        let user_agent = user_agent.and_then(|value| value.to_str().ok());
        Device::new(user_agent, Some(self.remote))
    }
}

/// One page of an application.
#[derive(Debug)]
pub(crate) struct Page {
    pub(super) application: Arc<str>,
    pub(super) template: String,
    pub(super) environment: Arc<Environment<'static>>,
    pub(super) sessions: Arc<Sites>,
    pub(super) node: Value,
}

impl Page {
    /// Renders the page on the client's session, commits what it changed, and only then answers.
    pub(crate) async fn respond(&self, request: &PageRequest) -> Response<Body> {
        let sessions = self.sessions.of(&request.host);
        let cookie_name = &sessions.settings().cookie.name;
        let presented = Presented::all(&request.headers, cookie_name);
        let seen = context! {
            method => &request.method,
            path => &request.path,
            host => &request.host,
            remote => request.remote.to_string(),
            params => &request.params,
        };
        let device = sessions.settings().device_notes.then(|| request.device());
        let visited = sessions
            .visit_from(device, &presented, |draft| self.render(draft, &seen))
            .await;
        match visited {
            Ok(visited) => self.answer(visited),
            Err(error) => failed(&error),
        }
    }

    /// Renders on a draft. A page that fails changes nothing.
    fn render(&self, draft: &mut Draft<'_>, request: &Value) -> Result<String, minijinja::Error> {
        let session = Arc::new(SessionObject::new(draft));
        let page = self.environment.get_template(&self.template)?;
        let seen = context! {
            request => request,
            session => Value::from_dyn_object(session.clone()),
            node => &self.node,
        };
        let html = page.render(seen)?;
        session.apply(draft);
        Ok(html)
    }

    fn answer(&self, visited: Visited<Result<String, minijinja::Error>>) -> Response<Body> {
        let mut response = match visited.value {
            Ok(html) => respond::page(StatusCode::OK, html),
            Err(error) => {
                tracing::error!(
                    application = &*self.application,
                    page = self.template,
                    error = reason(&error),
                    "page failed"
                );
                let sentence = "This page failed. The node's log says where and why.";
                respond::problem(StatusCode::INTERNAL_SERVER_ERROR, sentence)
            }
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(cookie) = visited.cookie {
            headers.insert(SET_COOKIE, cookie);
        }
        if visited.is_unverified {
            headers.insert(UNVERIFIED_HEADER, UNVERIFIED);
        }
        response
    }
}

fn reason(error: &minijinja::Error) -> String {
    if error.kind() == ErrorKind::OutOfFuel {
        return format!("it takes more than {STEP_LIMIT} steps: {error:#}");
    }
    format!("{error:#}")
}

/// The response when the session could not be had or kept. The watch over the store has logged
/// that it is away, so a store that is away is not logged for each request.
fn failed(error: &SessionError) -> Response<Body> {
    let status = error.status();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        tracing::debug!(%error, "no session for this request");
        let sentence = "Sessions are not available at the moment. Please try again shortly.";
        return respond::problem(status, sentence);
    }
    tracing::error!(%error, "no session for this request");
    respond::problem(
        status,
        "The session could not be used. The node's log says why.",
    )
}
