//! Rows in real tables: one bad attribute, keys that change, and payloads in the wrong row.

use std::{path::PathBuf, sync::Arc};

use seawall_store::{
    Commit, CommitOutcome, Read, ReadOutcome, SessionRecord, SessionStore, Timestamp, Value,
    Version,
};
use seawall_testing::{TestMariaDb, TestPostgres, TestRedis};

use crate::support::{create, encrypting, key, open, open_with};

/// The `map` of a row, in hexadecimal, past the store.
trait Table {
    fn url(&self) -> String;
    fn map(&self, id: &str) -> String;
    fn set_map(&self, id: &str, hex: &str);
}

struct SqliteFile(PathBuf);

impl SqliteFile {
    fn new(folder: &tempfile::TempDir) -> Self {
        Self(folder.path().join("sessions.db"))
    }

    fn connect(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(&self.0).unwrap()
    }
}

impl Table for SqliteFile {
    fn url(&self) -> String {
        format!("sqlite:{}", self.0.display())
    }

    fn map(&self, id: &str) -> String {
        let select = "SELECT lower(hex(map)) FROM JettySessions WHERE sessionId = ?1";
        let connection = self.connect();
        connection
            .query_row(select, [id], |row| row.get(0))
            .unwrap()
    }

    fn set_map(&self, id: &str, hex: &str) {
        let update = format!("UPDATE JettySessions SET map = x'{hex}' WHERE sessionId = ?1");
        assert_eq!(self.connect().execute(&update, [id]).unwrap(), 1);
    }
}

impl Table for TestPostgres {
    fn url(&self) -> String {
        self.url()
    }

    fn map(&self, id: &str) -> String {
        self.query(&format!(
            "SELECT encode(map, 'hex') FROM JettySessions WHERE sessionId = '{id}'"
        ))
    }

    fn set_map(&self, id: &str, hex: &str) {
        self.query(&format!(
            "UPDATE JettySessions SET map = decode('{hex}', 'hex') WHERE sessionId = '{id}'"
        ));
    }
}

impl Table for TestMariaDb {
    fn url(&self) -> String {
        self.url()
    }

    fn map(&self, id: &str) -> String {
        self.query(&format!(
            "SELECT lower(hex(map)) FROM sessions.JettySessions WHERE sessionId = '{id}'"
        ))
    }

    fn set_map(&self, id: &str, hex: &str) {
        self.query(&format!(
            "UPDATE sessions.JettySessions SET map = x'{hex}' WHERE sessionId = '{id}'"
        ));
    }
}

impl Table for TestRedis {
    fn url(&self) -> String {
        self.url()
    }

    fn map(&self, id: &str) -> String {
        let script = "return (string.gsub(redis.call('HGET', KEYS[1], 'map'), '.', \
                      function(byte) return string.format('%02x', string.byte(byte)) end))";
        self.command(&["eval", script, "1", &redis_key(self, id)])
    }

    fn set_map(&self, id: &str, hex: &str) {
        let script = "return redis.call('HSET', KEYS[1], 'map', (string.gsub(ARGV[1], '..', \
                      function(digits) return string.char(tonumber(digits, 16)) end)))";
        self.command(&["eval", script, "1", &redis_key(self, id), hex]);
    }
}

fn redis_key(server: &TestRedis, id: &str) -> String {
    server.command(&["keys", &format!("*|{id}")])
}

fn with(id: &str, attributes: &[(&str, &str)]) -> Commit {
    let Commit::Create { key, mut record } = create(id) else {
        unreachable!()
    };
    let attributes = attributes
        .iter()
        .map(|(name, text)| ((*name).into(), Value::from(*text)));
    Arc::make_mut(&mut record).attributes = attributes.collect();
    Commit::Create { key, record }
}

async fn commit(store: &dyn SessionStore, commit: Commit) {
    let outcomes = store.commit(&[commit]).await.unwrap();
    assert_eq!(outcomes, [CommitOutcome::Done]);
}

async fn read(store: &dyn SessionStore, id: &str) -> ReadOutcome {
    let read = Read {
        key: key(id),
        known: None,
    };
    store.read(&[read]).await.unwrap().remove(0)
}

async fn found(store: &dyn SessionStore, id: &str) -> SessionRecord {
    match read(store, id).await {
        ReadOutcome::Found(record) => *record,
        other => panic!("{id}: {other:?}"),
    }
}

/// Reads a session, sets one attribute and saves it.
async fn save(store: &dyn SessionStore, id: &str, name: &str, text: &str) {
    let mut record = found(store, id).await;
    let expected = record.version;
    record.version = Version::from_i64(expected.as_i64() + 1);
    record.attributes.insert(name.into(), text.into());
    let update = Commit::Update {
        key: key(id),
        expected,
        record: Arc::new(record),
    };
    commit(store, update).await;
}

