//! The tower layer: puts the session within a handler's reach, and commits before the response.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{RETRY_AFTER, SET_COOKIE, USER_AGENT},
};
use seawall_store::Device;
use tokio::sync::OnceCell;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    answered::Answered,
    cookie::Presented,
    error::SessionError,
    manager::SessionManager,
    outage::{UNVERIFIED, UNVERIFIED_HEADER},
    session::Session,
};

/// Gives the requests of a service their sessions.
///
/// The session is loaded when a handler first asks for it, so requests that need none cost the
/// store nothing. Changes are committed after the handler and before the response (P1); when the
/// store does not take them, or did not when the handler committed them itself, the client gets the
/// error instead of the response; unless that tells of a failure anyway. A streamed body begins
/// after that.
///
/// Whatever asks for the [`Session`] must be inside of the layer: handlers, and middleware that is
/// added to a router before it. Where a request meets the layer of one manager twice, the outer one
/// counts; of layers with different managers, which need cookies of different names, the inner one.
#[derive(Debug, Clone)]
pub struct SessionLayer {
    manager: SessionManager,
}

impl SessionLayer {
    /// A layer over the sessions of `manager`.
    #[must_use]
    pub fn new(manager: SessionManager) -> Self {
        Self { manager }
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionService {
            inner,
            manager: self.manager.clone(),
        }
    }
}

/// Where a request came from, for [`SessionSettings::device_notes`](crate::SessionSettings). The
/// layer cannot know which proxies to believe: an outer layer puts this into the request's
/// extensions. Without it, no address is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// The service that [`SessionLayer`] makes.
#[derive(Debug, Clone)]
pub struct SessionService<S> {
    inner: S,
    manager: SessionManager,
}

/// A request's session, in its extensions; loaded at the first use.
#[derive(Debug, Clone)]
pub struct SessionHandle {
    manager: SessionManager,
    presented: Arc<[Presented]>,
    device: Option<Arc<Device>>,
    session: Arc<OnceCell<Session>>,
    answered: Answered,
}

impl SessionHandle {
    /// The request's session. The first call loads it.
    ///
    /// # Errors
    /// [`SessionError::Store`] when the store does not answer.
    pub async fn session(&self) -> Result<&Session, SessionError> {
        self.session
            .get_or_try_init(|| {
                let device = self.device.as_ref();
                Session::load(&self.manager, &self.presented, device, &self.answered)
            })
            .await
    }

    fn new<B>(manager: &SessionManager, request: &Request<B>) -> Self {
        let name = &manager.settings().cookie.name;
        Self {
            manager: manager.clone(),
            presented: Presented::all(request.headers(), name).into(),
            device: device_of(manager, request),
            session: Arc::new(OnceCell::new()),
            answered: Answered::default(),
        }
    }

    /// Whether an outer layer of `manager` finishes what is done with this. One that has answered does
    /// not any more: a WebSocket may send what it kept of its request through the service again.
    fn finishes_for(&self, manager: &SessionManager) -> bool {
        self.manager.is_clone_of(manager) && self.answered.check_open().is_ok()
    }

    /// Makes `response` what the client gets, now that everything that was done for it is known.
    async fn finish<R: Default>(&self, mut response: Response<R>) -> Response<R> {
        let Some(session) = self.session.get() else {
            return response;
        };
        let cookie = match session.finish().await {
            Ok(cookie) => cookie,
            Err(error) => return withheld(response, &error),
        };
        let headers = response.headers_mut();
        if let Some(cookie) = cookie {
            headers.append(SET_COOKIE, cookie);
        }
        if session.is_unverified() {
            headers.insert(UNVERIFIED_HEADER, UNVERIFIED);
        }
        response
    }
}

impl<S, B, R> Service<Request<B>> for SessionService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Default + Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let outer = request.extensions().get::<SessionHandle>();
        let handle = match outer {
            Some(outer) if outer.finishes_for(&self.manager) => None,
            _ => Some(SessionHandle::new(&self.manager, &request)),
        };
        if let Some(handle) = handle.clone() {
            request.extensions_mut().insert(handle);
        }
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(async move {
            let response = inner.call(request).await?;
            let Some(handle) = handle else {
                return Ok(response);
            };
            let response = handle.finish(response).await;
            handle.answered.set();
            Ok(response)
        })
    }
}

/// What the request says of its client, if that is to be noted.
fn device_of<B>(manager: &SessionManager, request: &Request<B>) -> Option<Arc<Device>> {
    if !manager.settings().device_notes {
        return None;
    }
    let user_agent = request.headers().get(USER_AGENT);
    let user_agent = user_agent.and_then(|value| value.to_str().ok());
    let address = request.extensions().get::<ClientAddress>();
    manager.noted(Some(Device::new(
        user_agent,
        address.map(|client| client.0),
    )))
}

/// What the client gets when its session could not be committed: the error in place of the response,
/// unless that says already that the request failed.
fn withheld<R: Default>(response: Response<R>, error: &SessionError) -> Response<R> {
    let status = error.status();
    if response.status().is_server_error() || response.status() == status {
        error.log("session not committed");
        return response;
    }
    error.log("session not committed; the response is withheld");
    let mut response = Response::new(R::default());
    *response.status_mut() = status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let soon = HeaderValue::from(1);
        response.headers_mut().insert(RETRY_AFTER, soon);
    }
    response
}
