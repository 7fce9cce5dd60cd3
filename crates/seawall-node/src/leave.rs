//! How a node ends without anybody noticing.
//!
//! A balancer that knows of nothing may send a request by an idle connection in the moment in which
//! the node closes it, and then nobody can tell whether the request was taken. So a node that is
//! asked to end first says so, in its health and in each answer, and goes on answering for the time
//! that a balancer needs to check it (`linger`). When everybody knows already, it ends at once.

use std::{sync::Arc, time::Duration};

use seawall_net::Shutdown;
use tokio::time::{Instant, sleep};

use crate::health::Health;

/// How often the connections are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The two steps of a node's end.
#[derive(Debug, Clone)]
pub(crate) struct End {
    /// The node has been asked to end.
    pub(crate) asked: Shutdown,
    /// It takes no more connections, and closes those that are idle.
    pub(crate) now: Shutdown,
}

/// Waits until the node is asked to end, and lets it end when that harms nobody, or when the second
/// word comes.
pub(crate) async fn leave(end: End, health: Arc<Health>, linger: Duration) {
    tokio::select! {
        () = end.asked.wait() => {}
        () = end.now.wait() => {}
    }
    health.leave();
    let deadline = Instant::now() + linger;
    while !health.is_deserted(linger) && Instant::now() < deadline && !end.now.is_triggered() {
        sleep(LOOK_INTERVAL).await;
    }
    end.now.trigger();
}