async fn rename(store: &dyn SessionStore, id: &str, new_id: &str) {
    let mut record = found(store, id).await;
    let expected = record.version;
    record.version = Version::from_i64(expected.as_i64() + 1);
    record.origin = Some(id.into());
    let rename = Commit::Rename {
        key: key(id),
        new_id: new_id.into(),
        expected,
        record: Arc::new(record),
    };
    commit(store, rename).await;
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// P7: the others can be read and written, and the bad one stays as it is; a frame that is broken
/// is left alone.
async fn one_bad_attribute_is_one_bad_attribute(table: impl Table) {
    let store = open(&table.url()).await;
    commit(
        &*store,
        with(
            "s",
            &[("bad", "was good"), ("city", "Oslo"), ("name", "Ann")],
        ),
    )
    .await;
    // A text of eight bytes becomes a byte that MessagePack does not use, and what followed.
    let good = table.map("s");
    let bad = good.replace(
        &format!("a8{}", hex(b"was good")),
        &format!("c1{}", hex(b"was good")),
    );
    assert_ne!(bad, good);
    table.set_map("s", &bad);
    let opaque = Value::Opaque(Arc::from(&b"\xc1was good"[..]));
    save(&*store, "s", "name", "Bob").await;
    assert_eq!(store.unreadable().attributes, 1);
    assert_eq!(
        table.map("s"),
        bad.replace(&hex(b"Ann"), &hex(b"Bob")),
        "the rest is as it was"
    );
    rename(&*store, "s", "t").await;
    let record = found(&*open(&table.url()).await, "t").await;
    assert_eq!(record.attributes["bad"], opaque);
    assert_eq!(record.attributes["city"], "Oslo".into());
    assert_eq!(record.attributes["name"], "Bob".into());
    assert_eq!(store.unreadable().sessions, 0);

    table.set_map("t", "01ff");
    let outcome = read(&*store, "t").await;
    assert!(matches!(outcome, ReadOutcome::Unreadable(_)), "{outcome:?}");
    assert_eq!(table.map("t"), "01ff", "it is left as it is");
    assert_eq!(store.unreadable().sessions, 1);
    let later = Timestamp::from_millis(1_790_100_000_000);
    let expired = store.claim_expired(later, 10).await.unwrap();
    assert!(expired[0].record.is_none(), "it expires like any other");
    assert_eq!((expired.len(), store.count().await.unwrap()), (1, 0));
}

/// Nodes with other settings share the table, as they do while one after the other is restarted.
async fn keys_come_change_and_go(table: impl Table) {
    let url = table.url();
    let secret = &*"a secret that is long enough to be compressed ".repeat(5);
    let plain = open(&url).await;
    let (old, both) = (encrypting(&["old"]), encrypting(&["new", "old"]));
    let (old, both) = (open_with(&url, old).await, open_with(&url, both).await);
    let new = open_with(&url, encrypting(&["new"])).await;
    let is_written_with = |id: &str| {
        let head = format!("0303{}", hex(id.as_bytes()));
        table.map("s").starts_with(&head) && !table.map("s").contains(&hex(b"secret"))
    };
    commit(&*plain, with("s", &[("secret", secret)])).await;
    assert!(table.map("s").contains(&hex(b"secret")));

    save(&*old, "s", "name", "Ann").await;
    assert!(is_written_with("old"), "the next commit encrypts");
    let encrypted = table.map("s");
    for (store, missing) in [(&plain, 1), (&new, 1), (&both, 0)] {
        let outcome = read(&**store, "s").await;
        assert_eq!(
            matches!(outcome, ReadOutcome::Unreadable(_)),
            missing == 1,
            "{outcome:?}"
        );
        assert_eq!(store.unreadable().missing_keys, missing);
    }
    assert_eq!(
        table.map("s"),
        encrypted,
        "what cannot be read is left as it is"
    );

    save(&*both, "s", "name", "Bob").await;
    assert!(
        is_written_with("new"),
        "the next commit takes the active key"
    );
    rename(&*new, "s", "moved").await;
    let record = found(&*new, "moved").await;
    assert_eq!(record.attributes["secret"], secret.into());
    assert_eq!(record.attributes["name"], "Bob".into());

    commit(&*new, with("other", &[])).await;
    table.set_map("other", &table.map("moved"));
    let outcome = read(&*new, "other").await;
    assert!(
        matches!(outcome, ReadOutcome::Unreadable(_)),
        "it opens in its own row only"
    );
    let later = Timestamp::from_millis(1_790_100_000_000);
    let mut expired = new.claim_expired(later, 10).await.unwrap();
    expired.sort_by_key(|expired| expired.key.id.clone());
    let readable: Vec<_> = expired
        .iter()
        .map(|expired| expired.record.is_some())
        .collect();
    assert_eq!(readable, [true, false]);
}

#[tokio::test]
async fn p7_one_bad_attribute_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    one_bad_attribute_is_one_bad_attribute(SqliteFile::new(&folder)).await;
}

#[tokio::test]
async fn p7_one_bad_attribute_on_postgresql() {
    one_bad_attribute_is_one_bad_attribute(TestPostgres::start()).await;
}

#[tokio::test]
async fn p7_one_bad_attribute_on_mariadb() {
    one_bad_attribute_is_one_bad_attribute(TestMariaDb::start()).await;
}

#[tokio::test]
async fn p7_one_bad_attribute_on_redis() {
    one_bad_attribute_is_one_bad_attribute(TestRedis::start()).await;
}

#[tokio::test]
async fn keys_come_change_and_go_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    keys_come_change_and_go(SqliteFile::new(&folder)).await;
}

#[tokio::test]
async fn keys_come_change_and_go_on_postgresql() {
    keys_come_change_and_go(TestPostgres::start()).await;
}

#[tokio::test]
async fn keys_come_change_and_go_on_mariadb() {
    keys_come_change_and_go(TestMariaDb::start()).await;
}

#[tokio::test]
async fn keys_come_change_and_go_on_redis() {
    keys_come_change_and_go(TestRedis::start()).await;
}
