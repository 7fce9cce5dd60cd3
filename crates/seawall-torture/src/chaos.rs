//! The faults, one after the other.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use nix::sys::signal::Signal;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{task::spawn_blocking, time::sleep};

use crate::{cluster::Cluster, database::Database, proxy::Proxy};

/// What can be broken.
pub(crate) struct Targets {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) database: Database,
    pub(crate) proxy: Option<Proxy>,
}

/// How often each fault was inflicted.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) nodes_killed: u32,
    pub(crate) nodes_stopped: u32,
    pub(crate) database_killed: u32,
    pub(crate) connections_cut: u32,
}

impl Targets {
    /// Inflicts faults for `time`, and leaves everything running.
    pub(crate) async fn torture(mut self, time: Duration, seed: u64) -> Result<(Self, Faults)> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut faults = Faults::default();
        let end = tokio::time::Instant::now() + time;
        while tokio::time::Instant::now() < end {
            sleep(Duration::from_millis(random.random_range(200..2_500))).await;
            let node = random.random_range(0..self.cluster.ports().len());
            match random.random_range(0..10) {
                0..4 => {
                    let cluster = self.cluster.clone();
                    spawn_blocking(move || cluster.restart(node)).await??;
                    faults.nodes_killed += 1;
                }
                4..6 => {
                    self.cluster.signal(node, Signal::SIGSTOP)?;
                    sleep(Duration::from_millis(random.random_range(100..6_000))).await;
                    self.cluster.signal(node, Signal::SIGCONT)?;
                    faults.nodes_stopped += 1;
                }
                6..8 if self.proxy.is_some() => {
                    let pause = Duration::from_millis(random.random_range(0..4_000));
                    self = self.kill_database(pause).await?;
                    faults.database_killed += 1;
                }
                _ => {
                    if let Some(proxy) = &self.proxy {
                        proxy.cut();
                        faults.connections_cut += 1;
                    }
                }
            }
        }
        Ok((self, faults))
    }

    async fn kill_database(mut self, pause: Duration) -> Result<Self> {
        self.database.kill();
        sleep(pause).await;
        Ok(spawn_blocking(move || {
            self.database.start_again();
            self
        })
        .await?)
    }
}
