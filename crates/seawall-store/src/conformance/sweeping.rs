//! Which sessions a sweep takes, and what it leaves.

use super::{
    expiry::{claimed, just_before},
    *,
};
use crate::CommitOutcome::{Done, Missing};

/// When a [`record`] expires.
fn expiry() -> Timestamp {
    START.plus(IDLE + SLACK)
}

pub(super) async fn run(report: &mut Report, store: &dyn SessionStore, other: &dyn SessionStore) {
    check!(
        report,
        an_expired_session_that_nobody_claimed_is_found(store)
    );
    check!(report, an_expired_session_is_not_listed(store));
    check!(
        report,
        an_expired_session_that_is_used_lives_on(store, other)
    );
    check!(
        report,
        the_sessions_of_other_nodes_are_claimed(store, other)
    );
    check!(
        report,
        every_application_is_swept_and_the_living_are_left(store)
    );
    check!(report, a_claim_takes_as_many_as_it_may(store));
    check!(report, a_claimed_session_is_dead(store, other));
    check!(report, a_shorter_idle_timeout_counts_at_once(store));
    check!(report, a_longer_idle_timeout_counts_at_once(store));
    check!(report, a_session_that_becomes_immortal_is_left(store));
    check!(
        report,
        an_immortal_session_that_becomes_mortal_is_claimed(store)
    );
    check!(
        report,
        a_touch_beside_an_update_counts_with_its_idle_timeout(store)
    );
    check!(report, a_touch_beside_a_rename_is_not_lost(store));
    check!(report, a_touch_does_not_move_the_deadline(store));
}

async fn an_expired_session_that_nobody_claimed_is_found(store: &dyn SessionStore) {
    let long_ago = SessionRecord {
        created_at: Timestamp::from_millis(1),
        last_access: Timestamp::from_millis(1),
        ..record(5)
    };
    commit(store, create("late", long_ago.clone())).await;
    assert_eq!(found(store, "late").await, long_ago);
    assert_eq!(claimed(store, START).await, ["late"]);
}

async fn an_expired_session_is_not_listed(store: &dyn SessionStore) {
    let principal = Some("user:gone".into());
    let owned = SessionRecord {
        principal,
        ..record(5)
    };
    commit(store, create("listed", owned)).await;
    for (now, count) in [(just_before(expiry()), 1), (expiry(), 0)] {
        let listed = store.list_by_principal("user:gone", now).await;
        assert_eq!(listed.expect("the store answers").len(), count);
    }
    assert_eq!(claimed(store, expiry()).await, ["listed"]);
}

async fn an_expired_session_that_is_used_lives_on(
    store: &dyn SessionStore,
    other: &dyn SessionStore,
) {
    commit(store, create("used", record(5))).await;
    let access = START.plus(IDLE);
    assert_eq!(commit(other, touch("used", access)).await, Done);
    assert_eq!(
        claimed(store, expiry()).await,
        [""; 0],
        "in use on another node"
    );
    assert_eq!(
        claimed(store, just_before(access.plus(IDLE + SLACK))).await,
        [""; 0]
    );
    assert_eq!(claimed(store, access.plus(IDLE + SLACK)).await, ["used"]);
}

async fn the_sessions_of_other_nodes_are_claimed(
    store: &dyn SessionStore,
    other: &dyn SessionStore,
) {
    for (id, node) in [("dead1", "node1"), ("dead2", "node2"), ("dead3", "")] {
        let last_node = node.into();
        commit(
            store,
            create(
                id,
                SessionRecord {
                    last_node,
                    ..record(5)
                },
            ),
        )
        .await;
    }
    assert_eq!(claimed(other, expiry()).await, ["dead1", "dead2", "dead3"]);
}

async fn every_application_is_swept_and_the_living_are_left(store: &dyn SessionStore) {
    let graces =
        |count: u32| Timestamp::from_millis(START.as_millis() - i64::from(count) * 3_600_000);
    let place = |id: &str, context: &str| SessionKey {
        context: context.into(),
        ..key(id)
    };
    let aged = |last_access, idle_timeout| SessionRecord {
        last_access,
        idle_timeout,
        ..record(5)
    };
    let mut keys = Vec::new();
    for context in ["_app", "_other"] {
        for (id, record) in [
            ("ancient", aged(graces(24), Some(IDLE))),
            ("recent", aged(graces(1), Some(IDLE))),
            ("alive", aged(START, Some(IDLE))),
            ("endless", aged(graces(24), None)),
        ] {
            let (key, record) = (place(id, context), Arc::new(record));
            keys.push(key.clone());
            assert_eq!(commit(store, Commit::Create { key, record }).await, Done);
        }
    }
    let taken = ["ancient", "ancient", "recent", "recent"];
    assert_eq!(claimed(store, START).await, taken);
    for key in keys {
        let lives = matches!(&*key.id, "alive" | "endless");
        let expected = if lives { Done } else { Missing };
        assert_eq!(
            commit(store, Commit::delete(key.clone())).await,
            expected,
            "{}",
            key.id
        );
    }
}

async fn a_claim_takes_as_many_as_it_may(store: &dyn SessionStore) {
    for id in ["c1", "c2", "c3", "c4", "c5"] {
        commit(store, create(id, record(5))).await;
    }
    for expected in [0, 2, 2, 1, 0] {
        let limit = if expected == 0 { 0 } else { 2 };
        let claimed = store.claim_expired(expiry(), limit).await;
        assert_eq!(claimed.expect("the store answers").len(), expected);
    }
}

