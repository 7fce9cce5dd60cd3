//! What is written comes back: fields, contents, and the lack of them.

use std::collections::BTreeMap;

use super::*;
use crate::CommitOutcome::{Done, Exists, Missing};

pub(super) async fn run(report: &mut Report, store: &dyn SessionStore, other: &dyn SessionStore) {
    check!(
        report,
        every_field_comes_back_over_another_connection(store, other)
    );
    check!(report, an_update_writes_every_field(store, other));
    check!(
        report,
        a_rename_writes_every_field_and_the_origin(store, other)
    );
    check!(report, a_session_that_is_not_there_is_missing(store));
    check!(
        report,
        a_session_without_attributes_comes_back(store, other)
    );
    check!(
        report,
        removing_the_last_attribute_leaves_a_session(store, other)
    );
    check!(report, an_immortal_session_stays_immortal(store, other));
    check!(report, nested_values_come_back(store, other));
    check!(
        report,
        a_deleted_session_is_gone_for_everybody(store, other)
    );
    check!(report, deleting_what_is_not_there_is_harmless(store));
    check!(
        report,
        a_rename_to_a_taken_id_beside_a_deletion_is_not_done(store)
    );
    check!(
        report,
        a_session_is_not_found_in_another_context_or_host(store)
    );
    check!(report, parts_of_a_key_are_compared_byte_by_byte(store));
    check!(report, an_empty_context_is_a_context(store));
    check!(
        report,
        a_known_version_is_confirmed_without_the_contents(store, other)
    );
    check!(
        report,
        the_sessions_of_a_principal_follow_every_change(store, other)
    );
    check!(report, the_latest_used_session_is_listed_first(store));
    check!(report, the_count_follows_every_change(store, other));
    check!(report, a_clock_that_is_behind_does_no_harm(store, other));
}

/// A record that has something in every field.
fn full(version: i64) -> SessionRecord {
    SessionRecord {
        created_at: START,
        last_access: START.plus(Duration::from_secs(7)),
        idle_timeout: Some(Duration::from_millis(1_234_567)),
        expiry_slack: Duration::from_millis(7_654),
        deadline: Some(START.plus(100 * IDLE)),
        principal: Some("user:ünï'\"\\%".into()),
        last_node: "node-2_x".into(),
        writers: Writers::from([
            ("node0".into(), Version::from_i64(3)),
            ("node1".into(), Version::from_i64(-4)),
        ]),
        notes: Attributes::from([("note".into(), Value::from("kept"))]),
        ..record(version)
    }
}

async fn every_field_comes_back_over_another_connection(
    store: &dyn SessionStore,
    other: &dyn SessionStore,
) {
    let written = full(1_790_000_000_123);
    assert_eq!(commit(store, create("full", written.clone())).await, Done);
    assert_eq!(found(other, "full").await, written);
    commit(store, delete("full")).await;
}

async fn an_update_writes_every_field(store: &dyn SessionStore, other: &dyn SessionStore) {
    commit(store, create("update", record(5))).await;
    assert_eq!(commit(store, update("update", 5, full(6))).await, Done);
    assert_eq!(found(other, "update").await, full(6));
    let plain = SessionRecord {
        idle_timeout: None,
        expiry_slack: Duration::ZERO,
        last_access: full(6).last_access,
        writers: Writers::new(),
        ..record(7)
    };
    assert_eq!(
        commit(other, update("update", 6, plain.clone())).await,
        Done
    );
    assert_eq!(
        found(store, "update").await,
        plain,
        "fields are taken back too"
    );
    commit(store, delete("update")).await;
}

async fn a_rename_writes_every_field_and_the_origin(
    store: &dyn SessionStore,
    other: &dyn SessionStore,
) {
    commit(store, create("before", record(5))).await;
    let origin = Some("before".into());
    let renamed = SessionRecord { origin, ..full(6) };
    assert_eq!(
        commit(store, rename("before", "after", 5, renamed.clone())).await,
        Done
    );
    assert_eq!(found(other, "after").await, renamed);
    assert_eq!(
        read(other, key("before"), Some(5)).await,
        ReadOutcome::Missing
    );
    commit(store, delete("after")).await;
}

