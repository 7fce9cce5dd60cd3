//! Looking for sessions that somebody watches, wherever they are, and notices of what happens to them.

use tokio::time::timeout;

use super::*;
use crate::{Lookup, Notice, Notices};

/// How long a notice may take, on a machine that is busy with other tests.
const NOTICE_LIMIT: Duration = Duration::from_secs(20);

pub(super) async fn run(report: &mut Report, store: &dyn SessionStore, other: &dyn SessionStore) {
    check!(report, sessions_are_found_where_they_are(store));
    check!(report, expired_sessions_are_not_found(store));
    check!(report, many_are_looked_for_at_once(store));
    if let Some(notices) = other.notices() {
        check!(report, notices_come_from_other_nodes(store, notices));
    }
}

async fn locate(store: &dyn SessionStore, id: &str, origin: &str) -> Option<String> {
    let located = locate_at(store, &[(id, origin)], START).await;
    located.into_iter().next().expect("one answer for each")
}

async fn locate_at(
    store: &dyn SessionStore,
    sessions: &[(&str, &str)],
    now: Timestamp,
) -> Vec<Option<String>> {
    let lookup = |&(id, origin): &(&str, &str)| Lookup {
        key: key(id),
        origin: origin.into(),
    };
    let lookups: Vec<_> = sessions.iter().map(lookup).collect();
    let located = store.locate(&lookups, now).await;
    let located = located.expect("the store answers");
    assert_eq!(located.len(), sessions.len(), "one answer for each session");
    let id = |key: SessionKey| {
        assert_eq!(key, super::key(&key.id), "context and host stay");
        key.id.to_string()
    };
    located.into_iter().map(|key| key.map(id)).collect()
}

fn moved(origin: &str, version: i64) -> SessionRecord {
    SessionRecord {
        origin: Some(origin.into()),
        ..record(version)
    }
}

async fn sessions_are_found_where_they_are(store: &dyn SessionStore) {
    assert_eq!(locate(store, "w1", "w1").await, None);
    commit(store, create("w1", record(5))).await;
    commit(store, create("bystander", record(5))).await;
    assert_eq!(locate(store, "w1", "w1").await.as_deref(), Some("w1"));
    commit(store, rename("w1", "w2", 5, moved("w1", 6))).await;
    assert_eq!(locate(store, "w1", "w1").await.as_deref(), Some("w2"));
    commit(store, rename("w2", "w3", 6, moved("w1", 7))).await;
    for known in ["w1", "w2", "w3"] {
        assert_eq!(locate(store, known, "w1").await.as_deref(), Some("w3"));
    }
    commit(store, delete("w3")).await;
    for known in ["w1", "w2", "w3"] {
        assert_eq!(locate(store, known, "w1").await, None, "known as {known}");
    }
    commit(store, delete("bystander")).await;
}

async fn expired_sessions_are_not_found(store: &dyn SessionStore) {
    commit(store, create("x1", record(5))).await;
    commit(store, rename("x1", "x2", 5, moved("x1", 6))).await;
    let immortal = SessionRecord {
        idle_timeout: None,
        expiry_slack: Duration::ZERO,
        ..record(5)
    };
    commit(store, create("forever", immortal)).await;
    let expiry = START.plus(IDLE + SLACK);
    let before = Timestamp::from_millis(expiry.as_millis() - 1);
    let sessions = [("x1", "x1"), ("x2", "x1"), ("forever", "forever")];
    let there = Some("x2".to_owned());
    let forever = Some("forever".to_owned());
    assert_eq!(
        locate_at(store, &sessions, before).await,
        [there.clone(), there, forever.clone()]
    );
    assert_eq!(
        locate_at(store, &sessions, expiry).await,
        [None, None, forever]
    );
    for id in ["x2", "forever"] {
        commit(store, delete(id)).await;
    }
}

async fn many_are_looked_for_at_once(store: &dyn SessionStore) {
    let ids: Vec<_> = (0..200).map(|index| format!("many{index:03}")).collect();
    for id in &ids {
        commit(store, create(id, record(5))).await;
    }
    for id in ids.iter().step_by(3) {
        commit(store, rename(id, &format!("{id}n"), 5, moved(id, 6))).await;
    }
    for id in ids.iter().skip(1).step_by(3) {
        commit(store, delete(id)).await;
    }
    let sessions: Vec<_> = ids.iter().map(|id| (&**id, &**id)).collect();
    let located = locate_at(store, &sessions, START).await;
    for (index, (id, found)) in ids.iter().zip(located).enumerate() {
        let expected = match index % 3 {
            0 => Some(format!("{id}n")),
            1 => None,
            _ => Some(id.clone()),
        };
        assert_eq!(found, expected, "{id}");
        if let Some(found) = found {
            commit(store, delete(&found)).await;
        }
    }
}

/// Waits for a notice that names `id`; others may come before it.
async fn hear(notices: &mut Notices, id: &str) {
    let heard = async {
        loop {
            if let Notice::Changed(sessions) = notices.next().await
                && sessions.contains(&key(id))
            {
                return;
            }
        }
    };
    let heard = timeout(NOTICE_LIMIT, heard).await;
    heard.unwrap_or_else(|_| panic!("no notice of {id}"));
}

async fn notices_come_from_other_nodes(store: &dyn SessionStore, mut notices: Notices) {
    let live = async {
        while !notices.is_live() {
            notices.next().await;
        }
    };
    let live = timeout(NOTICE_LIMIT, live).await;
    live.expect("notices come when somebody listens");
    commit(store, create("n1", record(5))).await;
    commit(store, create("n|%", record(5))).await;
    commit(store, rename("n1", "n2", 5, moved("n1", 6))).await;
    hear(&mut notices, "n1").await;
    commit(store, rename("n2", "n3", 6, moved("n1", 7))).await;
    hear(&mut notices, "n2").await;
    // Somebody who does not know the new ids ends it.
    commit(store, delete("n1")).await;
    hear(&mut notices, "n1").await;
    commit(store, delete("n|%")).await;
    hear(&mut notices, "n|%").await;
    commit(store, create("n4", record(5))).await;
    commit(store, rename("n4", "n5", 5, moved("n4", 6))).await;
    hear(&mut notices, "n4").await;
    let claimed = store.claim_expired(START.plus(IDLE + SLACK), 10).await;
    assert_eq!(claimed.expect("the store answers").len(), 1);
    hear(&mut notices, "n4").await;
}
