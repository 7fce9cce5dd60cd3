//! A sweep beside a load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use seawall_session::{Listeners, SessionEvent, SessionListener, sweep::sweep_gently};
use seawall_store::{SessionKey, SystemClock};
use tokio::time::{sleep, timeout};

use crate::{
    fill,
    load::Load,
    protocol::{Served, Sweep, Swept},
};

/// Counts the sessions that the sweep deletes.
#[derive(Debug, Default)]
struct Deleted(AtomicU64);

impl SessionListener for Deleted {
    fn on_event(&self, _session: &SessionKey, _event: &SessionEvent<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Measures the load alone, with a sweep beside it, and alone again.
pub(crate) async fn measure(load: &Load, command: &Sweep) -> Result<Swept> {
    let store = load.batcher().store().clone();
    let expired = load.sessions().expired(command.expired);
    fill::fill(&load.url, &*store, &expired).await?;
    let alone = Duration::from_millis(command.millis);
    let (before, ()) = serve(load, command, sleep(alone)).await?;
    let deleted = Arc::new(Deleted::default());
    let listeners = Listeners::default().with(deleted.clone());
    let limit = Duration::from_millis(command.limit_millis);
    let started = Instant::now();
    let swept = timeout(limit, sweep_gently(&*store, &SystemClock, &listeners));
    let (during, swept) = serve(load, command, swept).await?;
    // One that was cut off is measured all the same.
    if let Ok(swept) = swept {
        swept?;
    }
    let took = started.elapsed();
    let (after, ()) = serve(load, command, sleep(alone)).await?;
    Ok(Swept {
        before,
        during,
        after,
        deleted: deleted.0.load(Ordering::Relaxed),
        micros: u64::try_from(took.as_micros())?,
    })
}

/// Puts load on the store for as long as `work` takes.
async fn serve<T>(
    load: &Load,
    command: &Sweep,
    work: impl Future<Output = T>,
) -> Result<(Served, T)> {
    let is_over = Arc::new(AtomicBool::new(false));
    let working = async {
        let done = work.await;
        is_over.store(true, Ordering::Relaxed);
        done
    };
    let serving = load.serve(command.concurrency, is_over.clone());
    let (served, done) = tokio::join!(serving, working);
    Ok((served?, done))
}
