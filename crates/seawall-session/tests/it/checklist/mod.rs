//! What Jetty's contract tests ask of sessions; docs/jetty-checklist.md says which test is for what.

mod cache;
mod cluster;
mod cookies;
mod ids;
mod listeners;
mod requests;
mod timeouts;

use std::sync::{Arc, Mutex};

use http::{HeaderMap, Request, Response, StatusCode, header::COOKIE, header::SET_COOKIE};
use seawall_session::{Session, SessionError, SessionHandle, SessionLayer, SessionManager};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::Browser;

/// A request through the layer whose handler is `handler`: the answer's status, and what the
/// handler gave.
pub(super) async fn request<R, F, W>(
    node: &SessionManager,
    browser: &Browser,
    handler: F,
) -> (StatusCode, R)
where
    R: Send + 'static,
    F: Fn(Session) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = R> + Send,
{
    let mut request = Request::get("/");
    if let Some(cookie) = browser.cookie() {
        request = request.header(COOKIE, cookie);
    }
    let (status, headers, given) = send(node, request.body(()).unwrap(), handler).await;
    browser.keep(headers.get(SET_COOKIE));
    (status, given)
}

async fn send<R, F, W>(
    node: &SessionManager,
    request: Request<()>,
    handler: F,
) -> (StatusCode, HeaderMap, R)
where
    R: Send + 'static,
    F: Fn(Session) -> W + Clone + Send + Sync + 'static,
    W: Future<Output = R> + Send,
{
    let given = Arc::new(Mutex::new(None));
    let keep = given.clone();
    let service = service_fn(move |request: Request<()>| {
        let (handler, keep) = (handler.clone(), keep.clone());
        async move {
            let handle = request.extensions().get::<SessionHandle>().unwrap().clone();
            let value = handler(handle.session().await?.clone()).await;
            *keep.lock().unwrap() = Some(value);
            Ok::<_, SessionError>(Response::new(String::new()))
        }
    });
    let layer = SessionLayer::new(node.clone());
    let response = layer.layer(service).oneshot(request).await.unwrap();
    let given = given.lock().unwrap().take().unwrap();
    (response.status(), response.headers().clone(), given)
}

/// Sets an attribute through the layer.
async fn set(node: &SessionManager, browser: &Browser, name: &'static str, value: i64) {
    let set = move |session: Session| async move { session.set(name, &value) };
    let (status, result) = request(node, browser, set).await;
    assert_eq!((status, result.is_ok()), (StatusCode::OK, true));
}

/// Reads an attribute through the layer.
async fn read(node: &SessionManager, browser: &Browser, name: &'static str) -> Option<i64> {
    let read = move |session: Session| async move { session.get::<i64>(name).unwrap() };
    request(node, browser, read).await.1
}
