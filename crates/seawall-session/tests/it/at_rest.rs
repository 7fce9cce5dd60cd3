//! What the files of a store hold: no session id, and with encryption no attribute.

use std::{path::Path, process::Command, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Request, Response, header::COOKIE, header::SET_COOKIE};
use seawall_session::{SessionError, SessionHandle, SessionId, SessionLayer};
use seawall_store::{Codec, KeyRing, StoreOptions, StoreUrl, SystemClock};
use seawall_testing::{TestMariaDb, TestPostgres, TestRedis};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{Browser, node, settings};

#[tokio::test]
async fn the_files_of_sqlite_tell_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("sessions.db").display());
    files_tell_nothing(&url, folder.path()).await;
}

#[tokio::test]
async fn the_files_of_postgresql_tell_nothing() {
    let server = TestPostgres::start();
    files_tell_nothing(&server.url(), server.folder()).await;
}

#[tokio::test]
async fn the_files_of_mariadb_tell_nothing() {
    let server = TestMariaDb::start();
    files_tell_nothing(&server.url(), server.folder()).await;
}

#[tokio::test]
async fn the_files_of_redis_tell_nothing() {
    let server = TestRedis::start();
    files_tell_nothing(&server.url(), server.folder()).await;
}

/// Looks into all files, logs included. That an attribute in clear, and the digest of an id, are
/// found there shows that the search works.
async fn files_tell_nothing(url: &str, folder: &Path) {
    for id in write(url, encrypting(), "hush-hush").await {
        assert!(holds(folder, &id.stored()));
        assert!(!holds(folder, id.as_str()), "a session id in clear");
    }
    assert!(!holds(folder, "hush-hush"), "an attribute in clear");
    for id in write(url, Codec::default(), "well-known").await {
        assert!(!holds(folder, id.as_str()), "a session id in clear");
    }
    assert!(holds(folder, "well-known"));
}

/// Whether any file in the folder holds the text.
fn holds(folder: &Path, text: &str) -> bool {
    let found = Command::new("grep")
        .args(["--recursive", "--text", "--fixed-strings", "--quiet", "--"])
        .arg(text)
        .arg(folder)
        .status()
        .unwrap();
    match found.code() {
        Some(0) => true,
        Some(1) => false,
        other => panic!("grep ended with {other:?}"),
    }
}

fn encrypting() -> Codec {
    let entry = format!("k:{}", BASE64_STANDARD.encode([7; 32]));
    let keys = KeyRing::parse(&entry).unwrap().with_active("k").unwrap();
    Codec::new(None, keys)
}

/// Writes a session, gives it a new id and writes it again; gives both ids.
async fn write(url: &str, codec: Codec, note: &str) -> [SessionId; 2] {
    let url: StoreUrl = url.parse().unwrap();
    let options = StoreOptions {
        codec,
        ..StoreOptions::default()
    };
    let store = url.open_with(&options).await.unwrap();
    let manager = node(store, Arc::new(SystemClock), settings("node1"));
    let service = SessionLayer::new(manager).layer(service_fn(take_note));
    let browser = Browser::default();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut request = Request::get("/").body(note.to_owned()).unwrap();
        if let Some(cookie) = browser.cookie() {
            request
                .headers_mut()
                .insert(COOKIE, cookie.parse().unwrap());
        }
        let response = service.clone().oneshot(request).await.unwrap();
        browser.keep(response.headers().get(SET_COOKIE));
        ids.push(browser.presented().remove(0).id);
    }
    assert_ne!(ids[0], ids[1]);
    ids.try_into().unwrap()
}

async fn take_note(request: Request<String>) -> Result<Response<String>, SessionError> {
    let handle = request.extensions().get::<SessionHandle>().unwrap();
    let session = handle.session().await?;
    session.rotate_id().await?;
    session.set("note", request.body())?;
    Ok(Response::new(String::new()))
}

#[tokio::test]
async fn p7_the_client_of_a_row_that_makes_no_sense_gets_a_new_session() {
    let server = TestPostgres::start();
    let url: StoreUrl = server.url().parse().unwrap();
    let mut nodes = Vec::new();
    for name in ["node1", "node2"] {
        let store = url.open().await.unwrap();
        nodes.push(node(store, Arc::new(SystemClock), settings(name)));
    }
    for damage in [
        "lastsavedtime = NULL",
        "accesstime = 9223372036854775807, lastaccesstime = 9223372036854775807",
    ] {
        let browser = Browser::default();
        browser.count(&nodes[0]).await.unwrap();
        browser.count(&nodes[0]).await.unwrap();
        server.query(&format!("UPDATE jettysessions SET {damage}"));
        let elsewhere = Browser::with_cookie(browser.cookie());
        assert_eq!(elsewhere.read(&nodes[1]).await.unwrap(), None, "{damage}");
        assert_eq!(elsewhere.count(&nodes[1]).await.unwrap(), 1, "{damage}");
        // This node has a copy, and may learn of the damage by PostgreSQL's refusing to build on it.
        let count = match browser.count(&nodes[0]).await {
            Err(_) => browser.count(&nodes[0]).await,
            count => count,
        };
        assert_eq!(count.unwrap(), 1, "{damage}");
        server.query("DELETE FROM jettysessions");
    }
}
