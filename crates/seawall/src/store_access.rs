//! The session store as commands look at it: without making anything that is not there, and where it
//! must not hang them, on a thread of its own.

use std::{sync::Arc, thread, time::Duration};

use seawall_store::{SessionStore, StoreOptions, StoreUrl};
use tokio::sync::oneshot;

use crate::{
    disk::{self, DiskError},
    node,
};

/// The store's kind, for people.
pub(crate) fn kind(url: &StoreUrl) -> &'static str {
    match url {
        StoreUrl::Memory => "memory",
        StoreUrl::Mysql(_) => "MariaDB/MySQL",
        StoreUrl::Postgres(_) => "PostgreSQL",
        StoreUrl::Redis(_) => "Redis/Valkey",
        StoreUrl::Sqlite(_) => "SQLite",
    }
}

/// Opens the store that the nodes use.
pub(crate) async fn open(
    url: &StoreUrl,
    options: &StoreOptions,
) -> Result<Arc<dyn SessionStore>, String> {
    if disk::hangs(url).await {
        return Err(format!("{url}: {}", DiskError::Hangs));
    }
    match url {
        StoreUrl::Memory => {
            return Err(
                "memory: each node has a store of its own, which nobody else sees".to_owned(),
            );
        }
        StoreUrl::Sqlite(path) if !path.exists() => {
            return Err(format!(
                "{url}: the file is not there; nodes make it when they start, so this may be another \
                 folder than theirs"
            ));
        }
        _ => {}
    }
    let opened = url.open_with(options).await;
    opened.map_err(|error| error.to_string())
}

/// What `work` gives on a thread of its own, if it does within `limit`. When it does not, the thread
/// is left to itself and ends with the process.
pub(crate) async fn on_a_thread<T, F>(
    limit: Duration,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<T, String>
where
    T: Send + 'static,
    F: Future<Output = Result<T, String>>,
{
    let (sender, receiver) = oneshot::channel();
    thread::spawn(move || {
        let done = node::runtime().and_then(|runtime| {
            let done = runtime.block_on(work());
            // What blocks a thread of the runtime must not hold up the answer.
            runtime.shutdown_background();
            done
        });
        // Nobody waits any more when the time is over.
        let _ = sender.send(done);
    });
    match tokio::time::timeout(limit, receiver).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err("the check broke off".to_owned()),
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}