async fn a_session_that_is_not_there_is_missing(store: &dyn SessionStore) {
    for known in [None, Some(0), Some(5)] {
        assert_eq!(
            read(store, key("nowhere"), known).await,
            ReadOutcome::Missing
        );
    }
    assert_eq!(
        commit(store, update("nowhere", 0, record(1))).await,
        Missing
    );
    assert_eq!(commit(store, touch("nowhere", START)).await, Missing);
    assert_eq!(
        commit(store, rename("nowhere", "there", 0, record(1))).await,
        Missing
    );
    for id in ["nowhere", "there"] {
        let then = read(store, key(id), None).await;
        assert_eq!(then, ReadOutcome::Missing, "a failed commit made {id}");
    }
}

async fn a_session_without_attributes_comes_back(
    store: &dyn SessionStore,
    other: &dyn SessionStore,
) {
    let empty = SessionRecord {
        attributes: Attributes::new(),
        writers: Writers::new(),
        ..record(5)
    };
    commit(store, create("empty", empty.clone())).await;
    assert_eq!(found(other, "empty").await, empty);
    commit(store, update("empty", 5, record(6))).await;
    assert_eq!(found(other, "empty").await, record(6), "it can be filled");
    commit(store, delete("empty")).await;
}

async fn removing_the_last_attribute_leaves_a_session(
    store: &dyn SessionStore,
    other: &dyn SessionStore,
) {
    commit(store, create("emptied", record(5))).await;
    let emptied = SessionRecord {
        attributes: Attributes::new(),
        ..record(6)
    };
    assert_eq!(
        commit(store, update("emptied", 5, emptied.clone())).await,
        Done
    );
    assert_eq!(found(other, "emptied").await, emptied);
    commit(store, delete("emptied")).await;
}

async fn an_immortal_session_stays_immortal(store: &dyn SessionStore, other: &dyn SessionStore) {
    let immortal = SessionRecord {
        idle_timeout: None,
        expiry_slack: Duration::ZERO,
        ..record(5)
    };
    commit(store, create("immortal", immortal)).await;
    commit(store, touch("immortal", START.plus(IDLE))).await;
    let read = found(other, "immortal").await;
    assert_eq!((read.idle_timeout, read.expires_at()), (None, None));
    commit(store, delete("immortal")).await;
}

async fn nested_values_come_back(store: &dyn SessionStore, other: &dyn SessionStore) {
    let inner = Value::Map(BTreeMap::from([
        ("".into(), Value::Null),
        ("largest".into(), Value::I64(i64::MAX)),
        ("smallest".into(), Value::I64(i64::MIN)),
    ]));
    let outer = Value::List(vec![
        inner.clone(),
        Value::List(vec![inner]),
        Value::from(""),
    ]);
    let nested = SessionRecord {
        attributes: Attributes::from([("".into(), Value::F64(-0.25)), ("outer".into(), outer)]),
        ..record(5)
    };
    commit(store, create("nested", nested.clone())).await;
    assert_eq!(found(other, "nested").await, nested);
    commit(store, delete("nested")).await;
}

async fn a_deleted_session_is_gone_for_everybody(
    store: &dyn SessionStore,
    other: &dyn SessionStore,
) {
    commit(store, create("deleted", record(5))).await;
    assert_eq!(found(other, "deleted").await, record(5));
    assert_eq!(commit(store, delete("deleted")).await, Done);
    for connection in [store, other] {
        for known in [None, Some(5)] {
            let then = read(connection, key("deleted"), known).await;
            assert_eq!(then, ReadOutcome::Missing);
        }
        let late = update("deleted", 5, record(6));
        assert_eq!(commit(connection, late).await, Missing, "a late save");
    }
    let then = read(other, key("deleted"), None).await;
    assert_eq!(then, ReadOutcome::Missing, "a late save brought it back");
}

