//! Two connections that write the same sessions at once.

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
