//! The word that it is time to end, heard by every worker.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{self, SignalKind};
use tokio::sync::Notify;

/// A switch that is thrown once. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    triggered: AtomicBool,
    notify: Notify,
}

impl Shutdown {
    /// A switch that is not thrown yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Throws the switch. Doing it again changes nothing.
    pub fn trigger(&self) {
        self.state.triggered.store(true, Ordering::SeqCst);
        self.state.notify.notify_waiters();
    }

    /// Whether the switch has been thrown.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.state.triggered.load(Ordering::SeqCst)
    }

    /// Waits until the switch is thrown.
    pub async fn wait(&self) {
        let mut notified = std::pin::pin!(self.state.notify.notified());
        // Registered before the look at the flag, so that no trigger falls between the two.
        notified.as_mut().enable();
        if !self.is_triggered() {
            notified.await;
        }
    }
}

/// A signal that asks the process to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Signal {
    /// SIGINT, what Ctrl-C sends.
    Interrupt,
    /// SIGTERM, what a supervisor sends.
    Terminate,
}

/// SIGTERM and SIGINT, which do not end the process any more once this was made.
#[derive(Debug)]
pub struct Signals {
    terminate: unix::Signal,
    interrupt: unix::Signal,
}

impl Signals {
    /// Installs the handlers. Must be called inside a runtime with I/O.
    ///
    /// # Errors
    /// When they cannot be installed.
    pub fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.interrupt.recv() => Signal::Interrupt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn wakes_those_who_wait_and_those_who_come_later() {
        let shutdown = Shutdown::new();
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.wait().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        shutdown.trigger();
        waiting.await.unwrap();
        shutdown.wait().await;
        assert!(shutdown.is_triggered());
    }
}
