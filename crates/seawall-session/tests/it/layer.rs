//! The tower layer and the axum extractor, as an application uses them.

use std::sync::Arc;

use axum::{Router, body::Body, extract::Path, http::StatusCode, routing::get};
use http::{Request, Response, header::COOKIE, header::SET_COOKIE};
use seawall_session::{
    Session, SessionError, SessionLayer, SessionLimits, SessionManager, SessionSettings,
};
use seawall_store::Value;
use tokio::task::JoinSet;
use tower::ServiceExt;

use crate::support::{Browser, Watched, clock, node, settings, two_nodes};

async fn increment(session: Session) -> Result<String, SessionError> {
    let count = session
        .update("count", |count: Option<u64>| count.unwrap_or(0) + 1)
        .await?;
    Ok(count.to_string())
}

async fn panic(session: Session) -> Result<(), SessionError> {
    let panicking = |_: Option<u64>| panic!("an update of the test panics");
    session.update("count", panicking).await.map(|_: u64| ())
}

async fn set(
    session: Session,
    Path((name, value)): Path<(String, String)>,
) -> Result<(), SessionError> {
    session.set(&name, &value)
}

async fn read(session: Session, Path(name): Path<String>) -> Result<String, SessionError> {
    Ok(session.get::<String>(&name)?.unwrap_or_default())
}

async fn append(
    session: Session,
    Path((name, value)): Path<(String, String)>,
) -> Result<String, SessionError> {
    let appended = |text: Option<String>| text.unwrap_or_default() + &value;
    session.update(&name, appended).await
}

async fn take(session: Session) -> Result<String, SessionError> {
    Ok(session.take("a")?.unwrap_or_default())
}

async fn take_as_number(session: Session) -> String {
    let number = session.take::<u8>("a");
    number.unwrap_err().to_string()
}

async fn read_as_number(session: Session) -> String {
    let number = session.get::<u8>("a");
    number.unwrap_err().to_string()
}

async fn log_in(session: Session) -> Result<(), SessionError> {
    session.log_in("user:42").await
}

async fn log_out(session: Session) -> Result<(), SessionError> {
    session.invalidate().await
}

fn app(manager: SessionManager) -> Router {
    Router::new()
        .route("/plain", get(|| async { "no session" }))
        .route("/increment", get(increment))
        .route("/panic", get(panic))
        .route("/set/{name}/{value}", get(set))
        .route("/append/{name}/{value}", get(append))
        .route("/read/{name}", get(read))
        .route("/read-as-number", get(read_as_number))
        .route("/take", get(take))
        .route("/take-as-number", get(take_as_number))
        .route("/log-in", get(log_in))
        .route("/log-out", get(log_out))
        .layer(SessionLayer::new(manager))
}

fn apps() -> (Arc<Watched>, [Router; 2]) {
    let store = Watched::new();
    let apps = two_nodes(&store, &clock()).map(app);
    (store, apps)
}

