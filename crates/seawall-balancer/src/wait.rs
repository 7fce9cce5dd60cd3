//! Waiting for a server: how long, and whose time runs.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use tokio::time::{Instant, Sleep};

use crate::{
    config::BalancerConfig,
    server::Server,
    upload::{Turn, Upload},
};

/// How long each may take.
#[derive(Debug)]
pub(crate) struct Patience {
    client: Duration,
    server: Duration,
    /// For a sign of life of the server.
    hung: Duration,
}

/// Whose time is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    Client,
    Server,
}

impl Patience {
    pub(crate) fn of(config: &BalancerConfig) -> Self {
        Self {
            client: config.limits.idle_timeout,
            server: config.timeouts.server,
            hung: config.timeouts.hung,
        }
    }

    /// Waits for something of a server's. One that is hung is left before its time is up, if the
    /// request is `repeatable`; and its time does not run while a client sends.
    pub(crate) async fn wait<F: Future>(
        &self,
        server: &Server,
        mut timer: Pin<&mut Sleep>,
        mut future: Pin<&mut F>,
        upload: &Upload,
        repeatable: bool,
    ) -> Result<F::Output, Late> {
        loop {
            let now = Instant::now();
            let deadline = self.deadline(upload);
            // Half-way the server is asked for a sign of life, so that one which lives has given
            // one when the time is up.
            let half = (now + self.hung / 2).min(deadline);
            if let Some(output) = until(timer.as_mut(), half, future.as_mut()).await {
                return Ok(output);
            }
            server.check_now.notify_one();
            let end = if repeatable {
                (half + self.hung / 2).min(deadline)
            } else {
                deadline
            };
            if let Some(output) = until(timer.as_mut(), end, future.as_mut()).await {
                return Ok(output);
            }
            // A slow page on a server that answers others is waited for.
            let is_silent = repeatable && !server.answered_since(now.into_std());
            if is_silent || Instant::now() >= self.deadline(upload) {
                return Err(match upload.turn() {
                    (Turn::Client, _) => Late::Client,
                    _ => Late::Server,
                });
            }
        }
    }

    /// How long whoever's turn it is may take.
    fn deadline(&self, upload: &Upload) -> Instant {
        match upload.turn() {
            (Turn::Client, since) => since + self.client,
            (Turn::Server | Turn::Broken, since) => since + self.server,
        }
    }
}

/// What comes of `future` before `end`, as `timer` tells it.
async fn until<F: Future>(
    mut timer: Pin<&mut Sleep>,
    end: Instant,
    mut future: Pin<&mut F>,
) -> Option<F::Output> {
    timer.as_mut().reset(end);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.as_mut().poll(context).map(|()| None),
    })
    .await
}
