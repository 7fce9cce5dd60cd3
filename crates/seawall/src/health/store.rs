//! The session store: reachable, with tables that this version can use, and a session written, read
//! and deleted.

use std::time::Duration;

use seawall_store::StoreUrl;

use super::{Finding, Level};
use crate::{config::Settings, store_access, store_probe};

/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(6);

/// A store that takes this long for four steps is worth a warning.
const SLOW: Duration = Duration::from_secs(1);

/// What was found out of a store that answers.
struct Answer {
    sessions: u64,
    description: String,
    schema: Option<u32>,
    probe: Result<Duration, String>,
}

/// Without nodes there is none.
pub(super) async fn check(settings: &Settings) -> Vec<Finding> {
    if settings.nodes.is_empty() {
        return Vec::new();
    }
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
            schema: url.schema_version(),
            probe: store_probe::run(&*store, host)
                .await
                .map_err(|error| error.to_string()),
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
        schema,
        ..
    } = answer;
    let tables = schema.map(|version| format!("; tables of version {version}"));
    let tables = tables.unwrap_or_default();
    let detail = format!("{description}: {sessions} sessions{tables}");
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
