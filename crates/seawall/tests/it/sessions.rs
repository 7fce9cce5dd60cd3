//! `seawall sessions`, on a store that a program of somebody else's filled.

use std::{sync::Arc, time::Duration};

use seawall_session::{SessionId, SessionManager, SessionSettings};
use seawall_store::{
    Attributes, Batcher, BatcherSettings, Clock, Commit, Device, LIST_LIMIT, SessionKey,
    SessionRecord, SessionStore, StoreUrl, SystemClock, Version, Writers,
};

use seawall_testing::{TestMariaDb, TestPostgres, TestRedis};

use crate::cluster::seawall;

/// A session of `user:42` that was used `ago`, and its cookie.
async fn make_session(store: &dyn SessionStore, ago: Duration) -> SessionId {
    let (id, create) = new_session(ago);
    store.commit(&[create]).await.unwrap();
    id
}

fn new_session(ago: Duration) -> (SessionId, Commit) {
    let id = SessionId::generate();
    let settings = SessionSettings::default();
    let ago = i64::try_from(ago.as_millis()).unwrap();
    let used = seawall_store::Timestamp::from_millis(SystemClock.now().as_millis() - ago);
    let record = SessionRecord {
        version: Version::from_i64(1),
        created_at: used,
        last_access: used,
        idle_timeout: Some(Duration::from_secs(1_800)),
        expiry_slack: Duration::ZERO,
        deadline: None,
        principal: Some("user:42".into()),
        origin: None,
        last_node: "node1".into(),
        writers: Writers::new(),
        attributes: Attributes::from([
            ("pin".into(), "hush".into()),
            ("e\u{1b}[2Jvil".into(), 1.into()),
        ]),
        notes: Attributes::new(),
    };
    let key = SessionKey {
        id: id.stored(),
        context: settings.stored_context(),
        virtual_host: settings.virtual_host.clone(),
    };
    let create = Commit::Create {
        key,
        record: Arc::new(record),
    };
    (id, create)
}

/// What the command prints, on either stream, and whether it succeeded.
fn sessions(url: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = seawall();
    let output = command
        .arg("sessions")
        .args(arguments)
        .args(["--store", url])
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn sessions_are_listed_shown_revoked_and_swept() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("sessions.db").display());
    let store = url.parse::<StoreUrl>().unwrap().open().await.unwrap();
    let mut ids = Vec::new();
    for minutes in [1, 2, 3, 60, 300] {
        ids.push(make_session(&*store, Duration::from_secs(minutes * 60)).await);
    }
    let (_, listed) = sessions(&url, &["list", "--principal", "user:42"]);
    assert!(
        listed.starts_with("3 sessions\n"),
        "expired ones are not listed: {listed}"
    );
    assert!(
        listed.contains(&*ids[0].stored()) && !listed.contains(ids[0].as_str()),
        "{listed}"
    );
    let (_, json) = sessions(&url, &["list", "--principal", "user:42", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 3);
    let cookie = format!("{}.node1", ids[0].as_str());
    for id in [&cookie, &*ids[0].stored()] {
        let (_, shown) = sessions(&url, &["show", id]);
        assert!(
            shown.contains("principal    user:42") && shown.contains("pin  9 bytes"),
            "{shown}"
        );
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.contains("e [2Jvil"), "{shown}");
    }
    let (_, revoked) = sessions(&url, &["revoke", &cookie]);
    assert!(revoked.contains("the session has ended"), "{revoked}");
    let (succeeded, missing) = sessions(&url, &["revoke", &cookie]);
    assert!(
        !succeeded && missing.contains("no such session"),
        "{missing}"
    );
    let (_, revoked) = sessions(&url, &["revoke", "--principal", "user:42"]);
    assert!(revoked.contains("2 sessions ended"), "{revoked}");
    let (_, swept) = sessions(&url, &["sweep", "--older-than", "4h"]);
    assert!(swept.contains("1 expired sessions deleted"), "{swept}");
    let (_, swept) = sessions(&url, &["sweep"]);
    assert!(swept.contains("1 expired sessions deleted"), "{swept}");
    assert_eq!(store.count().await.unwrap(), 0);
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    for words in [&["revoke", "--principal", "user:42"][..], &["sweep"]] {
        let mut command = seawall();
        let output = command
            .current_dir(folder.path())
            .arg("sessions")
            .args(words);
        let output = output.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && error.contains("the file is not there"),
            "{error}"
        );
    }
    assert!(!folder.path().join("seawall-data").exists());
}

