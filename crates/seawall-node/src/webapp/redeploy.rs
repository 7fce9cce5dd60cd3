//! Looking at the webapps folder, on a thread of its own.
//!
//! Files are read there and pages compiled. A folder on a disk of the network may not answer, and many
//! files take their time; neither may hold up a worker's requests, nor the commits of all of them. So
//! it is not one of the runtime's threads either: at the end of a node those are waited for.

use std::{
    io,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use super::{catalog::Catalog, deploy::Deployer};

/// How often the folder is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the applications up to date, as long as it is kept.
#[derive(Debug)]
pub(crate) struct Redeployment {
    _stop: mpsc::Sender<()>,
}

impl Redeployment {
    /// Hands each new catalog to `replace`.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(
        mut deployer: Deployer,
        replace: impl Fn(Catalog) + Send + 'static,
    ) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let look = move || {
            // Sessions of new applications have tasks of their own.
            let runtime = deployer.runtime();
            let _runtime = runtime.enter();
            while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                if let Some(catalog) = deployer.redeploy() {
                    replace(catalog);
                }
            }
        };
        // Nobody waits for it: it ends when the folder answers, or with the process.
        thread::Builder::new().name("webapps".into()).spawn(look)?;
        Ok(Self { _stop: stop })
    }
}
