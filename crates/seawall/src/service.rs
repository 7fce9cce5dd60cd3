//! What systemd gives to a service, and what it is told: listeners, readiness, signs of life.
//!
//! Outside systemd all of this does nothing.

use std::{thread::JoinHandle, time::Duration};

use listenfd::ListenFd;
use sd_notify::NotifyState;
use seawall_balancer::Inherited;
use seawall_net::{Pulse, Shutdown};

use crate::node::runtime;

/// How often it is looked whether all workers serve.
const READY_INTERVAL: Duration = Duration::from_millis(20);

/// So many signs of life fit into the time after which systemd takes the process for hung.
const SIGNS: u32 = 3;

/// A pulse for the workers, if a service manager waits for word.
pub(crate) fn pulse(workers: usize) -> Option<Pulse> {
    std::env::var_os("NOTIFY_SOCKET").map(|_| Pulse::new(workers))
}

/// A thread that tells the service manager how it is.
#[derive(Debug)]
pub(crate) struct Telling {
    is_over: Shutdown,
    thread: Option<JoinHandle<()>>,
}

/// Tells the service manager when all workers serve, then that they live, then that they end.
///
/// The thread that tells is not one of the workers, but has nothing to tell unless each of them
/// gave a sign of life. It goes on while requests in flight are finished.
pub(crate) fn tell(pulse: Option<Pulse>, shutdown: Shutdown) -> Result<Telling, String> {
    let is_over = Shutdown::new();
    let thread = match pulse {
        Some(pulse) => {
            let (runtime, is_over) = (runtime()?, is_over.clone());
            Some(std::thread::spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = keep_telling(&pulse, &shutdown) => {}
                        () = is_over.wait() => {}
                    }
                });
            }))
        }
        None => None,
    };
    Ok(Telling { is_over, thread })
}

impl Telling {
    /// Says that this ends, at the latest now.
    pub(crate) fn end(self) {
        self.is_over.trigger();
        if let Some(thread) = self.thread {
            // It does nothing that could panic, and there is nothing left to do if it did.
            let _ = thread.join();
            notify(NotifyState::Stopping);
        }
    }
}

async fn keep_telling(pulse: &Pulse, shutdown: &Shutdown) {
    while !pulse.has_beaten() {
        tokio::time::sleep(READY_INTERVAL).await;
    }
    notify(NotifyState::Ready);
    let watchdog = sd_notify::watchdog_enabled();
    let pause = watchdog.map_or(Duration::from_secs(3600), |limit| limit / SIGNS);
    let mut is_ending = false;
    loop {
        tokio::select! {
            () = shutdown.wait(), if !is_ending => {
                notify(NotifyState::Stopping);
                is_ending = true;
            }
            () = tokio::time::sleep(pause) => if watchdog.is_some() && pulse.has_beaten() {
                notify(NotifyState::Watchdog);
            },
        }
    }
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}

/// The listeners that systemd opened for the balancer, by the names in its socket units.
pub(crate) fn inherited() -> Result<Inherited, String> {
    let mut listeners = ListenFd::from_env();
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut inherited = Inherited::default();
    for index in 0..listeners.len() {
        let place = match names.next() {
            Some("http") => &mut inherited.http,
            Some("stats") => &mut inherited.stats,
            name => {
                return Err(format!(
                    "a listener named {:?} was passed to the balancer; name it http or stats \
                     (FileDescriptorName= in the socket unit)",
                    name.unwrap_or_default()
                ));
            }
        };
        let listener = listeners.take_tcp_listener(index);
        *place = listener.map_err(|error| format!("inherited listener {index}: {error}"))?;
    }
    Ok(inherited)
}
