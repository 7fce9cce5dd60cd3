//! How a node is set up.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use seawall_net::{Pulse, ServeLimits, TrustedProxies};
use seawall_session::SessionSettings;
use seawall_store::{BatcherSettings, Clock, SessionStore, SystemClock};

use crate::admin::AdminToken;

/// How a node is set up.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// A Unix socket that it listens on too: for a balancer on the same machine, which reaches it so
    /// for less.
    pub socket: Option<PathBuf>,
    /// How many threads serve requests.
    pub workers: usize,
    /// The folder of applications; without one there is only what is built in.
    pub webapps: Option<PathBuf>,
    /// How sessions behave. The context path and the cookie's path are set for each application.
    pub sessions: SessionSettings,
    /// Hosts whose sessions are kept apart. All other hosts are one.
    pub virtual_hosts: Vec<String>,
    /// Whose word on a client's address is believed.
    pub trusted_proxies: TrustedProxies,
    /// Where the sessions are kept.
    pub store: Arc<dyn SessionStore>,
    /// How requests to the store are gathered, and how long they wait.
    pub batcher: BatcherSettings,
    /// How often expired sessions are deleted.
    pub sweep_interval: Duration,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Limits of the HTTP server.
    pub limits: ServeLimits,
    /// How long a node that is asked to end still answers, and says that it leaves, unless everybody
    /// knows already. Longer than the time between two checks of a balancer.
    pub linger: Duration,
    /// What a caller must show who drains the node; without one nobody can.
    pub admin_token: Option<AdminToken>,
    /// The most bytes of a form that a page takes.
    pub form_limit: usize,
    /// What parts of the configuration come to: a digest by the part's name. Shown in the health
    /// report, so that a node that runs with another configuration can be told.
    pub configuration: BTreeMap<&'static str, String>,
    /// Where each worker gives signs of life once it serves, if anybody listens.
    pub pulse: Option<Pulse>,
}

impl NodeConfig {
    /// A node on `listen` with `store`, and defaults otherwise. Its name is in `sessions.node`.
    #[must_use]
    pub fn new(listen: SocketAddr, store: Arc<dyn SessionStore>) -> Self {
        Self {
            listen,
            socket: None,
            workers: 1,
            webapps: None,
            sessions: SessionSettings::default(),
            virtual_hosts: Vec::new(),
            trusted_proxies: TrustedProxies::default(),
            store,
            batcher: BatcherSettings::default(),
            sweep_interval: Duration::from_secs(60),
            clock: Arc::new(SystemClock),
            limits: ServeLimits::default(),
            linger: Duration::from_secs(3),
            admin_token: None,
            form_limit: 1 << 20,
            configuration: BTreeMap::new(),
            pulse: None,
        }
    }
}
