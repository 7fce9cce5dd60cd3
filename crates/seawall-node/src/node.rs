//! A node from its sockets to its end.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use seawall_net::{
    BindError, Listener, Listeners, Shutdown, UnixBindError, UnixSocket, Workers, WorkersError,
    serve,
};
use seawall_session::{SettingsError, Sweeper};
use seawall_store::Batcher;
use tokio::sync::{Barrier, SetOnce};

use crate::{
    config::NodeConfig,
    health::{self, Health},
    leave,
    metrics::Sources,
    service::{self, Server},
    webapp::{Catalog, Deployer, Redeployment},
};

/// Why a node did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The webapps folder cannot be read.
    #[error("webapps folder {folder}: {source}; create it, or name another one")]
    Webapps {
        /// The folder.
        folder: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The Unix socket cannot be listened on.
    #[error(transparent)]
    Socket(#[from] UnixBindError),
    /// The threads could not be started, or one of them failed.
    #[error(transparent)]
    Workers(#[from] WorkersError),
}

/// A node that has its address and does not serve yet.
#[derive(Debug)]
pub struct Node {
    config: NodeConfig,
    listeners: Listeners,
    socket: Option<UnixSocket>,
}

impl Node {
    /// Checks the settings and takes the address. Nothing is answered yet.
    ///
    /// # Errors
    /// [`NodeError`] says what is wrong and what to do.
    pub fn bind(config: NodeConfig) -> Result<Self, NodeError> {
        config.sessions.validate()?;
        if let Some(folder) = &config.webapps {
            std::fs::read_dir(folder).map_err(|source| NodeError::Webapps {
                folder: folder.display().to_string(),
                source,
            })?;
        }
        let listeners = Listeners::bind(config.listen, config.workers)?;
        let socket = config
            .socket
            .as_deref()
            .map(|path| UnixSocket::bind(path, config.workers));
        let socket = socket.transpose()?;
        Ok(Self {
            config,
            listeners,
            socket,
        })
    }

    /// The address, with the real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listeners.local_addr()
    }

    /// Serves until `shutdown`, tells everybody who comes that it leaves, and finishes what is in
    /// flight. Blocks the calling thread.
    ///
    /// # Errors
    /// [`NodeError::Workers`] when a thread cannot be started or fails.
    pub fn run(self, shutdown: Shutdown) -> Result<(), NodeError> {
        self.run_until(shutdown, Shutdown::new())
    }

    /// As [`run`](Self::run), with a second word: at `end` the node tells nobody any more, takes no
    /// more requests, and finishes what is in flight.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_until(self, leave: Shutdown, end: Shutdown) -> Result<(), NodeError> {
        let address = self.local_addr();
        let workers = self.config.workers.max(1);
        let (unix, _file) = self.socket.map(UnixSocket::into_parts).unzip();
        let tcp = self.listeners.into_vec().into_iter().map(Listener::from);
        let unix = unix.into_iter().flatten().map(Listener::from);
        let listeners = Mutex::new((tcp.collect::<Vec<_>>(), unix.collect::<Vec<_>>()));
        let limits = self.config.limits.clone();
        let config = Arc::new(self.config);
        // The first worker makes what all of them share, on its own runtime.
        let shared = Arc::new(SetOnce::<Arc<Server>>::new());
        let all_served = Arc::new(Barrier::new(workers));
        let end = leave::End {
            asked: leave,
            now: end,
        };
        let threads = Workers::spawn("node", workers, move |index| {
            let (tcp, unix) = {
                let mut listeners = listeners.lock().expect("no worker panicked here");
                (listeners.0.pop(), listeners.1.pop())
            };
            let (config, shared) = (config.clone(), shared.clone());
            let (limits, end) = (limits.clone(), end.clone());
            let all_served = all_served.clone();
            async move {
                let background = (index == 0).then(|| start(&config, address, &end, &shared));
                let server = shared.wait().await.clone();
                if let Some(pulse) = &config.pulse {
                    tokio::task::spawn_local(pulse.clone().beat(index));
                }
                let listen = async |listener: Option<Listener>| {
                    let Some(listener) = listener else { return };
                    let served = serve(listener, limits.clone(), end.now.clone(), |peer| {
                        service::Connection::new(server.clone(), peer)
                    });
                    if let Err(error) = served.await {
                        tracing::error!(%error, "the listener failed");
                    }
                };
                tokio::select! {
                    _ = async { tokio::join!(listen(tcp), listen(unix)) } => {}
                    // Whoever started this process starts another one.
                    () = failed(background.as_ref()) => panic!("the way to the store has failed"),
                }
                // The first worker's runtime has what all need to finish their last requests. One that
                // panicked never comes.
                let others = tokio::time::timeout(limits.grace * 2, all_served.wait());
                if others.await.is_err() {
                    tracing::warn!("not every worker has ended");
                }
            }
        })?;
        Ok(threads.join()?)
    }
}

/// What runs beside the requests, as long as this is kept.
struct Background {
    batcher: Batcher,
    _sweeper: Arc<Sweeper>,
    _redeployment: Option<Redeployment>,
}

/// Completes when what runs in the background has failed; the first worker looks after it.
async fn failed(background: Option<&Background>) {
    match background {
        Some(background) => background.batcher.failed().await,
        None => std::future::pending().await,
    }
}

/// Makes what all workers share, and starts what runs beside the requests.
fn start(
    config: &Arc<NodeConfig>,
    address: SocketAddr,
    end: &leave::End,
    shared: &SetOnce<Arc<Server>>,
) -> Background {
    let batcher = Batcher::spawn(config.store.clone(), &config.batcher);
    let health = Arc::new(Health::new(
        config.sessions.node.clone(),
        config.clock.clone(),
        config.configuration.clone(),
    ));
    let mut deployer = Deployer::new(config.clone(), batcher.clone(), address);
    let sweeper = Arc::new(Sweeper::spawn(
        config.store.clone(),
        config.clock.clone(),
        config.sweep_interval,
        config.sessions.listeners.clone(),
    ));
    let server = Arc::new(Server::new(
        config.clone(),
        health.clone(),
        Sources {
            batcher: batcher.clone(),
            sweeper: sweeper.clone(),
        },
        deployer.deploy(),
    ));
    let set = shared.set(server.clone());
    debug_assert!(set.is_ok(), "only the first worker starts the node");
    tokio::spawn(leave::leave(end.clone(), health.clone(), config.linger));
    tokio::spawn(health::watch_store(health, batcher.clone()));
    let redeployment = Redeployment::start(deployer, move |catalog| server.replace(catalog));
    if let Err(error) = &redeployment {
        tracing::error!(%error, "no thread for the webapps folder: changes there are not seen");
    }
    Background {
        batcher,
        _sweeper: sweeper,
        _redeployment: redeployment.ok(),
    }
}

/// The catalog as the requests see it.
pub(crate) type SharedCatalog = std::sync::RwLock<Arc<Catalog>>;
