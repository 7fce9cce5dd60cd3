//! Finding a child that hangs.

use std::{net::SocketAddr, time::Duration};

use tokio::time::{sleep, timeout};

use super::READY_LIMIT;
use crate::http_client;

/// How often a child is asked that has just been started.
const FIRST_INTERVAL: Duration = Duration::from_millis(10);
const INTERVAL: Duration = Duration::from_millis(500);
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// So many questions in a row without an answer mean that the child hangs: three seconds, which
/// leaves the requests that wait for a lock of this child two of `store.patience`.
const HUNG_AFTER: u32 = 3;

/// Where a child says how it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    pub(super) address: SocketAddr,
    pub(super) path: &'static str,
}

impl Watch {
    /// Waits until the child answers no more, or has not begun to within [`READY_LIMIT`].
    ///
    /// Any answer will do: a node whose store is away says so, and is well itself.
    pub(super) async fn until_hung(self) {
        if timeout(READY_LIMIT, self.first_answer()).await.is_err() {
            return;
        }
        let mut unanswered = 0;
        while unanswered < HUNG_AFTER {
            if self.answers().await {
                unanswered = 0;
                sleep(INTERVAL).await;
            } else {
                unanswered += 1;
            }
        }
    }

    async fn first_answer(self) {
        while !self.answers().await {
            sleep(FIRST_INTERVAL).await;
        }
    }

    async fn answers(self) -> bool {
        http_client::get(self.address, self.path, ANSWER_LIMIT)
            .await
            .is_ok()
    }
}
