//! Each kind of commit, and each of its outcomes.

use super::*;
use crate::{
    CommitOutcome::{Conflict, Done, Exists, Missing},
    Device, notes,
};

pub(super) async fn run(report: &mut Report, store: &dyn SessionStore) {
    check!(report, creating_and_reading(store));
    check!(report, comparing_versions(store));
    check!(report, touching(store));
    check!(report, renaming(store));
    check!(report, deleting(store));
    check!(report, a_mixed_batch(store));
    check!(report, a_large_batch(store));
    check!(report, a_version_is_followed_once(store));
    check!(report, deletions_follow_renames(store));
    check!(report, keys_are_compared_in_full(store));
    check!(report, applications_and_nodes_share_a_batch(store));
    check!(report, values_come_back(store));
    check!(report, keys_may_be_repeated(store));
    check!(report, extreme_times_are_taken(store));
}

async fn creating_and_reading(store: &dyn SessionStore) {
    assert_eq!(read(store, key("new"), None).await, ReadOutcome::Missing);
    assert_eq!(commit(store, create("new", record(5))).await, Done);
    assert_eq!(found(store, "new").await, record(5));
    assert_eq!(commit(store, create("new", record(6))).await, Exists);
    assert_eq!(
        found(store, "new").await,
        record(5),
        "a taken id is left alone"
    );
    let current = ReadOutcome::Current { last_access: START };
    assert_eq!(read(store, key("new"), Some(5)).await, current);
    let newer = read(store, key("new"), Some(4)).await;
    assert_eq!(newer, ReadOutcome::Found(Box::new(record(5))));
    assert_eq!(commit(store, delete("new")).await, Done);
}

async fn comparing_versions(store: &dyn SessionStore) {
    commit(store, create("cas", record(5))).await;
    assert_eq!(commit(store, update("cas", 4, record(9))).await, Conflict);
    assert_eq!(
        found(store, "cas").await,
        record(5),
        "a conflict writes nothing"
    );
    assert_eq!(commit(store, update("cas", 5, record(9))).await, Done);
    assert_eq!(found(store, "cas").await, record(9));
    let earlier = SessionRecord {
        last_access: Timestamp::from_millis(1),
        ..record(10)
    };
    assert_eq!(commit(store, update("cas", 9, earlier)).await, Done);
    assert_eq!(
        found(store, "cas").await.last_access,
        START,
        "the last access never goes back"
    );
    commit(store, delete("cas")).await;
    assert_eq!(commit(store, update("cas", 10, record(11))).await, Missing);
    let gone = read(store, key("cas"), None).await;
    assert_eq!(
        gone,
        ReadOutcome::Missing,
        "a late save brought a dead session back"
    );
}

async fn touching(store: &dyn SessionStore) {
    commit(store, create("touch", record(5))).await;
    let later = START.plus(Duration::from_secs(100));
    assert_eq!(commit(store, touch("touch", later)).await, Done);
    let touched = found(store, "touch").await;
    assert_eq!(
        touched,
        SessionRecord {
            last_access: later,
            ..record(5)
        }
    );
    assert_eq!(commit(store, touch("touch", START)).await, Done);
    assert_eq!(
        found(store, "touch").await.last_access,
        later,
        "touches are monotonic"
    );
    assert_eq!(commit(store, touch("nobody", later)).await, Missing);
    commit(store, delete("touch")).await;
}

async fn renaming(store: &dyn SessionStore) {
    commit(store, create("old", record(5))).await;
    commit(store, create("taken", record(1))).await;
    assert_eq!(
        commit(store, rename("old", "fresh", 4, record(6))).await,
        Conflict
    );
    assert_eq!(
        commit(store, rename("old", "taken", 5, record(6))).await,
        Exists
    );
    assert_eq!(found(store, "old").await, record(5));
    assert_eq!(
        commit(store, rename("old", "fresh", 5, record(6))).await,
        Done
    );
    assert_eq!(read(store, key("old"), None).await, ReadOutcome::Missing);
    assert_eq!(found(store, "fresh").await, record(6));
    assert_eq!(
        commit(store, rename("old", "again", 5, record(6))).await,
        Missing
    );
    for id in ["fresh", "taken"] {
        assert_eq!(commit(store, delete(id)).await, Done);
    }
}

