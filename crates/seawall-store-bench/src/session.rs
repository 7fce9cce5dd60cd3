//! The sessions of the benchmark: which there are, and what they hold.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use seawall_store::{
    Attributes, Clock, SessionKey, SessionRecord, SystemClock, Timestamp, Value, Version, Writers,
};

/// Row `i` has the id `i * SCATTER mod 2^32` in hexadecimal digits, so that neighbours lie far apart
/// in the index, as random ids do. Any odd number makes different ids of different rows.
pub(crate) const SCATTER: u64 = 1_640_531_527;

/// What follows the digits: ids are as long as those of Seawall.
pub(crate) const ID_END: &str = "-abcdefghijklmnopqrstuvwxyz-0123456";

pub(crate) const CONTEXT: &str = "_session-test";
pub(crate) const HOST: &str = "0.0.0.0";
pub(crate) const NODE: &str = "node1";

/// The version of rows that were not written since the table was filled.
pub(crate) const FILLED: i64 = 1;

/// So long that no session expires while the benchmark runs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(86_400);

/// Last accesses are spread over this many seconds.
pub(crate) const SPREAD: u32 = 1_800;

/// How many rows to make, and what they hold.
#[derive(Debug)]
pub(crate) struct Rows {
    /// The first one's number.
    pub(crate) first: u32,
    pub(crate) count: u32,
    /// The latest of them; the last accesses of others are up to [`SPREAD`] seconds earlier.
    pub(crate) record: SessionRecord,
}

impl Rows {
    pub(crate) fn record(&self, row: u32) -> SessionRecord {
        let earlier = i64::from(row % SPREAD) * 1_000;
        let latest = self.record.last_access.as_millis();
        SessionRecord {
            last_access: Timestamp::from_millis(latest - earlier),
            ..self.record.clone()
        }
    }
}

/// The sessions that are used, and what is known of them.
#[derive(Debug)]
pub(crate) struct Sessions {
    rows: u32,
    used: Vec<Used>,
    record: SessionRecord,
}

#[derive(Debug)]
struct Used {
    key: SessionKey,
    version: AtomicI64,
}

impl Sessions {
    pub(crate) fn new(rows: u32, used: u32) -> Self {
        let used = used.min(rows);
        let apart = rows / used.max(1);
        let session = |number: u32| Used {
            key: key(number * apart),
            version: AtomicI64::new(FILLED),
        };
        Self {
            rows,
            used: (0..used).map(session).collect(),
            record: record(SystemClock.now()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.used.len()
    }

    /// What the table holds before the load.
    pub(crate) fn live(&self) -> Rows {
        Rows {
            first: 0,
            count: self.rows,
            record: self.record.clone(),
        }
    }

    /// Rows beyond those, that expired more than an hour ago.
    pub(crate) fn expired(&self, count: u32) -> Rows {
        let long_ago = IDLE_TIMEOUT + Duration::from_secs(3_600);
        let last_access = self.record.last_access.as_millis();
        let millis = i64::try_from(long_ago.as_millis()).unwrap_or(i64::MAX);
        Rows {
            first: self.rows,
            count,
            record: record(Timestamp::from_millis(last_access - millis)),
        }
    }

    pub(crate) fn key(&self, index: usize) -> &SessionKey {
        &self.used[index].key
    }

    pub(crate) fn version(&self, index: usize) -> Version {
        Version::from_i64(self.used[index].version.load(Ordering::Relaxed))
    }

    pub(crate) fn set_version(&self, index: usize, version: Version) {
        let known = &self.used[index].version;
        known.store(version.as_i64(), Ordering::Relaxed);
    }

    /// What a request writes on top of the `expected` version.
    pub(crate) fn next(&self, expected: Version) -> SessionRecord {
        let now = SystemClock.now();
        let mut record = self.record.clone();
        record.version = expected.next(now);
        record.last_access = now;
        record
    }
}

/// The key of a row.
pub(crate) fn key(row: u32) -> SessionKey {
    let digits = u64::from(row) * SCATTER % (1 << 32);
    SessionKey {
        id: format!("{digits:08x}{ID_END}").into(),
        context: CONTEXT.into(),
        virtual_host: HOST.into(),
    }
}

/// A session of a small shop: a counter, a name, and what is in the cart.
fn record(last_access: Timestamp) -> SessionRecord {
    let text = |text: String| Value::String(text.into());
    let attributes = [
        ("visits", Value::from(1)),
        ("user", text("user:123456".to_owned())),
        ("cart", text("4711,".repeat(20))),
    ];
    SessionRecord {
        version: Version::from_i64(FILLED),
        created_at: last_access,
        last_access,
        idle_timeout: Some(IDLE_TIMEOUT),
        expiry_slack: Duration::ZERO,
        deadline: None,
        principal: None,
        origin: None,
        last_node: NODE.into(),
        writers: Writers::new(),
        attributes: Attributes::from(attributes.map(|(name, value)| (Arc::from(name), value))),
        notes: Attributes::new(),
    }
}
