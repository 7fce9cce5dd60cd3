//! What happens to a session while its response leaves, or is about to.

use std::{sync::Arc, time::Duration};

use axum::{Router, body::Body, routing::get};
use http::{Request, StatusCode, header::COOKIE, header::SET_COOKIE, request::Parts};
use seawall_session::{
    PrincipalLimit, Session, SessionError, SessionLayer, SessionManager, SessionSettings,
};
use seawall_store::ManualClock;
use tokio::{
    sync::mpsc::{Receiver, channel},
    task::JoinHandle,
};
use tower::ServiceExt;

use crate::support::{Browser, Watched, clock, node, settings};

const MINUTE: Duration = Duration::from_secs(60);

/// Sends a request, keeps the cookie of its answer, and says whether there was one.
async fn send(app: &Router, browser: &Browser) -> (StatusCode, bool) {
    let request = Request::get("/").header(COOKIE, browser.cookie().unwrap());
    let request = request.body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let cookie = response.headers().get(SET_COOKIE);
    browser.keep(cookie);
    (response.status(), cookie.is_some())
}

fn app<H, T>(manager: &SessionManager, handler: H) -> Router
where
    H: axum::handler::Handler<T, ()>,
    T: 'static,
{
    let layer = SessionLayer::new(manager.clone());
    Router::new().route("/", get(handler)).layer(layer)
}

async fn principal(manager: &SessionManager, browser: &Browser) -> Option<Arc<str>> {
    let (tell, mut told) = channel(1);
    let look = async move |session: Session| tell.send(session.principal()).await.unwrap();
    send(&app(manager, look), browser).await;
    told.recv().await.unwrap()
}

fn assert_too_late(done: &Result<(), SessionError>) {
    assert!(matches!(done, Err(SessionError::Answered)), "{done:?}");
}

#[tokio::test(start_paused = true)]
async fn p8_a_login_that_failed_is_not_made_up_for_after_the_response() {
    let store = Watched::new();
    let one = node(store.clone(), clock(), settings("node1"));
    let browser = Browser::default();
    browser.count(&one).await.unwrap();
    let (kept, mut sessions) = channel(1);
    let away = store.clone();
    let log_in = async move |session: Session| {
        away.take_away(true);
        session.log_in("user:42").await.unwrap_err();
        away.take_away(false);
        kept.send(session).await.unwrap();
    };
    let (status, has_cookie) = send(&app(&one, log_in), &browser).await;
    assert_eq!(
        (status, has_cookie),
        (StatusCode::SERVICE_UNAVAILABLE, false)
    );
    let session = sessions.recv().await.unwrap();
    for _ in 0..2 {
        assert_too_late(&session.save().await);
    }
    assert_eq!(browser.read(&one).await.unwrap(), Some(1));
    assert_eq!(principal(&one, &browser).await, None);
    session.invalidate().await.unwrap();
    assert_eq!(browser.read(&one).await.unwrap(), None);
}

/// An application that is still logging in when its response leaves.
fn logging_in(manager: &SessionManager) -> (Router, Receiver<(Session, JoinHandle<Login>)>) {
    let (kept, logins) = channel(1);
    let log_in = async move |session: Session| {
        let clone = session.clone();
        let login = tokio::spawn(async move { clone.log_in("user:42").await });
        tokio::task::yield_now().await;
        kept.send((session, login)).await.unwrap();
    };
    (app(manager, log_in), logins)
}

type Login = Result<(), SessionError>;

#[tokio::test]
async fn p8_a_login_that_the_response_overtakes_is_none() {
    let store = Watched::new();
    let limited = SessionSettings {
        principal_limit: Some(PrincipalLimit::Refuse(5)),
        ..settings("node1")
    };
    let one = node(store.clone(), clock(), limited);
    let browser = Browser::default();
    browser.count(&one).await.unwrap();
    let (app, mut logins) = logging_in(&one);
    store.open_gate(false);
    assert_eq!(send(&app, &browser).await, (StatusCode::OK, false));
    store.open_gate(true);
    let (session, login) = logins.recv().await.unwrap();
    assert_too_late(&login.await.unwrap());
    session.save().await.unwrap();
    assert_eq!(principal(&one, &browser).await, None);
    assert_eq!(browser.read(&one).await.unwrap(), Some(1));
}

