//! What a handler does with its session when the response has left, and layers around layers.

use std::{future::Future, sync::Arc};

use axum::{Router, body::Body, http::StatusCode, routing::get};
use http::{
    Request, Response,
    header::{COOKIE, SET_COOKIE},
};
use seawall_session::{
    CookieSettings, Session, SessionError, SessionHandle, SessionLayer, SessionManager,
};
use tokio::sync::{
    Notify,
    mpsc::{Receiver, channel},
};
use tower::ServiceExt;

use crate::support::{Browser, Watched, clock, node, settings, two_nodes};

async fn send(app: &Router, browser: &Browser) -> Response<Body> {
    let mut request = Request::get("/");
    if let Some(cookie) = browser.cookie() {
        request = request.header(COOKIE, cookie);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    browser.keep(response.headers().get(SET_COOKIE));
    response
}

/// An application that does nothing but keep the sessions of its requests.
fn keeping(manager: SessionManager) -> (Router, Receiver<Session>) {
    let (kept, sessions) = channel(1);
    let keep = async move |session: Session| kept.send(session).await.unwrap();
    let app = Router::new().route("/", get(keep));
    (app.layer(SessionLayer::new(manager)), sessions)
}

/// The session of a request that has been answered, in which 1 was counted before.
async fn kept_after_its_answer(manager: SessionManager, browser: &Browser) -> Session {
    let counting = browser.visit(&manager, |draft| draft.set("count", 1).unwrap());
    counting.await.unwrap();
    let (app, mut sessions) = keeping(manager);
    send(&app, browser).await;
    sessions.recv().await.unwrap()
}

async fn count(manager: &SessionManager, browser: &Browser) -> Option<i64> {
    let counted = browser.visit(manager, |draft| {
        draft.value("count").and_then(seawall_store::Value::as_i64)
    });
    counted.await.unwrap()
}

#[tokio::test]
async fn what_is_saved_after_the_response_is_kept() {
    let [one, two] = two_nodes(&Watched::new(), &clock());
    let browser = Browser::default();
    let session = kept_after_its_answer(one, &browser).await;
    session.set("count", &2).unwrap();
    assert_eq!(count(&two, &browser).await, Some(1));
    session.save().await.unwrap();
    assert_eq!(count(&two, &browser).await, Some(2));
    let increment = |count: Option<i64>| count.unwrap_or(0) + 1;
    assert_eq!(session.update("count", increment).await.unwrap(), 3);
    session.invalidate().await.unwrap();
    assert_eq!(count(&two, &browser).await, None);
}

async fn assert_too_late<R: std::fmt::Debug>(done: impl Future<Output = Result<R, SessionError>>) {
    let done = done.await;
    assert!(matches!(done, Err(SessionError::Answered)), "{done:?}");
}

#[tokio::test]
async fn no_client_loses_its_session_to_an_id_that_it_cannot_be_told_of() {
    let [one, two] = two_nodes(&Watched::new(), &clock());
    let browser = Browser::default();
    let session = kept_after_its_answer(one, &browser).await;
    assert_too_late(session.rotate_id()).await;
    assert_too_late(session.log_in("user:42")).await;
    session.save().await.unwrap();
    assert_eq!(session.principal(), None);
    assert_eq!(count(&two, &browser).await, Some(1));
}

#[tokio::test]
async fn no_session_begins_that_its_client_cannot_be_told_of() {
    let store = Watched::new();
    let manager = node(store, clock(), settings("node1"));
    let (app, mut sessions) = keeping(manager.clone());
    send(&app, &Browser::default()).await;
    let session = sessions.recv().await.unwrap();
    assert_too_late(session.update("count", |count: Option<i64>| count.unwrap_or(0))).await;
    session.set("count", &1).unwrap();
    assert_too_late(session.save()).await;
    assert_eq!(manager.statistics().created, 0);
}

#[tokio::test]
async fn a_session_that_is_first_looked_at_after_the_response_is_too_late_as_well() {
    let manager = node(Watched::new(), clock(), settings("node1"));
    let (kept, mut handles) = channel(1);
    let keep = async move |request: Request<Body>| {
        let handle = request.extensions().get::<SessionHandle>().unwrap();
        kept.send(handle.clone()).await.unwrap();
    };
    let app = Router::new().route("/", get(keep));
    let app = app.layer(SessionLayer::new(manager));
    send(&app, &Browser::default()).await;
    let handle = handles.recv().await.unwrap();
    let session = handle.session().await.unwrap();
    session.set("count", &1).unwrap();
    assert_too_late(session.save()).await;
}

async fn increment(session: Session) -> Result<String, SessionError> {
    let increment = |count: Option<i64>| count.unwrap_or(0) + 1;
    let count = session.update("count", increment).await?;
    Ok(count.to_string())
}

#[tokio::test]
async fn a_layer_around_itself_is_one_layer() {
    let manager = node(Watched::new(), clock(), settings("node1"));
    let between = async |session: Session, request, next: axum::middleware::Next| {
        session.set("count", &7).unwrap();
        next.run(request).await
    };
    let app = Router::new()
        .route("/", get(increment))
        .layer(SessionLayer::new(manager.clone()))
        .layer(axum::middleware::from_fn(between))
        .layer(SessionLayer::new(manager.clone()));
    let browser = Browser::default();
    let response = send(&app, &browser).await;
    assert_eq!(response.headers().get_all(SET_COOKIE).iter().count(), 1);
    assert_eq!(count(&manager, &browser).await, Some(8));
}

#[tokio::test]
async fn of_layers_with_cookies_of_their_own_the_inner_one_counts() {
    let named = |name: &str| {
        let mut settings = settings("node1");
        settings.cookie = CookieSettings {
            name: name.into(),
            ..CookieSettings::default()
        };
        node(Watched::new(), clock(), settings)
    };
    let app = Router::new()
        .route("/", get(increment))
        .layer(SessionLayer::new(named("INNER")))
        .layer(SessionLayer::new(named("OUTER")));
    let browser = Browser::default();
    send(&app, &browser).await;
    assert!(browser.cookie().unwrap().starts_with("INNER="));
}

#[tokio::test]
async fn a_slow_answer_does_not_put_an_old_id_in_the_place_of_a_login() {
    let [one, two] = two_nodes(&Watched::new(), &clock());
    let browser = Browser::default();
    let counting = browser.visit(&two, |draft| draft.set("count", 1).unwrap());
    counting.await.unwrap();
    let logged_in = Arc::new(Notify::new());
    let login = logged_in.clone();
    let slow = async move |_: Session| login.notified().await;
    let log_in = async |session: Session| session.log_in("user:42").await;
    let slow = Router::new()
        .route("/", get(slow))
        .layer(SessionLayer::new(one.clone()));
    let log_in = Router::new()
        .route("/", get(log_in))
        .layer(SessionLayer::new(one));
    let before = Browser::with_cookie(browser.cookie());
    let slowly = async { send(&slow, &before).await };
    let quickly = async {
        send(&log_in, &browser).await;
        logged_in.notify_one();
    };
    let (slow, ()) = tokio::join!(slowly, quickly);
    assert_eq!(slow.headers().get(SET_COOKIE), None);
    assert_eq!(count(&two, &browser).await, Some(1));
}
