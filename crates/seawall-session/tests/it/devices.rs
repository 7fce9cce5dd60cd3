//! Which device uses a session: noted without a write of its own for each request.

use std::{sync::atomic::Ordering, time::Duration};

use axum::{Router, body::Body, routing::get};
use http::{
    Request,
    header::{COOKIE, SET_COOKIE, USER_AGENT},
};
use seawall_session::{
    ClientAddress, Draft, Session, SessionError, SessionLayer, SessionManager, SessionSettings,
};
use seawall_store::Device;
use tower::ServiceExt;

use crate::support::{Browser, Watched, clock, node, settings};

fn noting(node: &str) -> SessionSettings {
    SessionSettings {
        device_notes: true,
        ..settings(node)
    }
}

fn phone(address: &str) -> Device {
    Device::new(Some("Phone/1"), address.parse().ok())
}

async fn visit(
    sessions: &SessionManager,
    browser: &Browser,
    device: &Device,
    work: impl FnMut(&mut Draft<'_>),
) {
    let presented = browser.presented();
    let visited = sessions.visit_from(Some(device.clone()), &presented, work);
    browser.keep(visited.await.unwrap().cookie.as_ref());
}

fn own(draft: &mut Draft<'_>) {
    draft.set_principal(Some("user:42".into())).unwrap();
}

async fn noted(sessions: &SessionManager) -> Vec<Option<Device>> {
    let listed = sessions.sessions_of("user:42").await.unwrap();
    sessions.devices(&listed).await.unwrap()
}

#[tokio::test]
async fn a_device_is_noted_when_the_session_is_made_and_when_it_is_written() {
    let (store, clock) = (Watched::new(), clock());
    let nodes = ["node1", "node2"].map(|name| node(store.clone(), clock.clone(), noting(name)));
    let browser = Browser::default();
    let (home, tram) = (phone("192.0.2.1"), phone("2001:db8::1"));
    visit(&nodes[0], &browser, &home, own).await;
    assert_eq!(noted(&nodes[1]).await, [Some(home)]);
    let commits = store.commits.load(Ordering::SeqCst);
    visit(&nodes[1], &browser, &tram, own).await;
    assert_eq!(noted(&nodes[0]).await, [Some(tram)]);
    assert_eq!(store.commits.load(Ordering::SeqCst), commits + 1);
}

#[tokio::test]
async fn a_device_that_moves_while_it_reads_is_noted_once_per_touch_interval() {
    let (store, clock) = (Watched::new(), clock());
    let [node1, node2] =
        ["node1", "node2"].map(|name| node(store.clone(), clock.clone(), noting(name)));
    let browser = Browser::default();
    let (home, tram) = (phone("192.0.2.1"), phone("192.0.2.2"));
    visit(&node1, &browser, &home, own).await;
    let before = store.commits.load(Ordering::SeqCst);
    for _ in 0..59 {
        clock.advance(Duration::from_secs(1));
        visit(&node1, &browser, &tram, |_| ()).await;
    }
    assert_eq!(store.commits.load(Ordering::SeqCst), before);
    assert_eq!(noted(&node2).await, [Some(home)]);
    clock.advance(Duration::from_secs(1));
    visit(&node1, &browser, &tram, |_| ()).await;
    assert_eq!(store.commits.load(Ordering::SeqCst), before + 1);
    assert_eq!(noted(&node2).await, [Some(tram.clone())]);
    let last_access = node1.sessions_of("user:42").await.unwrap()[0].last_access;
    assert_eq!(
        last_access,
        seawall_store::Clock::now(&*clock),
        "it is told the access too"
    );
    clock.advance(Duration::from_secs(60));
    visit(&node1, &browser, &tram, |_| ()).await;
    assert_eq!(store.commits.load(Ordering::SeqCst), before + 2, "a touch");
}

#[tokio::test]
async fn nothing_is_noted_unless_that_is_set() {
    let (store, clock) = (Watched::new(), clock());
    let sessions = node(store, clock, settings("node1"));
    let browser = Browser::default();
    visit(&sessions, &browser, &phone("192.0.2.1"), own).await;
    assert_eq!(noted(&sessions).await, [None]);
}

async fn log_in(session: Session) -> Result<(), SessionError> {
    session.log_in("user:42").await
}

#[tokio::test]
async fn the_layer_notes_what_the_request_says() {
    let (store, clock) = (Watched::new(), clock());
    let sessions = node(store, clock, noting("node1"));
    let application = Router::new()
        .route("/", get(log_in))
        .layer(SessionLayer::new(sessions.clone()));
    let browser = Browser::default();
    for agent in ["Phone/1", "Phone/2"] {
        let address = ClientAddress("192.0.2.7".parse().unwrap());
        let mut request = Request::get("/")
            .header(USER_AGENT, agent)
            .extension(address);
        if let Some(cookie) = browser.cookie() {
            request = request.header(COOKIE, cookie);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = application.clone().oneshot(request).await.unwrap();
        browser.keep(response.headers().get(SET_COOKIE));
        let expected = Device::new(Some(agent), Some(address.0));
        assert_eq!(noted(&sessions).await, [Some(expected)]);
    }
}