fn renewing(name: &str, store: &Arc<Watched>, clock: &Arc<ManualClock>) -> SessionManager {
    let mut settings = settings(name);
    settings.renewal_timeout = Some(15 * MINUTE);
    settings.cookie.max_age = Some(60 * MINUTE);
    node(store.clone(), clock.clone(), settings)
}

/// Another node logs a client in while this one renews the id of its session.
#[tokio::test]
async fn a_visit_does_not_put_an_old_id_in_the_place_of_a_login() {
    let (store, clock) = (Watched::new(), clock());
    let [one, two] = ["node1", "node2"].map(|name| renewing(name, &store, &clock));
    let browser = Browser::default();
    browser.count(&one).await.unwrap();
    clock.advance(15 * MINUTE - Duration::from_millis(1));
    // Both nodes tell the store of an access, so that they need not do so below.
    browser.count(&two).await.unwrap();
    let slow = Browser::with_cookie(browser.cookie());
    browser.count(&one).await.unwrap();
    clock.advance(Duration::from_millis(1));
    let log_in = app(&two, async |session: Session| {
        session.log_in("user:42").await
    });
    let commits = store.commits.load(std::sync::atomic::Ordering::SeqCst);
    store.open_gate(false);
    let visiting = async { one.visit(&slow.presented(), |_| ()).await.unwrap() };
    let logging_in = send(&log_in, &browser);
    let opening = async {
        store.until_commits(commits + 2).await;
        store.open_gate(true);
    };
    let (visited, login, ()) = tokio::join!(visiting, logging_in, opening);
    assert_eq!(visited.cookie, None);
    assert_eq!(login, (StatusCode::OK, true));
    assert_eq!(browser.read(&two).await.unwrap(), Some(3));
}

#[tokio::test]
async fn a_session_that_a_clone_begins_while_an_id_is_renewed_reaches_its_client() {
    let (store, clock) = (Watched::new(), clock());
    let one = renewing("node1", &store, &clock);
    let browser = Browser::default();
    browser.count(&one).await.unwrap();
    clock.advance(15 * MINUTE);
    browser.count(&one).await.unwrap();
    clock.advance(15 * MINUTE - Duration::from_millis(1));
    browser.count(&one).await.unwrap();
    clock.advance(Duration::from_millis(1));
    let (kept, mut sessions) = channel(1);
    let app = app(&one, async move |session: Session| {
        kept.send(session).await.unwrap()
    });
    let commits = store.commits.load(std::sync::atomic::Ordering::SeqCst);
    store.open_gate(false);
    let sending = send(&app, &browser);
    let beginning_anew = async {
        let session = sessions.recv().await.unwrap();
        store.until_commits(commits + 1).await;
        let anew = async {
            session.invalidate().await.unwrap();
            session.set("count", &7).unwrap();
            session.save().await.unwrap();
        };
        let opening = async { store.open_gate(true) };
        tokio::join!(anew, opening);
    };
    let ((status, has_cookie), ()) = tokio::join!(sending, beginning_anew);
    assert_eq!((status, has_cookie), (StatusCode::OK, true));
    assert_eq!(browser.read(&one).await.unwrap(), Some(7));
}

#[tokio::test]
async fn what_is_sent_again_after_its_response_is_a_request_of_its_own() {
    let one = node(Watched::new(), clock(), settings("node1"));
    let browser = Browser::default();
    browser.count(&one).await.unwrap();
    let (kept, mut requests) = channel::<Parts>(1);
    let keep = async move |session: Session, parts: Parts| {
        kept.send(parts).await.unwrap();
        drop(session);
    };
    let set = async |session: Session| session.set("count", &7);
    let app = Router::new()
        .route("/", get(keep))
        .route("/set", get(set))
        .layer(SessionLayer::new(one.clone()));
    assert_eq!(send(&app, &browser).await, (StatusCode::OK, false));
    let mut parts = requests.recv().await.unwrap();
    parts.uri = "/set".parse().unwrap();
    let request = Request::from_parts(parts, Body::empty());
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(browser.read(&one).await.unwrap(), Some(7));
}
