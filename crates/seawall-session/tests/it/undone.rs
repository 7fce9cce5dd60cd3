//! What PostgreSQL undoes because of another transaction is done again, once, and nobody sees it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use seawall_session::{SessionManager, SessionSettings};
use seawall_store::{Batcher, BatcherSettings, StoreUrl, SystemClock};
use seawall_testing::TestPostgres;
use tokio::task::JoinSet;

use crate::support::{Browser, settings};

const SESSIONS: usize = 4;
const CLIENTS: usize = 16;
const VISITS: usize = 30;

/// Nodes work at the isolation that they set, at which the database undoes next to nothing by itself.
const UNDO: &str = "CREATE FUNCTION undo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    IF random() < 0.02 THEN RAISE EXCEPTION 'could not serialize access' \
    USING ERRCODE = 'serialization_failure'; END IF; RETURN NEW; END $$; \
    CREATE TRIGGER undo BEFORE UPDATE ON jettysessions FOR EACH ROW EXECUTE FUNCTION undo()";

/// By then something was undone, for whatever else the machine does.
const LIMIT: Duration = Duration::from_secs(60);

async fn start(url: &str, name: &str) -> (SessionManager, Batcher) {
    let store = url.parse::<StoreUrl>().unwrap().open().await.unwrap();
    let batcher = Batcher::spawn(store, &BatcherSettings::default());
    // Accesses are told all the time, so that the batches are mixed.
    let telling = SessionSettings {
        touch_interval: Some(Duration::from_millis(1)),
        ..settings(name)
    };
    let manager = SessionManager::new(batcher.clone(), Arc::new(SystemClock), telling).unwrap();
    (manager, batcher)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serialization_failures_are_neither_seen_nor_counted_twice() {
    // Commits that take their time overlap.
    let server = TestPostgres::start_durable();
    let (one, batcher) = start(&server.url(), "node1").await;
    let (two, other) = start(&server.url(), "node2").await;
    let browsers: Vec<Browser> = (0..SESSIONS).map(|_| Browser::default()).collect();
    for browser in &browsers {
        browser.count(&one).await.unwrap();
    }
    server.query(UNDO);
    let undone = || [&batcher, &other].map(|batcher| batcher.statistics().connections.undone);
    let deadline = Instant::now() + LIMIT;
    let mut rounds = 0;
    while undone() == [0, 0] {
        assert!(Instant::now() < deadline, "nothing was undone");
        visit_together([&one, &two], &browsers).await;
        rounds += 1;
    }
    let each = 1 + i64::try_from(rounds * CLIENTS / SESSIONS * VISITS).unwrap();
    for browser in &browsers {
        assert_eq!(browser.read(&two).await.unwrap(), Some(each));
    }
    assert!(server.log().contains("could not serialize access"));
}

/// Clients of the same sessions count on both nodes at the same time.
async fn visit_together(nodes: [&SessionManager; 2], browsers: &[Browser]) {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let node = nodes[client % 2].clone();
        let browser = Browser::with_cookie(browsers[client / 2 % SESSIONS].cookie());
        clients.spawn(async move {
            for visit in 0..VISITS {
                browser.count(&node).await.unwrap();
                browser.read(&node).await.unwrap();
                if visit % 10 == 0 {
                    Browser::default().count(&node).await.unwrap();
                }
            }
        });
    }
    clients.join_all().await;
}