async fn deleting(store: &dyn SessionStore) {
    commit(store, create("dead", record(5))).await;
    assert_eq!(commit(store, delete("dead")).await, Done);
    assert_eq!(commit(store, delete("dead")).await, Missing);
}

async fn a_mixed_batch(store: &dyn SessionStore) {
    for id in ["b-update", "b-stale", "b-touch", "b-delete", "b-rename"] {
        commit(store, create(id, record(5))).await;
    }
    let later = START.plus(Duration::from_secs(1));
    let batch = [
        create("b-create", record(1)),
        create("b-delete", record(1)),
        update("b-gone", 5, record(6)),
        delete("b-nobody"),
        rename("b-rename", "b-renamed", 5, record(6)),
        update("b-stale", 4, record(6)),
        touch("b-touch", later),
        update("b-update", 5, record(6)),
    ];
    let outcomes = store.commit(&batch).await.expect("the store answers");
    assert_eq!(
        outcomes,
        [Done, Exists, Missing, Missing, Done, Conflict, Done, Done]
    );
    let ids = [
        "b-create",
        "b-delete",
        "b-renamed",
        "b-stale",
        "b-touch",
        "b-update",
    ];
    let reads: Vec<Read> = ids
        .map(|id| Read {
            key: key(id),
            known: None,
        })
        .into();
    let all = store.read(&reads).await.expect("the store answers");
    assert!(
        all.iter()
            .all(|outcome| matches!(outcome, ReadOutcome::Found(_))),
        "{all:?}"
    );
    let deleted = store
        .commit(&ids.map(delete))
        .await
        .expect("the store answers");
    assert_eq!(deleted, [Done; 6]);
    assert_eq!(store.commit(&[]).await.expect("an empty batch is fine"), []);
    assert_eq!(store.read(&[]).await.expect("an empty batch is fine"), []);
}

/// Of several commits of one batch that go by the same version, one takes effect.
async fn a_version_is_followed_once(store: &dyn SessionStore) {
    let update = || update("once", 5, record(9));
    let rename = || rename("once", "once-renamed", 5, record(9));
    // Others beside them, because a batch may be written in other ways than a pair.
    let other = || touch("elsewhere", START);
    let batches = [
        [update(), update(), other()],
        [update(), rename(), other()],
        [rename(), update(), other()],
    ];
    for batch in batches {
        commit(store, create("once", record(5))).await;
        let outcomes = store.commit(&batch).await.expect("the store answers");
        let done = outcomes.iter().filter(|outcome| **outcome == Done);
        assert_eq!(done.count(), 1, "{batch:?} gave {outcomes:?}");
        let left = ["once", "once-renamed"].map(delete);
        let left = store.commit(&left).await.expect("the store answers");
        assert!(left.contains(&Done), "{batch:?}");
    }
}

/// As many as a back end may spread over connections: each outcome stands where its commit does.
async fn a_large_batch(store: &dyn SessionStore) {
    let ids: Vec<_> = (0..300).map(|index| format!("large{index:03}")).collect();
    let creates: Vec<_> = ids.iter().map(|id| create(id, record(5))).collect();
    let outcomes = store.commit(&creates).await.expect("the store answers");
    assert_eq!(outcomes, vec![Done; ids.len()]);
    // Of three sessions one is written, one was written by somebody else, and one is not there.
    for id in ids.iter().skip(2).step_by(3) {
        assert_eq!(commit(store, delete(id)).await, Done);
    }
    let expected = [5, 4, 5];
    let versions = expected.iter().cycle();
    let updates: Vec<_> = ids
        .iter()
        .zip(versions)
        .map(|(id, expected)| update(id, *expected, record(9)))
        .collect();
    let outcomes = store.commit(&updates).await.expect("the store answers");
    let each = [Done, Conflict, Missing].into_iter().cycle();
    let each: Vec<_> = each.take(ids.len()).collect();
    assert_eq!(outcomes, each);
    assert_eq!(found(store, "large000").await, record(9));
    assert_eq!(found(store, "large298").await, record(5));
    let deletions: Vec<_> = ids.iter().map(|id| delete(id)).collect();
    let outcomes = store.commit(&deletions).await.expect("the store answers");
    let deleted = outcomes.iter().filter(|outcome| **outcome == Done);
    assert_eq!(deleted.count(), 200);
}

