//! The session store: reachable, with tables that this version can use, and a session written, read
//! and deleted.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use seawall_session::SessionId;
use seawall_store::{
    Attributes, Clock, Commit, CommitOutcome, Read, ReadOutcome, SessionKey, SessionRecord,
    SessionStore, StoreUrl, SystemClock, Version, Writers,
};

use super::{Finding, Level};
use crate::{config::Settings, store_access};

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(6);

/// A store that takes this long for four steps is worth a warning.
const SLOW: Duration = Duration::from_secs(1);

/// Where the probe's session is. An application's context begins with `_`, for the slash of its
/// path, so no application has this one.
const PROBE_CONTEXT: &str = "seawall-health";

/// A probe that is killed leaves its session for no longer than this, until the next sweep.
const PROBE_EXPIRY: Duration = Duration::from_secs(30);

const ATTRIBUTE: &str = "probe";

/// What was found out of a store that answers.
struct Answer {
    sessions: u64,
    description: String,
    probe: Result<Duration, String>,
}

pub(super) async fn check(settings: &Settings) -> Vec<Finding> {
    let (url, options) = (settings.store.clone(), settings.store_options.clone());
    if url == StoreUrl::Memory {
        let detail =
            "memory: each node has a store of its own, which ends with it and cannot be seen";
        return vec![Finding::warning("store", detail)];
    }
    let host = settings.session.virtual_host.clone();
    let shown = url.to_string();
    let answer = store_access::on_a_thread(LIMIT, async move || {
        let store = store_access::open(&url, &options).await?;
        let sessions = store.count().await.map_err(|error| error.to_string())?;
        Ok(Answer {
            sessions,
            description: store.description().to_owned(),
            probe: probe(&*store, host).await,
        })
    });
    match answer.await {
        Ok(answer) => vec![counted(&answer), probed(answer.probe)],
        Err(error) if error.contains(&shown) => vec![Finding::critical("store", error)],
        Err(error) => vec![Finding::critical("store", format!("{shown}: {error}"))],
    }
}

fn counted(answer: &Answer) -> Finding {
    let Answer {
        sessions,
        description,
        ..
    } = answer;
    let detail = format!("{description}: {sessions} sessions; its tables are of this version");
    Finding::ok("store", detail)
}

fn probed(probe: Result<Duration, String>) -> Finding {
    match probe {
        Ok(took) => {
            let level = if took > SLOW {
                Level::Warning
            } else {
                Level::Ok
            };
            let detail = format!("a session was written, read and deleted in {took:.1?}");
            Finding::new("store probe", level, detail)
        }
        Err(reason) => Finding::critical("store probe", reason),
    }
}

/// Writes a session, reads it, deletes it, and sees that it is gone.
async fn probe(store: &dyn SessionStore, host: Arc<str>) -> Result<Duration, String> {
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
        return Err("a session that was written is not read as it was".to_owned());
    }
    deleted?;
    match read(store, &key).await? {
        ReadOutcome::Missing => Ok(started.elapsed()),
        _ => Err("a session that was deleted is still there".to_owned()),
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

async fn commit(store: &dyn SessionStore, commit: Commit, what: &str) -> Result<(), String> {
    let outcomes = store.commit(&[commit]).await;
    match outcomes.map_err(|error| error.to_string())?.as_slice() {
        [CommitOutcome::Done] => Ok(()),
        other => Err(format!("a session cannot be {what}: {other:?}")),
    }
}

async fn read(store: &dyn SessionStore, key: &SessionKey) -> Result<ReadOutcome, String> {
    let read = Read {
        key: key.clone(),
        known: None,
    };
    let outcomes = store.read(&[read]).await;
    let outcomes = outcomes.map_err(|error| error.to_string())?;
    let outcome = outcomes.into_iter().next();
    outcome.ok_or_else(|| "the store gives no outcome of a read".to_owned())
}
