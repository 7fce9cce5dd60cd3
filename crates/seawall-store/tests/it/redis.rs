//! What is Redis's own: its users, its indexes, and servers that may lose sessions.

use seawall_store::{Commit, CommitOutcome, StoreError, Timestamp};
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