/// Batches of one application and node, and of several, may be written in different ways.
async fn applications_and_nodes_share_a_batch(store: &dyn SessionStore) {
    let place = |context: &str, host: &str| SessionKey {
        context: context.into(),
        virtual_host: host.into(),
        ..key("shared")
    };
    let places = [
        (place("_a", "0.0.0.0"), "node1"),
        (place("_b", "0.0.0.0"), "node1"),
        (place("_b", "example.org"), "node2"),
    ];
    let write = |index: usize, expected: i64| {
        let (key, node) = &places[index];
        let record = SessionRecord {
            last_node: (*node).into(),
            ..record(expected + 1 + index as i64)
        };
        let (key, record) = (key.clone(), Arc::new(record));
        match expected {
            0 => Commit::Create { key, record },
            _ => Commit::Update {
                key,
                expected: Version::from_i64(expected + index as i64),
                record,
            },
        }
    };
    for count in [3, 1, 2] {
        let batch = |expected| {
            (0..count)
                .map(|index| write(index, expected))
                .collect::<Vec<_>>()
        };
        for expected in [0, 1] {
            let outcomes = store.commit(&batch(expected)).await.expect("it answers");
            assert_eq!(outcomes, vec![Done; count], "{count} places");
        }
        for (key, node) in &places[..count] {
            let ReadOutcome::Found(row) = read(store, key.clone(), None).await else {
                panic!("a row of {count} places is missing");
            };
            assert_eq!(&*row.last_node, *node);
            let delete = Commit::delete(key.clone());
            assert_eq!(commit(store, delete).await, Done);
        }
    }
}

async fn deletions_follow_renames(store: &dyn SessionStore) {
    let moved = |version| SessionRecord {
        origin: Some("first".into()),
        ..record(version)
    };
    for known in ["first", "second", "third"] {
        commit(store, create("first", record(5))).await;
        commit(store, create("bystander", record(5))).await;
        for (id, new_id, version) in [("first", "second", 5), ("second", "third", 6)] {
            let renamed = commit(store, rename(id, new_id, version, moved(version + 1))).await;
            assert_eq!(renamed, Done);
        }
        assert_eq!(found(store, "third").await, moved(7));
        commit(store, update("third", 7, record(8))).await;
        assert_eq!(
            found(store, "third").await,
            moved(8),
            "an update keeps the origin"
        );
        let delete = || Commit::Delete {
            key: key(known),
            origin: "first".into(),
        };
        assert_eq!(commit(store, delete()).await, Done, "known as {known}");
        assert_eq!(read(store, key("third"), None).await, ReadOutcome::Missing);
        assert_eq!(commit(store, delete()).await, Missing);
        assert_eq!(commit(store, super::delete("bystander")).await, Done);
    }
}

