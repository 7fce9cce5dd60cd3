//! Waiting until a cluster answers.

use std::{net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::http_client;

const POLL_INTERVAL: Duration = Duration::from_millis(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Waits until every address answers 200 at `/`, which makes no session, and the balancer whose
/// statistics are at `stats` sends requests to all of its servers.
pub(super) async fn wait(
    addresses: &[SocketAddr],
    stats: SocketAddr,
    limit: Duration,
) -> Result<(), String> {
    let deadline = Instant::now() + limit;
    for address in addresses {
        wait_for(*address, deadline, async || answers(*address).await).await?;
    }
    wait_for(stats, deadline, async || has_all_servers(stats).await).await
}

async fn wait_for(
    address: SocketAddr,
    deadline: Instant,
    ask: impl AsyncFn() -> Result<(), String>,
) -> Result<(), String> {
    while let Err(problem) = ask().await {
        if Instant::now() >= deadline {
            return Err(format!(
                "{address} is not ready: {problem}; the log above says why"
            ));
        }
        sleep(POLL_INTERVAL).await;
    }
    Ok(())
}

async fn answers(address: SocketAddr) -> Result<(), String> {
    let (status, _) = http_client::get(address, "/", ANSWER_LIMIT)
        .await
        .map_err(|error| error.to_string())?;
    if status.is_success() {
        return Ok(());
    }
    Err(format!("it answers {status}"))
}

/// A client that came while a server was still unknown would be kept with another one.
async fn has_all_servers(stats: SocketAddr) -> Result<(), String> {
    let (_, report) = http_client::get(stats, "/health", ANSWER_LIMIT)
        .await
        .map_err(|error| error.to_string())?;
    let report: Value = serde_json::from_slice(&report).map_err(|error| error.to_string())?;
    let servers = report["servers"].as_array().into_iter().flatten();
    match servers.into_iter().find(|server| server["state"] != "UP") {
        Some(server) => Err(format!("{} is {}", server["name"], server["state"])),
        None => Ok(()),
    }
}
