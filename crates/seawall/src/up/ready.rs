//! Waiting until a cluster answers.

use std::{net::SocketAddr, time::Duration};

use tokio::time::{Instant, sleep};

use crate::http_client;

const POLL_INTERVAL: Duration = Duration::from_millis(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Waits until every address answers 200 at `/`, which makes no session.
pub(super) async fn wait(addresses: &[SocketAddr], limit: Duration) -> Result<(), String> {
    let deadline = Instant::now() + limit;
    for address in addresses {
        loop {
            let problem = match http_client::get(*address, "/", ANSWER_LIMIT).await {
                Ok((status, _)) if status.is_success() => break,
                Ok((status, _)) => format!("it answers {status}"),
                Err(error) => error,
            };
            if Instant::now() >= deadline {
                return Err(format!(
                    "{address} was not ready within {limit:?}: {problem}; the log above says why"
                ));
            }
            sleep(POLL_INTERVAL).await;
        }
    }
    Ok(())
}