async fn a_claimed_session_is_dead(store: &dyn SessionStore, other: &dyn SessionStore) {
    commit(store, create("claimed", record(5))).await;
    assert_eq!(claimed(store, expiry()).await, ["claimed"]);
    assert_eq!(claimed(other, expiry()).await, [""; 0], "claimed twice");
    assert_eq!(commit(other, touch("claimed", expiry())).await, Missing);
    assert_eq!(
        commit(other, update("claimed", 5, record(6))).await,
        Missing
    );
    assert_eq!(
        commit(other, rename("claimed", "fresh", 5, record(6))).await,
        Missing
    );
    assert_eq!(commit(other, delete("claimed")).await, Missing);
    for id in ["claimed", "fresh"] {
        assert_eq!(read(other, key(id), None).await, ReadOutcome::Missing);
    }
}

/// A record with another idle timeout, and no slack.
fn idle(version: i64, idle_timeout: Option<Duration>) -> SessionRecord {
    SessionRecord {
        idle_timeout,
        expiry_slack: Duration::ZERO,
        ..record(version)
    }
}

async fn a_shorter_idle_timeout_counts_at_once(store: &dyn SessionStore) {
    commit(store, create("shorter", record(5))).await;
    commit(store, update("shorter", 5, idle(6, Some(SLACK)))).await;
    let end = START.plus(SLACK);
    assert_eq!(claimed(store, just_before(end)).await, [""; 0]);
    assert_eq!(claimed(store, end).await, ["shorter"]);
}

async fn a_longer_idle_timeout_counts_at_once(store: &dyn SessionStore) {
    commit(store, create("longer", idle(5, Some(SLACK)))).await;
    commit(store, update("longer", 5, idle(6, Some(100 * IDLE)))).await;
    let end = START.plus(100 * IDLE);
    assert_eq!(claimed(store, just_before(end)).await, [""; 0]);
    assert_eq!(claimed(store, end).await, ["longer"]);
}

async fn a_session_that_becomes_immortal_is_left(store: &dyn SessionStore) {
    commit(store, create("risen", record(5))).await;
    commit(store, update("risen", 5, idle(6, None))).await;
    assert_eq!(claimed(store, START.plus(1_000_000 * IDLE)).await, [""; 0]);
    assert_eq!(commit(store, delete("risen")).await, Done);
}

async fn an_immortal_session_that_becomes_mortal_is_claimed(store: &dyn SessionStore) {
    commit(store, create("fallen", idle(5, None))).await;
    commit(store, update("fallen", 5, idle(6, Some(IDLE)))).await;
    assert_eq!(claimed(store, just_before(START.plus(IDLE))).await, [""; 0]);
    assert_eq!(claimed(store, START.plus(IDLE)).await, ["fallen"]);
}

/// One request tells of its access while another one changes the idle timeout.
async fn a_touch_beside_an_update_counts_with_its_idle_timeout(store: &dyn SessionStore) {
    let access = START.plus(SLACK);
    for reversed in [false, true] {
        commit(store, create("beside", idle(5, Some(SLACK)))).await;
        let mut batch = vec![
            update("beside", 5, idle(6, Some(10 * IDLE))),
            touch("beside", access),
        ];
        if reversed {
            batch.reverse();
        }
        let outcomes = store.commit(&batch).await.expect("the store answers");
        assert_eq!(outcomes, [Done, Done]);
        let end = access.plus(10 * IDLE);
        assert_eq!(found(store, "beside").await.expires_at(), Some(end));
        assert_eq!(
            claimed(store, just_before(end)).await,
            [""; 0],
            "expired early"
        );
        assert_eq!(claimed(store, end).await, ["beside"]);
    }
}

/// One request tells of its access while another one gives the session a new id. Where the touch
/// counts as done, it must be seen afterwards.
async fn a_touch_beside_a_rename_is_not_lost(store: &dyn SessionStore) {
    let access = START.plus(SLACK);
    for new_id in ["beside1", "beside2", "beside3", "beside4"] {
        commit(store, create("beside0", record(5))).await;
        let batch = [
            rename("beside0", new_id, 5, record(6)),
            touch("beside0", access),
        ];
        let outcomes = store.commit(&batch).await.expect("the store answers");
        assert_eq!(outcomes[0], Done);
        let expected = if outcomes[1] == Done { access } else { START };
        assert_eq!(
            found(store, new_id).await.last_access,
            expected,
            "{outcomes:?}"
        );
        commit(store, delete(new_id)).await;
    }
}

async fn a_touch_does_not_move_the_deadline(store: &dyn SessionStore) {
    let deadline = START.plus(IDLE + 2 * SLACK);
    let limited = SessionRecord {
        deadline: Some(deadline),
        ..record(5)
    };
    commit(store, create("limited", limited)).await;
    commit(store, touch("limited", START.plus(IDLE))).await;
    assert_eq!(found(store, "limited").await.deadline, Some(deadline));
    assert_eq!(claimed(store, just_before(deadline)).await, [""; 0]);
    assert_eq!(claimed(store, deadline).await, ["limited"]);
}
