//! The sessions of one principal: on which node, and how many.

use std::sync::Arc;

use axum::{Router, body::Body, http::StatusCode, routing::get};
use http::{Request, header::COOKIE, header::SET_COOKIE};
use seawall_session::{
    PrincipalLimit, Session, SessionError, SessionLayer, SessionManager, SessionSettings,
};
use seawall_store::Clock;
use tower::ServiceExt;

use crate::support::{Browser, Watched, clock, node, settings};

const PRINCIPAL: &str = "user:42";

async fn log_in(session: Session) -> Result<(), SessionError> {
    session.log_in(PRINCIPAL).await
}

async fn revoke_others(session: Session) -> Result<String, SessionError> {
    Ok(session.revoke_others().await?.to_string())
}

async fn who(session: Session) -> String {
    session
        .principal()
        .as_deref()
        .unwrap_or("nobody")
        .to_owned()
}

/// Two nodes with a limit, and their applications.
fn nodes(limit: Option<PrincipalLimit>) -> ([SessionManager; 2], [Router; 2]) {
    nodes_over(&Watched::new(), limit)
}

fn nodes_over(
    store: &Arc<Watched>,
    limit: Option<PrincipalLimit>,
) -> ([SessionManager; 2], [Router; 2]) {
    let clock = clock();
    let managers = ["node1", "node2"].map(|name| {
        let limited = SessionSettings {
            principal_limit: limit,
            ..settings(name)
        };
        let clock: Arc<dyn Clock> = clock.clone();
        node(store.clone(), clock, limited)
    });
    let application = |manager: &SessionManager| {
        Router::new()
            .route("/log-in", get(log_in))
            .route("/revoke-others", get(revoke_others))
            .route("/who", get(who))
            .layer(SessionLayer::new(manager.clone()))
    };
    let applications = [application(&managers[0]), application(&managers[1])];
    (managers, applications)
}

async fn send(application: &Router, browser: &Browser, path: &str) -> (StatusCode, String) {
    let mut request = Request::get(path);
    if let Some(cookie) = browser.cookie() {
        request = request.header(COOKIE, cookie);
    }
    let request = request.body(Body::empty()).unwrap();
    let response = application.clone().oneshot(request).await.unwrap();
    browser.keep(response.headers().get(SET_COOKIE));
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1_024)
        .await
        .unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn logged_in(application: &Router) -> Browser {
    let browser = Browser::default();
    let (status, _) = send(application, &browser, "/log-in").await;
    assert_eq!(status, StatusCode::OK);
    browser
}

#[tokio::test]
async fn logging_out_everywhere_else_leaves_this_session() {
    let (managers, [one, two]) = nodes(None);
    let phone = logged_in(&one).await;
    let laptop = logged_in(&two).await;
    let tablet = logged_in(&one).await;
    assert_eq!(managers[0].sessions_of(PRINCIPAL).await.unwrap().len(), 3);
    assert_eq!(send(&two, &phone, "/revoke-others").await.1, "2");
    for (browser, expected) in [
        (&phone, PRINCIPAL),
        (&laptop, "nobody"),
        (&tablet, "nobody"),
    ] {
        for application in [&one, &two] {
            assert_eq!(send(application, browser, "/who").await.1, expected);
        }
    }
    let left = managers[1].sessions_of(PRINCIPAL).await.unwrap();
    assert_eq!(left.len(), 1);
    managers[1].revoke(&left[0]).await.unwrap();
    assert_eq!(send(&one, &phone, "/who").await.1, "nobody");
}

#[tokio::test]
async fn more_sessions_than_a_list_holds_all_end() {
    let store = Watched::new();
    let (managers, [one, two]) = nodes_over(&store, None);
    let mut browsers = Vec::new();
    for _ in 0..8 {
        browsers.push(logged_in(&one).await);
    }
    store.limit_lists(3);
    assert_eq!(send(&two, &browsers[0], "/revoke-others").await.1, "7");
    for browser in &browsers[1..] {
        assert_eq!(send(&one, browser, "/who").await.1, "nobody");
    }
    assert_eq!(send(&one, &browsers[0], "/who").await.1, PRINCIPAL);
    logged_in(&one).await;
    assert_eq!(managers[0].revoke_all(PRINCIPAL, None).await.unwrap(), 2);
}

#[tokio::test]
async fn the_oldest_session_makes_room() {
    let (managers, [one, two]) = nodes(Some(PrincipalLimit::EvictOldest(2)));
    let first = logged_in(&one).await;
    let second = logged_in(&two).await;
    let third = logged_in(&one).await;
    assert_eq!(managers[0].sessions_of(PRINCIPAL).await.unwrap().len(), 2);
    assert_eq!(send(&two, &third, "/who").await.1, PRINCIPAL);
    let kept = [&first, &second].map(|browser| send(&one, browser, "/who"));
    let [first, second] = kept;
    let kept = [first.await.1, second.await.1];
    assert_eq!(kept.iter().filter(|who| *who == PRINCIPAL).count(), 1);
}

#[tokio::test]
async fn one_session_too_many_is_refused() {
    let (managers, [one, two]) = nodes(Some(PrincipalLimit::Refuse(1)));
    let first = logged_in(&one).await;
    let second = Browser::default();
    let (status, text) = send(&two, &second, "/log-in").await;
    assert_eq!(status, StatusCode::CONFLICT, "{text}");
    assert!(text.contains("too many sessions"), "{text}");
    assert_eq!(
        send(&two, &first, "/log-in").await.0,
        StatusCode::OK,
        "it is the same session"
    );
    assert_eq!(managers[0].sessions_of(PRINCIPAL).await.unwrap().len(), 1);
    assert_eq!(send(&two, &second, "/who").await.1, "nobody");
}
