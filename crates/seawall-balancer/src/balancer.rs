//! A balancer from its sockets to its end.

use std::{
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    time::Instant,
};

use http::{Request, Response};
use hyper::{body::Incoming, service::Service};
use seawall_net::{
    Address, BindError, Connection as Client, Listeners, Refused, ServeLimits, Shutdown, Workers,
    WorkersError, serve, serve_noting,
};

use crate::{
    access_log,
    body::ResponseBody,
    check,
    config::BalancerConfig,
    forward::Worker,
    moved::Moved,
    server::{Server, count},
    stats,
};

/// Why a balancer did not start, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum BalancerError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A listener that another process opened cannot be used.
    #[error("the inherited listener cannot be used: {0}; check the socket unit that opened it")]
    Inherited(std::io::Error),
    /// A setting is wrong.
    #[error("{0}")]
    Settings(String),
    /// The threads could not be started, or one of them failed.
    #[error(transparent)]
    Workers(#[from] WorkersError),
}

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: BalancerConfig,
    pub(crate) servers: Vec<Arc<Server>>,
    pub(crate) moved: Moved,
    pub(crate) requests: AtomicU64,
    /// Requests that clients sent wrongly, or not to their end.
    pub(crate) refused: AtomicU64,
    /// Requests whose clients left before they had an answer.
    pub(crate) aborts: AtomicU64,
    /// Requests for which no server had an answer.
    pub(crate) failed: AtomicU64,
    pub(crate) started: Instant,
    /// The workers that still serve clients, and whether none does.
    serving: AtomicUsize,
    served: Shutdown,
}

impl Shared {
    /// Waits at the end of a worker until all have served their clients: one of them runs the checks,
    /// without which a server that is slow looks like one that hangs.
    async fn until_all_have_served(&self) {
        if self.serving.fetch_sub(1, SeqCst) == 1 {
            self.served.trigger();
        }
        self.served.wait().await;
    }

    /// Counts and logs a request that no worker saw.
    fn note(&self, refused: &Refused) {
        count(&self.requests);
        count(&self.refused);
        access_log::write_refused(self.config.access_log, refused);
    }
}

/// Listeners that another process opened, which hold the queue of clients while the balancer is
/// replaced.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Where clients connect.
    pub http: Option<TcpListener>,
    /// Where the statistics are.
    pub stats: Option<TcpListener>,
}

/// A balancer that has its addresses and does not serve yet.
#[derive(Debug)]
pub struct Balancer {
    config: BalancerConfig,
    listeners: Listeners,
    stats: Listeners,
}

impl Balancer {
    /// Checks the settings and takes the addresses. Nothing is answered yet.
    ///
    /// # Errors
    /// [`BalancerError`] says what is wrong and what to do.
    pub fn bind(config: BalancerConfig) -> Result<Self, BalancerError> {
        Self::bind_with(config, Inherited::default())
    }