async fn deleting_what_is_not_there_is_harmless(store: &dyn SessionStore) {
    commit(store, create("bystander", record(5))).await;
    assert_eq!(commit(store, delete("nobody")).await, Missing);
    let twice = [delete("bystander"), delete("bystander")];
    let outcomes = store.commit(&twice).await.expect("the store answers");
    assert_eq!(outcomes, [Done, Missing], "one of two deletions did it");
}

/// Somebody ends a session while it is to get an id that is another session's.
async fn a_rename_to_a_taken_id_beside_a_deletion_is_not_done(store: &dyn SessionStore) {
    commit(store, create("ending", record(5))).await;
    commit(store, create("taken", record(1))).await;
    let batch = [rename("ending", "taken", 5, record(6)), delete("ending")];
    let outcomes = store.commit(&batch).await.expect("the store answers");
    assert!(
        [[Exists, Done], [Missing, Done]].contains(&[outcomes[0], outcomes[1]]),
        "expected the rename to fail and the deletion to be done, not {outcomes:?}"
    );
    assert_eq!(read(store, key("ending"), None).await, ReadOutcome::Missing);
    assert_eq!(found(store, "taken").await, record(1));
    assert_eq!(commit(store, delete("taken")).await, Done);
}

async fn a_session_is_not_found_in_another_context_or_host(store: &dyn SessionStore) {
    commit(store, create("placed", record(5))).await;
    let context = SessionKey {
        context: "_other".into(),
        ..key("placed")
    };
    let host = SessionKey {
        virtual_host: "example.org".into(),
        ..key("placed")
    };
    for elsewhere in [context, host] {
        assert_eq!(
            read(store, elsewhere.clone(), Some(5)).await,
            ReadOutcome::Missing
        );
        let (key, expected) = (elsewhere.clone(), Version::from_i64(5));
        let record = Arc::new(record(6));
        let update = Commit::Update {
            key,
            expected,
            record,
        };
        assert_eq!(commit(store, update).await, Missing);
        assert_eq!(commit(store, Commit::delete(elsewhere)).await, Missing);
    }
    assert_eq!(found(store, "placed").await, record(5));
    commit(store, delete("placed")).await;
}

async fn parts_of_a_key_are_compared_byte_by_byte(store: &dyn SessionStore) {
    let ids = ["a", "A", "ä", "a|b", "a%7Cb", "a_", "a:b", "{1}"];
    for (version, id) in (1..).zip(ids) {
        assert_eq!(
            commit(store, create(id, record(version))).await,
            Done,
            "{id:?}"
        );
    }
    for (version, id) in (1..).zip(ids) {
        assert_eq!(found(store, id).await, record(version), "{id:?}");
        assert_eq!(commit(store, delete(id)).await, Done, "{id:?}");
    }
}

async fn an_empty_context_is_a_context(store: &dyn SessionStore) {
    let empty = SessionKey {
        context: "".into(),
        virtual_host: "".into(),
        ..key("nowhere-in-particular")
    };
    let create = || Commit::Create {
        key: empty.clone(),
        record: Arc::new(record(5)),
    };
    assert_eq!(commit(store, create()).await, Done);
    assert_eq!(commit(store, create()).await, Exists);
    let there = read(store, empty.clone(), None).await;
    assert_eq!(there, ReadOutcome::Found(Box::new(record(5))));
    let filled = read(store, key("nowhere-in-particular"), None).await;
    assert_eq!(filled, ReadOutcome::Missing);
    assert_eq!(commit(store, Commit::delete(empty)).await, Done);
}

async fn a_known_version_is_confirmed_without_the_contents(
    store: &dyn SessionStore,
    other: &dyn SessionStore,
) {
    commit(store, create("known", record(5))).await;
    let later = START.plus(SLACK);
    commit(other, touch("known", later)).await;
    let current = ReadOutcome::Current { last_access: later };
    assert_eq!(read(store, key("known"), Some(5)).await, current);
    commit(other, update("known", 5, record(6))).await;
    let outdated = read(store, key("known"), Some(5)).await;
    assert!(matches!(outdated, ReadOutcome::Found(_)), "{outdated:?}");
    commit(store, delete("known")).await;
}

