//! Expiry: never early, and claimed once.

use super::*;

pub(super) async fn run(report: &mut Report, store: &dyn SessionStore, other: &dyn SessionStore) {
    check!(report, idle_sessions_expire_after_their_slack(store));
    check!(report, deadlines_and_immortal_sessions(store));
    check!(report, touched_sessions_live_on(store));
    check!(report, each_is_claimed_once(store, other));
}

pub(super) async fn claimed(store: &dyn SessionStore, now: Timestamp) -> Vec<String> {
    let expired = store
        .claim_expired(now, 1_000)
        .await
        .expect("the store answers");
    let mut ids: Vec<_> = expired
        .iter()
        .map(|session| session.key.id.to_string())
        .collect();
    ids.sort();
    ids
}

pub(super) fn just_before(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_millis() - 1)
}

async fn idle_sessions_expire_after_their_slack(store: &dyn SessionStore) {
    commit(store, create("idle", record(5))).await;
    let expiry = START.plus(IDLE + SLACK);
    assert_eq!(
        claimed(store, just_before(expiry)).await,
        [""; 0],
        "expired early"
    );
    let expired = store
        .claim_expired(expiry, 10)
        .await
        .expect("the store answers");
    assert_eq!(expired.len(), 1);
    assert_eq!(
        expired[0].record,
        Some(record(5)),
        "the listeners want to know what it held"
    );
    assert_eq!(read(store, key("idle"), None).await, ReadOutcome::Missing);
}

async fn deadlines_and_immortal_sessions(store: &dyn SessionStore) {
    let deadline = START.plus(Duration::from_secs(50));
    let limited = SessionRecord {
        deadline: Some(deadline),
        ..record(5)
    };
    let only_deadline = SessionRecord {
        idle_timeout: None,
        ..limited.clone()
    };
    let immortal = SessionRecord {
        idle_timeout: None,
        expiry_slack: Duration::ZERO,
        ..record(5)
    };
    commit(store, create("limited", limited)).await;
    commit(store, create("only-deadline", only_deadline)).await;
    commit(store, create("immortal", immortal)).await;
    commit(store, touch("limited", START.plus(Duration::from_secs(40)))).await;
    assert_eq!(claimed(store, just_before(deadline)).await, [""; 0]);
    assert_eq!(claimed(store, deadline).await, ["limited", "only-deadline"]);
    assert_eq!(claimed(store, START.plus(1_000_000 * IDLE)).await, [""; 0]);
    assert_eq!(found(store, "immortal").await.idle_timeout, None);
    commit(store, delete("immortal")).await;
}

async fn touched_sessions_live_on(store: &dyn SessionStore) {
    commit(store, create("alive", record(5))).await;
    let access = START.plus(IDLE);
    commit(store, touch("alive", access)).await;
    assert_eq!(claimed(store, START.plus(IDLE + SLACK)).await, [""; 0]);
    let shorter = SessionRecord {
        idle_timeout: Some(SLACK),
        last_access: access,
        ..record(6)
    };
    commit(store, update("alive", 5, shorter)).await;
    assert_eq!(
        claimed(store, just_before(access.plus(2 * SLACK))).await,
        [""; 0]
    );
    assert_eq!(claimed(store, access.plus(2 * SLACK)).await, ["alive"]);
}

async fn each_is_claimed_once(store: &dyn SessionStore, other: &dyn SessionStore) {
    for i in 0..200 {
        commit(store, create(&format!("e{i:03}"), record(5))).await;
    }
    let now = START.plus(2 * IDLE);
    let (mut all, mut limited) = (Vec::new(), 0);
    loop {
        let (mine, theirs) = tokio::join!(store.claim_expired(now, 7), other.claim_expired(now, 7));
        let claims = [mine, theirs].map(|claim| claim.expect("the store answers"));
        if claims.iter().all(Vec::is_empty) || all.len() > 200 {
            break;
        }
        limited = claims.iter().map(Vec::len).fold(limited, usize::max);
        all.extend(claims.into_iter().flatten().map(|expired| expired.key.id));
    }
    assert!(limited <= 7, "a claim took {limited}, more than its limit");
    all.sort();
    let count = all.len();
    all.dedup();
    assert_eq!(
        (count, all.len()),
        (200, 200),
        "each expired session is claimed once"
    );
}
