//! How a balancer is set up.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use seawall_net::{Address, Pulse, ServeLimits, TrustedProxies};

use crate::access_log::AccessLog;

/// How a balancer is set up.
#[derive(Debug, Clone)]
pub struct BalancerConfig {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where the statistics are served.
    pub stats: SocketAddr,
    /// The servers, in order.
    pub servers: Vec<ServerConfig>,
    /// How a client is kept with its server.
    pub sticky: StickyMode,
    /// The session cookie that [`StickyMode::Route`] and [`StickyMode::Prefix`] look at.
    pub cookie: Arc<str>,
    /// Who gets a request that no cookie directs.
    pub algorithm: Algorithm,
    /// How servers are checked.
    pub check: CheckConfig,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Which requests are logged.
    pub access_log: AccessLog,
    /// How many threads serve requests.
    pub workers: usize,
    /// Limits of the HTTP server.
    pub limits: ServeLimits,
    /// Proxies in front that are believed when they say that a client came by TLS.
    pub trusted_proxies: TrustedProxies,
    /// Where each worker gives signs of life once it serves, if anybody listens.
    pub pulse: Option<Pulse>,
}

impl BalancerConfig {
    /// A balancer with defaults.
    #[must_use]
    pub fn new(listen: SocketAddr, stats: SocketAddr, servers: Vec<ServerConfig>) -> Self {
        Self {
            listen,
            stats,
            servers,
            sticky: StickyMode::Route,
            cookie: "JSESSIONID".into(),
            algorithm: Algorithm::RoundRobin,
            check: CheckConfig::default(),
            timeouts: Timeouts::default(),
            access_log: AccessLog::Errors,
            workers: 1,
            limits: ServeLimits::default(),
            trusted_proxies: TrustedProxies::default(),
            pulse: None,
        }
    }
}

/// A server behind the balancer.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Its name, as it stands in cookies; for Seawall's nodes the node's name.
    pub name: Arc<str>,
    /// Where it listens.
    pub address: Address,
    /// Its share of the clients, up to 256; 0 takes no new ones.
    pub weight: u32,
}

/// How a client is kept with its server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StickyMode {
    /// By a cookie of the balancer's own, `SEAWALLSRV`.
    Insert,
    /// Not at all.
    None,
    /// By `<server>~` in front of the session cookie's value, byte for byte as HAProxy's
    /// `cookie … prefix`. A bounded table remembers clients that had to move.
    Prefix,
    /// By what follows the last dot of the session cookie's value: the node writes it itself.
    Route,
}

impl StickyMode {
    /// Its word in configurations and reports.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::None => "none",
            Self::Prefix => "prefix",
            Self::Route => "route",
        }
    }
}

/// Who gets a request that no cookie directs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// The server with the fewest requests in flight for its weight.
    LeastConnections,
    /// In turn, by weight.
    RoundRobin,
}

/// How servers are checked.
#[derive(Debug, Clone)]
pub struct CheckConfig {
    /// What is asked for.
    pub path: Arc<str>,
    /// The status codes of a server that is well.
    pub expected: Vec<u16>,
    /// The time between two checks.
    pub interval: Duration,
    /// The time between two checks of a server whose state is changing or unknown.
    pub fast_interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// This many good checks in a row bring a server up.
    pub rise: u32,
    /// This many bad ones take it down.
    pub fall: u32,
}

impl CheckConfig {
    /// As long as the checks need to find out that a server that was well is not.
    pub(crate) fn sure(&self) -> Duration {
        self.interval.saturating_mul(self.fall)
    }
}

impl Default for CheckConfig {
    fn default() -> Self {
        Self {
            path: "/.seawall/health".into(),
            expected: vec![200],
            interval: Duration::from_secs(2),
            fast_interval: Duration::from_millis(100),
            timeout: Duration::from_secs(2),
            rise: 2,
            fall: 3,
        }
    }
}

/// How long things may take.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// To connect to a server.
    pub connect: Duration,
    /// For the head of a server's answer, and between two parts of its body.
    pub server: Duration,
    /// A server that has answered nobody for this long while a request waits is taken for hung.
    pub hung: Duration,
    /// For a tunnel (WebSocket) on which nothing moves.
    pub tunnel: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            server: Duration::from_secs(50),
            hung: Duration::from_secs(2),
            tunnel: Duration::from_secs(3_600),
        }
    }
}
