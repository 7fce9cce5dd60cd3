//! Increments from two processes at once, on real stores (P2).

use std::{process::Stdio, sync::Arc};

use http::{Request, Response, header::COOKIE};
use seawall_session::{Session, SessionHandle, SessionLayer};
use seawall_store::{StoreUrl, SystemClock};
use seawall_testing::{TestMariaDb, TestPostgres, TestRedis};
use tokio::{process::Command, task::JoinSet};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{Browser, node, settings};

/// Tells a copy of this test program to be a worker: the store's URL and the session's cookie.
const WORKER_URL: &str = "SEAWALL_TEST_STORE_URL";
const WORKER_COOKIE: &str = "SEAWALL_TEST_COOKIE";

const PROCESSES: u64 = 2;
const CLIENTS: u64 = 8;
const INCREMENTS: u64 = 625;

#[tokio::test]
async fn ten_thousand_increments_from_two_processes_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("sessions.db").display());
    increments_are_exact(&url).await;
}

#[tokio::test]
async fn ten_thousand_increments_from_two_processes_on_postgresql() {
    let server = TestPostgres::start();
    increments_are_exact(&server.url()).await;
}

#[tokio::test]
async fn ten_thousand_increments_from_two_processes_on_mariadb() {
    let server = TestMariaDb::start();
    increments_are_exact(&server.url()).await;
}

#[tokio::test]
async fn ten_thousand_increments_from_two_processes_on_redis() {
    let server = TestRedis::start();
    increments_are_exact(&server.url()).await;
}

async fn increments_are_exact(url: &str) {
    let store = url.parse::<StoreUrl>().unwrap().open().await.unwrap();
    let manager = node(store, Arc::new(SystemClock), settings("node0"));
    let browser = Browser::default();
    browser.count(&manager).await.unwrap();
    let workers: Vec<_> = (0..PROCESSES)
        .map(|_| spawn_worker(url, &browser))
        .collect();
    for worker in workers {
        let output = worker.wait_with_output().await.unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
    let total = i64::try_from(PROCESSES * CLIENTS * INCREMENTS).unwrap();
    assert_eq!(browser.read(&manager).await.unwrap(), Some(1 + total));
}

fn spawn_worker(url: &str, browser: &Browser) -> tokio::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "increments::worker", "--ignored", "--nocapture"])
        .env(WORKER_URL, url)
        .env(WORKER_COOKIE, browser.cookie().unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Not a test of its own: the other processes of the tests above run this.
#[tokio::test]
#[ignore = "run by other tests, in processes of their own"]
async fn worker() {
    let url = std::env::var(WORKER_URL).expect("the tests above set it");
    let cookie = std::env::var(WORKER_COOKIE).expect("the tests above set it");
    let store = url.parse::<StoreUrl>().unwrap().open().await.unwrap();
    let name = format!("node{}", std::process::id());
    let layer = SessionLayer::new(node(store, Arc::new(SystemClock), settings(&name)));
    let service = layer.layer(service_fn(increment));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (service, cookie) = (service.clone(), cookie.clone());
        clients.spawn(async move {
            for _ in 0..INCREMENTS {
                let request = Request::get("/").header(COOKIE, &cookie).body(()).unwrap();
                service.clone().oneshot(request).await.unwrap();
            }
        });
    }
    clients.join_all().await;
}

async fn increment(
    request: Request<()>,
) -> Result<Response<String>, seawall_session::SessionError> {
    let handle = request.extensions().get::<SessionHandle>().unwrap();
    let session: &Session = handle.session().await?;
    session
        .update("count", |count: Option<i64>| count.unwrap() + 1)
        .await?;
    Ok(Response::new(String::new()))
}
