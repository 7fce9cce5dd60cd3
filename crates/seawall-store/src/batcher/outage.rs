//! What a lane does while the store is away.
//!
//! Nothing that waits is sent. One probe at a time, of both lanes together, asks whether the store is
//! back; only then the lane sends what has gathered, in batches like any other. Meanwhile those who
//! have waited long enough are told.

use std::{pin::pin, time::Duration};

use tokio::time::sleep;

use super::Way;
use crate::{key::SessionKey, store::StoreError};

/// The first pause before a probe, and the longest. Service is back within the longest pause and
/// the time to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How often a lane looks at who waits.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A lane whose store is away.
pub(super) trait Waiters {
    fn way(&self) -> &Way;

    /// Asks the store for something harmless, in the way the lane does.
    fn probe(way: Way) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes in what was asked for meanwhile, and tells those whose patience is at its end.
    fn look_after(&mut self, error: &StoreError);

    /// Whether nobody waits and nobody will ask.
    fn is_deserted(&self) -> bool;

    /// Whether nobody waits.
    fn is_empty(&self) -> bool;
}

/// Waits until the store is back.
pub(super) async fn outlast(lane: &mut impl Waiters, mut error: StoreError) {
    let (way, mut pause) = (lane.way(), FIRST_PAUSE);
    way.availability.lost(way.lane, &*way.store, &error);
    while !lane.is_deserted() {
        match look_until_probed(lane, pause, &error).await {
            Some(Ok(())) => {
                // What waits is the proof, if anything does.
                if lane.is_empty() {
                    lane.way().store_answered();
                }
                return;
            }
            Some(Err(failed)) if failed.is_transient() => {
                lane.way().metrics().failures.increment();
                error = failed;
            }
            // The store answers, if only to refuse the probe.
            Some(Err(_)) => return,
            None => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Pauses and probes; looks after those who wait meanwhile. `None` when nobody is left.
async fn look_until_probed<L: Waiters>(
    lane: &mut L,
    pause: Duration,
    error: &StoreError,
) -> Option<Result<(), StoreError>> {
    let way = lane.way().clone();
    let mut probing = pin!(async move {
        sleep(pause).await;
        let availability = way.availability.clone();
        let _one_at_a_time = availability.probing.lock().await;
        L::probe(way).await
    });
    loop {
        lane.look_after(error);
        if lane.is_deserted() {
            return None;
        }
        tokio::select! {
            result = probing.as_mut() => return Some(result),
            () = sleep(LOOK_INTERVAL) => {}
        }
    }
}

/// Waits for what the store was asked; looks after those who wait meanwhile.
pub(super) async fn look_until_done<T>(
    lane: &mut impl Waiters,
    error: &StoreError,
    asked: impl Future<Output = T>,
) -> T {
    let mut asked = pin!(asked);
    loop {
        tokio::select! {
            answer = asked.as_mut() => return answer,
            () = sleep(LOOK_INTERVAL) => lane.look_after(error),
        }
    }
}

/// A session that does not exist, to ask for.
pub(super) fn nobody() -> SessionKey {
    SessionKey {
        id: "probe".into(),
        context: "".into(),
        virtual_host: "".into(),
    }
}