async fn send(app: &Router, browser: &Browser, path: &str) -> Response<Body> {
    let mut request = Request::get(path);
    if let Some(cookie) = browser.cookie() {
        request = request.header(COOKIE, cookie);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    browser.keep(response.headers().get(SET_COOKIE));
    response
}

async fn text(app: &Router, browser: &Browser, path: &str) -> String {
    let response = send(app, browser, path).await;
    assert_eq!(response.status(), StatusCode::OK, "{path}");
    let body = axum::body::to_bytes(response.into_body(), 1_024)
        .await
        .unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn a_handler_reads_what_another_node_stored() {
    let (_, [one, two]) = apps();
    let browser = Browser::default();
    text(&one, &browser, "/set/name/Ada").await;
    assert_eq!(text(&two, &browser, "/read/name").await, "Ada");
    assert_eq!(text(&two, &browser, "/increment").await, "1");
    assert_eq!(text(&one, &browser, "/increment").await, "2");
    assert_eq!(text(&one, &browser, "/read/name").await, "Ada");
}

#[tokio::test]
async fn a_request_without_session_costs_the_store_nothing() {
    let (store, [one, _]) = apps();
    let browser = Browser::default();
    assert_eq!(text(&one, &browser, "/plain").await, "no session");
    assert_eq!(text(&one, &browser, "/read/name").await, "");
    assert_eq!(browser.cookie(), None);
    assert_eq!(store.reads.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_are_exact_while_the_id_rotates() {
    let (_, apps) = apps();
    let browser = Browser::default();
    text(&apps[0], &browser, "/increment").await;
    let mut clients = JoinSet::new();
    for client in 0..8_usize {
        let (apps, browser) = (apps.clone(), browser.clone());
        clients.spawn(async move {
            for visit in 0..50 {
                text(&apps[(client + visit) % 2], &browser, "/increment").await;
            }
        });
    }
    clients.join_all().await;
    let old = Browser::with_cookie(browser.cookie());
    text(&apps[0], &browser, "/log-in").await;
    assert_ne!(old.cookie(), browser.cookie());
    assert_eq!(text(&apps[1], &browser, "/increment").await, "402");
    assert_eq!(
        text(&apps[0], &old, "/increment").await,
        "1",
        "the old id is dead"
    );
}

#[tokio::test]
async fn logging_out_on_one_node_is_logging_out_on_the_other() {
    let (_, [one, two]) = apps();
    let browser = Browser::default();
    text(&one, &browser, "/set/name/Ada").await;
    text(&two, &browser, "/read/name").await;
    let elsewhere = Browser::with_cookie(browser.cookie());
    text(&one, &browser, "/log-out").await;
    assert_eq!(browser.cookie(), None);
    assert_eq!(text(&two, &elsewhere, "/read/name").await, "");
}

#[tokio::test]
async fn a_value_of_another_type_is_a_clear_error() {
    let (_, [one, _]) = apps();
    let browser = Browser::default();
    text(&one, &browser, "/set/count/many").await;
    let response = send(&one, &browser, "/increment").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        text(&one, &browser, "/read/count").await,
        "many",
        "nothing was harmed"
    );
}

#[tokio::test]
async fn what_is_too_large_is_refused_when_it_is_set() {
    let small = SessionSettings {
        limits: SessionLimits {
            value: 100,
            ..SessionLimits::default()
        },
        ..settings("node1")
    };
    let manager = node(Watched::new(), clock(), small);
    let browser = Browser::default();
    let large = "x".repeat(101);
    let refused = browser
        .visit(&manager, |draft| draft.set("text", &*large))
        .await
        .unwrap();
    let text = refused.unwrap_err().to_string();
    assert!(
        text.contains("\"text\"") && text.contains("session.limits.value"),
        "{text}"
    );
    assert_eq!(browser.cookie(), None, "no session was made for nothing");
    let fits = browser
        .visit(&manager, |draft| draft.set("text", "short"))
        .await
        .unwrap();
    assert_eq!(fits, Ok(()));
}

#[tokio::test]
async fn an_update_that_is_too_large_is_refused_and_commits_nothing() {
    let small = SessionSettings {
        limits: SessionLimits {
            session: 60,
            ..SessionLimits::default()
        },
        ..settings("node1")
    };
    let store = Watched::new();
    let app = app(node(store.clone(), clock(), small));
    let browser = Browser::default();
    text(&app, &browser, &format!("/append/text/{}", "x".repeat(40))).await;
    let commits = store.commits.load(std::sync::atomic::Ordering::SeqCst);
    let response = send(&app, &browser, &format!("/append/text/{}", "y".repeat(40))).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let after = store.commits.load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(after, commits, "refused before the store was asked");
    let kept = text(&app, &browser, "/read/text").await;
    assert_eq!(kept, "x".repeat(40));
}

#[tokio::test]
async fn p7_an_attribute_that_cannot_be_read_is_skipped_and_kept() {
    let store = Watched::new();
    let manager = node(store.clone(), clock(), settings("node1"));
    let browser = Browser::default();
    let damaged = Value::Opaque(vec![0xc1, 7].into());
    let set = browser
        .visit(&manager, |draft| draft.set("count", damaged.clone()))
        .await;
    set.unwrap().unwrap();
    let (seen, listed) = browser
        .visit(&manager, |draft| {
            (draft.value("count").cloned(), draft.attributes().count())
        })
        .await
        .unwrap();
    assert_eq!((seen, listed), (None, 0));

    let app = app(node(store, clock(), settings("node2")));
    assert_eq!(text(&app, &browser, "/read/count").await, "");
    let response = send(&app, &browser, "/increment").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    text(&app, &browser, "/set/name/Ada").await;
    let kept = browser
        .visit(&manager, |draft| draft.record().attributes.clone())
        .await
        .unwrap();
    assert_eq!(kept["count"], damaged);
    assert_eq!(kept["name"], "Ada".into());
}

#[tokio::test]
async fn an_attribute_of_another_type_is_named_with_both_types() {
    let (_, [app, _]) = apps();
    let browser = Browser::default();
    text(&app, &browser, "/set/a/hush").await;
    let error = text(&app, &browser, "/read-as-number").await;
    for part in ["\"a\"", "it is text", "expected u8"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("hush"), "it goes to the log: {error}");
}

#[tokio::test]
async fn what_is_taken_is_there_once() {
    let (_, [one, two]) = apps();
    let browser = Browser::default();
    text(&one, &browser, "/set/a/text").await;
    text(&two, &browser, "/take-as-number").await;
    assert_eq!(text(&two, &browser, "/take").await, "text");
    assert_eq!(text(&one, &browser, "/take").await, "");
}

#[tokio::test]
async fn an_update_that_panics_is_one_request_that_fails() {
    let (_, [app, _]) = apps();
    let browser = Browser::default();
    assert_eq!(text(&app, &browser, "/increment").await, "1");
    for path in ["/panic", "/panic"] {
        let (app, browser) = (app.clone(), browser.clone());
        let panicking = tokio::spawn(async move { send(&app, &browser, path).await });
        assert!(panicking.await.unwrap_err().is_panic());
    }
    assert_eq!(text(&app, &browser, "/increment").await, "2");
}