    /// As [`bind`](Self::bind), with listeners that another process has opened already. They count
    /// before the addresses in the settings.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_with(config: BalancerConfig, inherited: Inherited) -> Result<Self, BalancerError> {
        validate(&config).map_err(BalancerError::Settings)?;
        let listeners = |inherited, address, workers| match inherited {
            Some(listener) => {
                Listeners::inherited(listener, workers).map_err(BalancerError::Inherited)
            }
            None => Ok(Listeners::bind(address, workers)?),
        };
        let stats = listeners(inherited.stats, config.stats, 1)?;
        let listeners = listeners(inherited.http, config.listen, config.workers.max(1))?;
        Ok(Self {
            config,
            listeners,
            stats,
        })
    }

    /// Where clients connect, with the real port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.listeners.local_addr()
    }

    /// Where the statistics are, with the real port.
    #[must_use]
    pub fn stats_addr(&self) -> SocketAddr {
        self.stats.local_addr()
    }

    /// Serves until `shutdown`, then finishes what is in flight. Blocks the calling thread.
    ///
    /// # Errors
    /// [`BalancerError::Workers`] when a thread cannot be started or fails.
    pub fn run(self, shutdown: Shutdown) -> Result<(), BalancerError> {
        let servers = self
            .config
            .servers
            .iter()
            .cloned()
            .map(Server::new)
            .map(Arc::new)
            .collect();
        let workers = self.config.workers.max(1);
        let shared = Arc::new(Shared {
            servers,
            moved: Moved::new(),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            aborts: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            started: Instant::now(),
            serving: AtomicUsize::new(workers),
            served: Shutdown::new(),
            config: self.config,
        });
        let listeners = Mutex::new(self.listeners.into_vec());
        let stats = Mutex::new(self.stats.into_vec());
        let threads = Workers::spawn("balancer", workers, move |index| {
            let listener = listeners.lock().expect("no worker panicked here").pop();
            let stats = stats.lock().expect("no worker panicked here").pop();
            let (shared, shutdown) = (shared.clone(), shutdown.clone());
            async move {
                if let Some(stats) = stats {
                    start_beside(&shared, &shutdown, stats, index);
                }
                if let Some(pulse) = &shared.config.pulse {
                    tokio::task::spawn_local(pulse.clone().beat(index));
                }
                let limits = shared.config.limits.clone();
                let worker = Rc::new(Worker::new(shared.clone()));
                let listener = listener.expect("one listener for each worker");
                let make_service = |client: &Client| Connection {
                    worker: worker.clone(),
                    client: client.peer(),
                };
                let noting = shared.clone();
                let note = move |refused| noting.note(&refused);
                let served = serve_noting(listener, limits, shutdown, make_service, note);
                if let Err(error) = served.await {
                    tracing::error!(%error, "the listener failed");
                }
                shared.until_all_have_served().await;
            }
        })?;
        Ok(threads.join()?)
    }
}

/// Starts what runs beside the requests, in one worker: the checks and the statistics.
fn start_beside(shared: &Arc<Shared>, shutdown: &Shutdown, listener: TcpListener, index: usize) {
    tracing::debug!(worker = index, "runs the checks");
    let check = Arc::new(shared.config.check.clone());
    for server in &shared.servers {
        tokio::task::spawn_local(check::keep_checking(server.clone(), check.clone()));
    }
    let (shared, shutdown) = (shared.clone(), shutdown.clone());
    let recent = stats::Recently::start(&shared);
    tokio::task::spawn_local(async move {
        let make_service = |_| stats::Statistics::new(shared.clone(), recent.clone());
        let limits = ServeLimits::default();
        if let Err(error) = serve(listener, limits, shutdown, make_service).await {
            tracing::error!(%error, "the statistics' listener failed");
        }
    });
}

fn validate(config: &BalancerConfig) -> Result<(), String> {
    if config.servers.is_empty() {
        return Err("a balancer needs at least one server; name one with --server".to_owned());
    }
    let mut names = std::collections::HashSet::new();
    for server in &config.servers {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if server.name.is_empty() || !server.name.bytes().all(plain) {
            return Err(format!(
                "server name {:?}: use letters, digits, - and _",
                server.name
            ));
        }
        if !names.insert(&server.name) {
            return Err(format!(
                "two servers are named {:?}; names are unique",
                server.name
            ));
        }
        if matches!(server.address, Address::Tcp(address) if address.port() == 0) {
            return Err(format!(
                "server {}: nobody listens on port 0; name the port that it serves on",
                server.name
            ));
        }
        if server.weight > 256 {
            return Err(format!("server {}: weights go from 0 to 256", server.name));
        }
    }
    Ok(())
}

/// The service of one client's connection.
struct Connection {
    worker: Rc<Worker>,
    client: SocketAddr,
}

impl Service<Request<Incoming>> for Connection {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (worker, client) = (self.worker.clone(), self.client);
        Box::pin(async move { Ok(worker.respond(request, client).await) })
    }
}
