//! A session that is written, read and deleted, to see that the store does that.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use seawall_session::SessionId;
use seawall_store::{
    Attributes, Clock, Commit, CommitOutcome, Read, ReadOutcome, SessionKey, SessionRecord,
    SessionStore, StoreError, SystemClock, Version, Writers,
};

/// Where the probe's session is. An application's context begins with `_`, for the slash of its
/// path, so no application has this one.
const PROBE_CONTEXT: &str = "seawall-health";

/// A probe that is killed leaves its session for no longer than this, until the next sweep.
const PROBE_EXPIRY: Duration = Duration::from_secs(30);

const ATTRIBUTE: &str = "probe";

/// What the store did not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    #[error("the store gives no outcome of a read")]
    NoOutcome,
    #[error("a session that was deleted is still there")]
    NotDeleted,
    #[error("a session that was written is not read as it was")]
    NotTheSame,
    #[error("a session cannot be {what}: {outcome}")]
    Refused { what: &'static str, outcome: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes a session, reads it, deletes it, and sees that it is gone.
pub(crate) async fn run(store: &dyn SessionStore, host: Arc<str>) -> Result<Duration, ProbeError> {
    let started = Instant::now();
    let (key, record) = session(host);
    let create = Commit::Create {
        key: key.clone(),
        record: Arc::new(record.clone()),
    };
    commit(store, create, "written").await?;
    let found = read(store, &key).await?;
    let is_same = matches!(
        &found,
        ReadOutcome::Found(found) if found.attributes == record.attributes
    );
    let deleted = commit(store, Commit::delete(key.clone()), "deleted").await;
    if !is_same {
        return Err(ProbeError::NotTheSame);
    }
    deleted?;
    match read(store, &key).await? {
        ReadOutcome::Missing => Ok(started.elapsed()),
        _ => Err(ProbeError::NotDeleted),
    }
}

fn session(host: Arc<str>) -> (SessionKey, SessionRecord) {
    let now = SystemClock.now();
    let key = SessionKey {
        id: SessionId::generate().stored(),
        context: PROBE_CONTEXT.into(),
        virtual_host: host,
    };
    let record = SessionRecord {
        version: Version::default().next(now),
        created_at: now,
        last_access: now,
        idle_timeout: Some(PROBE_EXPIRY),
        expiry_slack: Duration::ZERO,
        deadline: None,
        principal: None,
        origin: None,
        last_node: PROBE_CONTEXT.into(),
        writers: Writers::new(),
        notes: Attributes::new(),
        attributes: Attributes::from([(ATTRIBUTE.into(), ATTRIBUTE.into())]),
    };
    (key, record)
}

async fn commit(
    store: &dyn SessionStore,
    commit: Commit,
    what: &'static str,
) -> Result<(), ProbeError> {
    let outcomes = store.commit(&[commit]).await?;
    match outcomes.as_slice() {
        [CommitOutcome::Done] => Ok(()),
        other => Err(ProbeError::Refused {
            what,
            outcome: format!("{other:?}"),
        }),
    }
}

async fn read(store: &dyn SessionStore, key: &SessionKey) -> Result<ReadOutcome, ProbeError> {
    let read = Read {
        key: key.clone(),
        known: None,
    };
    let mut outcomes = store.read(&[read]).await?;
    outcomes.pop().ok_or(ProbeError::NoOutcome)
}