/// Ids are base64url, so one in 64 begins with a hyphen; some look like an option.
#[tokio::test]
async fn an_id_may_begin_with_a_hyphen() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("sessions.db").display());
    url.parse::<StoreUrl>().unwrap().open().await.unwrap();
    for id in ["-EyVm0_x.node1", "-hVEyVm0_x", "--EyVm0_x"] {
        for command in ["show", "revoke"] {
            let (_, text) = sessions(&url, &[command, id]);
            assert!(text.contains("no such session"), "{text}");
        }
    }
}

#[tokio::test]
async fn more_sessions_than_a_list_holds_all_end() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite:{}", folder.path().join("sessions.db").display());
    let (postgres, mariadb, redis) = (
        TestPostgres::start(),
        TestMariaDb::start(),
        TestRedis::start(),
    );
    let more = usize::from(LIST_LIMIT) + 3;
    for url in [&sqlite, &postgres.url(), &mariadb.url(), &redis.url()] {
        let store = url.parse::<StoreUrl>().unwrap().open().await.unwrap();
        let made = (0..more).map(|_| new_session(Duration::ZERO).1);
        for batch in made.collect::<Vec<_>>().chunks(1_000) {
            store.commit(batch).await.unwrap();
        }
        for form in [&[][..], &["--json"]] {
            let (_, listed) = sessions(url, &[&["list", "--principal", "user:42"], form].concat());
            let last = listed.lines().next_back();
            let all = "seawall: these are 10000 sessions, there may be more";
            assert_eq!(last, Some(all), "{url}");
        }
        let (_, revoked) = sessions(url, &["revoke", "--principal", "user:42"]);
        assert_eq!(revoked, "10003 sessions ended\n", "{url}");
        assert_eq!(store.count().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn devices_are_listed_and_shown_and_shared_sessions_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("sessions.db").display());
    let store = url.parse::<StoreUrl>().unwrap().open().await.unwrap();
    let batcher = Batcher::spawn(store, &BatcherSettings::default());
    let settings = SessionSettings {
        device_notes: true,
        shared_id: true,
        virtual_host: "shop.example".into(),
        ..SessionSettings::default()
    };
    let manager = SessionManager::new(batcher, Arc::new(SystemClock), settings).unwrap();
    let device = Device::new(Some("Lynx \u{202e}\""), "192.0.2.7".parse().ok());
    let made = manager.visit_from(Some(device), &[], |draft| {
        draft.set_principal(Some("user:42".into())).unwrap();
        draft.set("pin", "hush").unwrap();
    });
    let cookie = made.await.unwrap().cookie.unwrap();
    let cookie = cookie.to_str().unwrap();
    let cookie = &cookie["JSESSIONID=".len()..cookie.find(';').unwrap()];
    let (_, listed) = sessions(&url, &["list", "--principal", "user:42"]);
    let shown = r#"192.0.2.7 "Lynx \u{202e}\"""#;
    assert!(listed.contains(shown), "{listed}");
    let (_, json) = sessions(&url, &["list", "--principal", "user:42", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["address"], "192.0.2.7");
    assert_eq!(json[0]["user_agent"], "Lynx \u{202e}\"");
    let config = folder.path().join("seawall.toml");
    std::fs::write(&config, "[session]\nshared_id = true\n").unwrap();
    let config = config.to_str().unwrap();
    let host = ["--host", "Shop.Example", "--config", config];
    let (_, one) = sessions(&url, &[&["show", cookie], &host[..]].concat());
    assert!(
        one.contains(shown) && one.contains("_/pin  9 bytes"),
        "{one}"
    );
    let (_, revoked) = sessions(&url, &[&["revoke", cookie], &host[..]].concat());
    assert!(revoked.contains("the session has ended"), "{revoked}");
}

#[test]
fn revoking_takes_one_session_or_all_of_a_principal() {
    let error = |more: &[&str]| {
        let mut command = seawall();
        let output = command.args(["sessions", "revoke"]).args(more).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let none = error(&[]);
    assert!(none.contains("<ID|--principal <PRINCIPAL>>"), "{none}");
    assert!(!none.contains("--principal <PRINCIPAL> <ID>"), "{none}");
    let both = error(&["id", "--principal", "user:1"]);
    assert!(both.contains("cannot be used with"), "{both}");
    let unfit = error(&["--principal", "user:1", "--context", "/shop"]);
    assert!(unfit.contains("--context"), "{unfit}");
}
