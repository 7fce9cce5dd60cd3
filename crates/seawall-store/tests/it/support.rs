//! What the tests share.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use seawall_store::{
    Attributes, Codec, Commit, CommitOutcome, KeyRing, SessionKey, SessionRecord, SessionStore,
    StoreOptions, StoreUrl, Timestamp, Version,
};
use tokio::task::JoinSet;

pub(crate) async fn open(url: &str) -> Arc<dyn SessionStore> {
    open_with(url, Codec::default()).await
}

pub(crate) async fn open_with(url: &str, codec: Codec) -> Arc<dyn SessionStore> {
    let url: StoreUrl = url.parse().unwrap();
    let options = StoreOptions {
        codec,
        ..StoreOptions::default()
    };
    url.open_with(&options).await.unwrap()
}

/// A codec that compresses what it can, and encrypts with the first of these keys.
pub(crate) fn encrypting(ids: &[&str]) -> Codec {
    let entry = |id: &&str| {
        let key = id.bytes().cycle().take(32).collect::<Vec<u8>>();
        format!("{id}:{}", BASE64_STANDARD.encode(key))
    };
    let entries: Vec<_> = ids.iter().map(entry).collect();
    let keys = KeyRing::parse(&entries.join("\n")).unwrap();
    Codec::new(Some(0), keys.with_active(ids[0]).unwrap())
}

/// Four nodes start at the same instant on the empty database at `url`, and all serve.
pub(crate) async fn start_together(url: &str) {
    let mut nodes = JoinSet::new();
    for node in 0..4 {
        let url = url.to_owned();
        nodes.spawn(async move {
            let store = open(&url).await;
            store.commit(&[create(&format!("s{node}"))]).await.unwrap()
        });
    }
    assert_eq!(nodes.join_all().await, vec![[CommitOutcome::Done]; 4]);
}

/// A store whose table somebody drops: what meets that may be sent again, and is carried out.
pub(crate) async fn assert_table_is_made_again(url: &str, drop_table: impl FnOnce()) {
    let store = open(url).await;
    store.commit(&[create("before")]).await.unwrap();
    store.count().await.unwrap();
    drop_table();
    let error = store.commit(&[create("lost")]).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let outcomes = store.commit(&[create("after")]).await.unwrap();
    assert_eq!(outcomes, [CommitOutcome::Done]);
    assert_eq!(store.count().await.unwrap(), 1);
}

pub(crate) fn key(id: &str) -> SessionKey {
    SessionKey {
        id: id.into(),
        context: "_".into(),
        virtual_host: "0.0.0.0".into(),
    }
}

pub(crate) fn create(id: &str) -> Commit {
    let now = Timestamp::from_millis(1_790_000_000_000);
    let record = SessionRecord {
        version: Version::from_i64(1),
        created_at: now,
        last_access: now,
        idle_timeout: Some(Duration::from_secs(1_800)),
        expiry_slack: Duration::ZERO,
        deadline: None,
        principal: None,
        origin: None,
        last_node: "node1".into(),
        writers: seawall_store::Writers::new(),
        attributes: Attributes::new(),
        notes: Attributes::new(),
    };
    Commit::Create {
        key: key(id),
        record: Arc::new(record),
    }
}
