//! What is Redis's own: its users, its indexes, and servers that may lose sessions.

use std::time::{Duration, Instant};

use seawall_store::{Commit, CommitOutcome, Read, ReadOutcome, StoreError, Timestamp};
use seawall_testing::TestRedis;

use crate::support::{create, key, open};

#[tokio::test]
async fn what_is_wrong_with_a_server_is_said_plainly() {
    let server = TestRedis::start_with(&[&["requirepass", "hush"]]);
    let url = server.url();
    let error = open(&url).await.count().await;
    let Err(error @ StoreError::Rejected { .. }) = error else {
        panic!("{error:?}")
    };
    assert!(
        error
            .to_string()
            .contains("check the user and the password"),
        "{error}"
    );
    let wrong = url.replace("//", "//:hushed@");
    let error = open(&wrong).await.count().await.unwrap_err().to_string();
    assert!(
        error.contains("check the user") && !error.contains("hush"),
        "{error}"
    );
    let right = url.replace("//", "//:hush@");
    assert_eq!(open(&right).await.count().await.unwrap(), 0);
}

#[tokio::test]
async fn deleted_and_expired_sessions_leave_nothing_behind() {
    let server = TestRedis::start();
    let store = open(&server.url()).await;
    let mut commits = [create("a"), create("b")];
    for commit in &mut commits {
        let Commit::Create { record, .. } = commit else {
            unreachable!()
        };
        std::sync::Arc::make_mut(record).principal = Some("user:42".into());
    }
    assert_eq!(
        store.commit(&commits).await.unwrap(),
        [CommitOutcome::Done; 2]
    );
    let now = Timestamp::from_millis(1_790_000_000_000);
    let sessions = store.list_by_principal("user:42", now).await.unwrap();
    assert_eq!(sessions.len(), 2);
    store.commit(&[Commit::delete(key("a"))]).await.unwrap();
    assert_eq!(
        store.list_by_principal("user:42", now).await.unwrap().len(),
        1
    );
    let later = Timestamp::from_millis(1_790_001_800_000);
    assert_eq!(store.list_by_principal("user:42", later).await.unwrap(), []);
    assert_eq!(store.claim_expired(later, 10).await.unwrap().len(), 1);
    assert_eq!(
        server.command(&["dbsize"]),
        "0",
        "{}",
        server.command(&["keys", "*"])
    );
}

#[tokio::test]
async fn stores_with_other_prefixes_share_a_server() {
    let server = TestRedis::start();
    let (one, other) = (
        open(&server.url()).await,
        open(&format!("{}?prefix=other", server.url())).await,
    );
    one.commit(&[create("a")]).await.unwrap();
    assert_eq!(other.count().await.unwrap(), 0);
    assert_eq!(
        other.commit(&[create("a")]).await.unwrap(),
        [CommitOutcome::Done]
    );
}

#[tokio::test]
async fn a_read_does_not_wait_for_the_replicas_of_a_commit() {
    let server = TestRedis::start();
    let store = open(&format!("{}?replicas=1", server.url())).await;
    let committing = tokio::spawn({
        let store = store.clone();
        async move { store.commit(&[create("a")]).await }
    });
    let deadline = Instant::now() + Duration::from_secs(30);
    while !server
        .command(&["info", "clients"])
        .contains("blocked_clients:1")
    {
        assert!(Instant::now() < deadline, "the commit waits for no replica");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let reads = ["a", "b"].map(|id| Read {
        key: key(id),
        known: None,
    });
    let outcomes = store.read(&reads).await.unwrap();
    assert!(
        !committing.is_finished(),
        "the read waited for the replicas"
    );
    assert!(matches!(outcomes[0], ReadOutcome::Found(_)));
    assert_eq!(outcomes[1], ReadOutcome::Missing);
    let error = committing.await.unwrap().unwrap_err();
    assert!(error.is_transient(), "{error}");
}