async fn principals(store: &dyn SessionStore, principal: &str) -> Vec<String> {
    let listed = store.list_by_principal(principal, START).await;
    let listed = listed.expect("the store answers");
    listed
        .iter()
        .map(|session| session.key.id.to_string())
        .collect()
}

async fn the_sessions_of_a_principal_follow_every_change(
    store: &dyn SessionStore,
    other: &dyn SessionStore,
) {
    let of = |version, principal: Option<&str>| SessionRecord {
        principal: principal.map(Arc::from),
        ..record(version)
    };
    commit(store, create("p1", of(1, Some("user:p")))).await;
    assert_eq!(principals(other, "user:p").await, ["p1"]);
    assert_eq!(
        principals(other, "USER:P").await,
        [""; 0],
        "names differ by case"
    );
    commit(store, rename("p1", "p2", 1, of(2, Some("user:p")))).await;
    assert_eq!(principals(other, "user:p").await, ["p2"]);
    commit(store, update("p2", 2, of(3, Some("user:q")))).await;
    assert_eq!(principals(other, "user:p").await, [""; 0]);
    assert_eq!(principals(other, "user:q").await, ["p2"]);
    commit(store, update("p2", 3, of(4, None))).await;
    assert_eq!(principals(other, "user:q").await, [""; 0]);
    commit(store, update("p2", 4, of(5, Some("user:p")))).await;
    commit(store, delete("p2")).await;
    assert_eq!(principals(other, "user:p").await, [""; 0]);
}

async fn the_latest_used_session_is_listed_first(store: &dyn SessionStore) {
    let ids = ["l1", "l2", "l3"];
    for id in ids {
        let principal = Some("user:l".into());
        commit(
            store,
            create(
                id,
                SessionRecord {
                    principal,
                    ..record(1)
                },
            ),
        )
        .await;
    }
    for (seconds, id) in [(30, "l2"), (20, "l3"), (10, "l1")] {
        commit(store, touch(id, START.plus(Duration::from_secs(seconds)))).await;
    }
    assert_eq!(principals(store, "user:l").await, ["l2", "l3", "l1"]);
    for id in ids {
        commit(store, delete(id)).await;
    }
}

async fn the_count_follows_every_change(store: &dyn SessionStore, other: &dyn SessionStore) {
    let count = async || other.count().await.expect("the store answers");
    let before = count().await;
    commit(store, create("n1", record(1))).await;
    commit(store, create("n2", record(1))).await;
    assert_eq!(count().await, before + 2);
    commit(store, rename("n1", "n3", 1, record(2))).await;
    assert_eq!(
        count().await,
        before + 2,
        "a renamed session is one session"
    );
    commit(store, delete("n3")).await;
    assert_eq!(count().await, before + 1);
    commit(store, delete("n2")).await;
    assert_eq!(count().await, before);
}

/// Another node's clock may be behind: its accesses are earlier than what is stored.
async fn a_clock_that_is_behind_does_no_harm(store: &dyn SessionStore, other: &dyn SessionStore) {
    let ahead = START.plus(SLACK);
    let written = SessionRecord {
        last_access: ahead,
        ..record(9)
    };
    commit(store, create("skewed", written.clone())).await;
    commit(other, touch("skewed", START)).await;
    assert_eq!(
        found(store, "skewed").await,
        written,
        "a touch from the past"
    );
    assert_eq!(commit(other, update("skewed", 9, record(10))).await, Done);
    let kept = found(store, "skewed").await;
    assert_eq!(kept.last_access, ahead, "an update from the past");
    assert_eq!(kept.expires_at(), Some(ahead.plus(IDLE + SLACK)));
    assert_eq!(
        commit(other, rename("skewed", "skewed2", 10, record(11))).await,
        Done
    );
    assert_eq!(
        found(store, "skewed2").await.last_access,
        ahead,
        "a rename from the past"
    );
    commit(store, delete("skewed2")).await;
}