async fn keys_are_compared_in_full(store: &dyn SessionStore) {
    let long = SessionKey {
        id: "i".repeat(120).into(),
        context: format!("_{}", "c".repeat(59)).into(),
        virtual_host: "h".repeat(60).into(),
    };
    let other_context = SessionKey {
        context: "_".into(),
        ..long.clone()
    };
    for key in [&long, &other_context] {
        let create = Commit::Create {
            key: key.clone(),
            record: Arc::new(record(5)),
        };
        assert_eq!(commit(store, create).await, Done);
    }
    assert_eq!(commit(store, Commit::delete(other_context)).await, Done);
    let kept = read(store, long.clone(), Some(5)).await;
    assert!(
        matches!(kept, ReadOutcome::Current { .. }),
        "the wrong context was deleted"
    );
    assert_eq!(commit(store, Commit::delete(long)).await, Done);
}

async fn values_come_back(store: &dyn SessionStore) {
    let attributes = Attributes::from([
        ("null".into(), Value::Null),
        ("text, ünïcode \0".into(), Value::from("\u{1F30A}")),
        ("bytes".into(), Value::Bytes(vec![0_u8, 255].into())),
        ("opaque".into(), Value::Opaque(vec![0xc1_u8, 1].into())),
        (
            "list".into(),
            Value::List(vec![Value::F64(0.5), Value::Bool(true)]),
        ),
        ("large".into(), Value::Bytes(vec![7_u8; 300_000].into())),
    ]);
    for attributes in [Attributes::new(), attributes] {
        let deadline = Some(START.plus(10 * IDLE));
        let principal = Some("user:42".into());
        let notes = attributes.clone();
        let full = SessionRecord {
            attributes,
            deadline,
            principal,
            notes,
            ..record(5)
        };
        assert_eq!(commit(store, create("values", full.clone())).await, Done);
        assert_eq!(found(store, "values").await, full);
        let mine = store
            .list_by_principal("user:42", START)
            .await
            .expect("the store answers");
        assert_eq!(mine.len(), 1, "sessions are found by principal");
        assert_eq!(mine[0].key, key("values"));
        let device = Device::new(Some("Lynx"), "2001:db8::1".parse().ok());
        let mut used = SessionRecord {
            version: Version::from_i64(6),
            ..full.clone()
        };
        used.set_device(&device);
        assert_eq!(commit(store, update("values", 5, used)).await, Done);
        let devices = notes::devices(store, &mine).await;
        let devices = devices.expect("the store answers");
        assert_eq!(devices, [Some(device)], "sessions are listed with devices");
        commit(store, delete("values")).await;
    }
}

async fn keys_may_be_repeated(store: &dyn SessionStore) {
    let twice = store
        .commit(&[create("twice", record(1)), create("twice", record(2))])
        .await;
    assert_eq!(twice.expect("the store answers"), [Done, Exists]);
    assert_eq!(found(store, "twice").await, record(1));
    let seconds = |seconds| START.plus(Duration::from_secs(seconds));
    let touches = [10, 30, 20].map(|second| touch("twice", seconds(second)));
    assert_eq!(
        store.commit(&touches).await.expect("the store answers"),
        [Done; 3]
    );
    assert_eq!(
        found(store, "twice").await.last_access,
        seconds(30),
        "the latest access counts"
    );
    commit(store, delete("twice")).await;
}

async fn extreme_times_are_taken(store: &dyn SessionStore) {
    let endless = SessionRecord {
        idle_timeout: Some(Duration::MAX),
        expiry_slack: Duration::MAX,
        deadline: Some(Timestamp::from_millis(i64::MAX)),
        ..record(1)
    };
    let instant = SessionRecord {
        idle_timeout: Some(Duration::ZERO),
        expiry_slack: Duration::ZERO,
        ..record(1)
    };
    assert_eq!(commit(store, create("endless", endless)).await, Done);
    assert_eq!(commit(store, create("instant", instant)).await, Done);
    let later = START.plus(Duration::from_secs(1));
    let expired = store
        .claim_expired(later, 10)
        .await
        .expect("the store answers");
    let ids: Vec<_> = expired.iter().map(|session| &*session.key.id).collect();
    assert_eq!(ids, ["instant"]);
    assert_eq!(commit(store, touch("endless", later)).await, Done);
    assert_eq!(commit(store, delete("endless")).await, Done);
}
