//! Two connections that write the same sessions at once, and calls that nobody waits for any more.

use std::pin::pin;

use futures_util::future::select;
use tokio::task::yield_now;

use super::*;

const WRITERS: i64 = 4;
const INCREMENTS: i64 = 50;
const SESSIONS: [&str; 6] = ["c0", "c1", "c2", "c3", "c4", "c5"];

pub(super) async fn two_connections_lose_no_update(
    store: &Arc<dyn SessionStore>,
    other: &Arc<dyn SessionStore>,
) {
    for id in SESSIONS {
        commit(&**store, create(id, record(1))).await;
    }
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = if writer % 2 == 0 {
                store.clone()
            } else {
                other.clone()
            };
            tokio::spawn(async move {
                for _ in 0..INCREMENTS {
                    increment_all(&*store).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer failed");
    }
    for id in SESSIONS {
        let record = found(&**store, id).await;
        assert_eq!(
            record.attributes["count"],
            Value::I64(1 + WRITERS * INCREMENTS),
            "lost update"
        );
        commit(&**store, delete(id)).await;
    }
}

/// Adds one to each session, in overlapping batches, until all are done.
async fn increment_all(store: &dyn SessionStore) {
    let mut left: Vec<&str> = SESSIONS.into();
    while !left.is_empty() {
        let mut batch = Vec::new();
        for id in &left {
            let seen = found(store, id).await;
            let Value::I64(count) = seen.attributes["count"] else {
                panic!("count is a number")
            };
            let version = seen.version.as_i64();
            let attributes = Attributes::from([("count".into(), Value::I64(count + 1))]);
            batch.push(update(
                id,
                version,
                SessionRecord {
                    attributes,
                    ..record(version + 1)
                },
            ));
        }
        let outcomes = store.commit(&batch).await.expect("the store answers");
        let done = |index: usize| outcomes[index] == CommitOutcome::Done;
        left = left
            .iter()
            .enumerate()
            .filter(|(i, _)| !done(*i))
            .map(|(_, id)| *id)
            .collect();
    }
}

/// A client that goes away ends its calls wherever they are. Later ones get their own answers all the
/// same, not those that were still on their way.
pub(super) async fn dropped_calls_answer_nobody_else(store: &dyn SessionStore) {
    let user = |id: &str, version| SessionRecord {
        principal: Some(id.into()),
        ..record(version)
    };
    for id in ["d0", "d1"] {
        commit(store, create(id, user(id, 5))).await;
    }
    for turns in 0..6 {
        let reads = [Read {
            key: key("d0"),
            known: None,
        }];
        drop_after(turns, store.read(&reads)).await;
        assert_eq!(found(store, "d1").await, user("d1", 5), "a read");
        drop_after(turns, store.list_by_principal("d0", START)).await;
        let listed = store.list_by_principal("d1", START).await;
        let listed = listed.expect("the store answers");
        let keys: Vec<_> = listed.into_iter().map(|summary| summary.key).collect();
        assert_eq!(keys, [key("d1")], "a list");
        let touches = [touch("d0", START), touch("missing", START)];
        drop_after(turns, store.commit(&touches)).await;
        let stale = commit(store, update("d1", 4, user("d1", 9))).await;
        assert_eq!(stale, CommitOutcome::Conflict, "a commit");
    }
    for id in ["d0", "d1"] {
        commit(store, delete(id)).await;
    }
}

/// Lets a call get so far and no farther.
async fn drop_after(turns: usize, call: impl Future + Unpin) {
    let turns = pin!(async {
        for _ in 0..turns {
            yield_now().await;
        }
    });
    drop(select(call, turns).await);
}
