//! Which cookies are sessions, and what is no cookie.

use axum::{Router, body::Body, routing::get};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header::COOKIE, header::SET_COOKIE};
use seawall_session::{
    CookieSettings, Presented, SameSite, Secure, Session, SessionId, SessionLayer, SessionManager,
};
use tower::ServiceExt;

use super::send;
use crate::support::{Browser, Watched, clock, node, settings, two_nodes};

const UNKNOWN: &str = "JSESSIONID=AAAAAAAAAAAAAAAAAAAAAA.node1";

async fn read(node: &SessionManager, cookies: &str) -> Option<i64> {
    let mut headers = HeaderMap::new();
    headers.insert(COOKIE, HeaderValue::from_str(cookies).unwrap());
    let presented = Presented::all(&headers, "JSESSIONID");
    let count = |draft: &mut seawall_session::Draft<'_>| {
        draft.value("count").and_then(seawall_store::Value::as_i64)
    };
    node.visit(&presented, count).await.unwrap().value
}

#[tokio::test]
async fn of_several_cookies_the_one_that_exists_counts() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&nodes[0]).await.unwrap();
    let valid = browser.cookie().unwrap();
    for cookies in [
        format!("{valid}; {UNKNOWN}"),
        format!("{UNKNOWN}; {valid}"),
        format!("{UNKNOWN}; {valid}; {UNKNOWN}"),
        format!("JSESSIONID=; JSESSIONID=x.y; {valid}"),
    ] {
        for node in &nodes {
            assert_eq!(read(node, &cookies).await, Some(1), "{cookies}");
        }
    }
}

#[tokio::test]
async fn the_same_cookie_twice_is_one_session() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&nodes[0]).await.unwrap();
    let valid = browser.cookie().unwrap();
    for node in &nodes {
        assert_eq!(read(node, &format!("{valid}; {valid}")).await, Some(1));
    }
}

/// Jetty answers 400. An attacker who can plant a cookie could lock a client out that way; here the
/// first one counts, which is the one with the longest path (RFC 6265, section 5.4).
#[tokio::test]
async fn of_two_sessions_the_first_counts() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] = two_nodes(&store, &clock);
    let (one, two) = (Browser::default(), Browser::default());
    one.count(&node1).await.unwrap();
    two.count(&node1).await.unwrap();
    two.count(&node2).await.unwrap();
    let (one, two) = (one.cookie().unwrap(), two.cookie().unwrap());
    assert_eq!(read(&node1, &format!("{one}; {two}")).await, Some(1));
    assert_eq!(read(&node1, &format!("{two}; {one}")).await, Some(2));
}

#[tokio::test]
async fn an_id_in_the_url_is_no_session() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, _] = two_nodes(&store, &clock);
    let browser = Browser::default();
    browser.count(&node1).await.unwrap();
    let cookie = browser.cookie().unwrap();
    let id = cookie.strip_prefix("JSESSIONID=").unwrap();
    for url in [format!("/;jsessionid={id}"), format!("/?JSESSIONID={id}")] {
        let request = Request::get(url).body(()).unwrap();
        let read = |session: Session| async move { session.get::<i64>("count").unwrap() };
        let (status, headers, count) = send(&node1, request, read).await;
        assert_eq!((status, count), (StatusCode::OK, None));
        assert_eq!(headers.get(SET_COOKIE), None);
    }
}

#[tokio::test]
async fn a_session_is_told_to_its_client_once() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, _] = two_nodes(&store, &clock);
    let browser = Browser::default();
    let mut told = 0;
    for _ in 0..3 {
        let presented = browser.presented();
        let visited = node1.visit(&presented, |draft| draft.set("a", 1).unwrap());
        let cookie = visited.await.unwrap().cookie;
        browser.keep(cookie.as_ref());
        told += usize::from(cookie.is_some());
    }
    assert_eq!(told, 1);
}

#[test]
fn cookies_have_the_attributes_that_are_set() {
    let id = SessionId::generate();
    let settings = CookieSettings {
        path: "/shop".into(),
        domain: Some("shop.example".into()),
        max_age: Some(std::time::Duration::from_secs(86_400)),
        secure: Secure::Always,
        same_site: SameSite::None,
        ..CookieSettings::default()
    };
    for header in [settings.issue(&id, "node1"), settings.expire()] {
        let text = header.to_str().unwrap();
        for attribute in [
            "; Path=/shop",
            "; Domain=shop.example",
            "; HttpOnly",
            "; Secure",
            "; SameSite=None",
        ] {
            assert!(text.contains(attribute), "{attribute}");
        }
        assert!(header.is_sensitive(), "it is kept out of logs");
    }
    let issued = settings.issue(&id, "node1");
    assert!(issued.to_str().unwrap().contains("; Max-Age=86400"));
    assert!(settings.expire().to_str().unwrap().contains("; Max-Age=0"));
}

#[tokio::test]
async fn a_cookie_that_ages_is_sent_again() {
    let mut settings = settings("node1");
    settings.cookie.max_age = Some(std::time::Duration::from_secs(86_400));
    let manager = node(Watched::new(), clock(), settings);
    let app = app(manager.clone());
    let browser = Browser::default();
    browser.count(&manager).await.unwrap();
    for path in ["/read", "/plain"] {
        let request = Request::get(path).header(COOKIE, browser.cookie().unwrap());
        let request = request.body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        let is_sent = response.headers().contains_key(SET_COOKIE);
        assert_eq!(is_sent, path == "/read", "{path}");
    }
    let visited = manager.visit(&browser.presented(), |_| ()).await.unwrap();
    assert!(visited.cookie.is_some());
}

fn app(manager: SessionManager) -> Router {
    Router::new()
        .route("/plain", get(async || "plain"))
        .route(
            "/read",
            get(async |session: Session| session.id().is_some().to_string()),
        )
        .layer(SessionLayer::new(manager))
}
