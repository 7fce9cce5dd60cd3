//! The settings as the file has them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::cli::Stick;

use super::{
    duration::{MaybeSpan, Span, Timeout},
    error::ConfigError,
    places,
    size::MaybeSize,
};

/// The whole file.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) data: PathBuf,
    pub(super) admin: Admin,
    pub(super) store: Store,
    pub(super) session: Session,
    pub(super) nodes: Nodes,
    pub(super) node: Vec<Node>,
    pub(super) balancer: Balancer,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Admin {
    pub(super) token_file: PathBuf,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Store {
    pub(super) url: String,
    pub(super) password_file: PathBuf,
    pub(super) patience: Span,
    pub(super) on_outage: OnOutage,
    pub(super) queue_limit: usize,
    pub(super) answer_limit: Span,
    pub(super) connect_limit: Span,
    pub(super) idle_limit: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OnOutage {
    Fail,
    ServeCached,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Session {
    pub(super) idle_timeout: Timeout,
    pub(super) absolute_timeout: Timeout,
    pub(super) renewal_timeout: Timeout,
    pub(super) renewal_grace: Span,
    pub(super) touch_interval: MaybeSpan,
    pub(super) consistency: Consistency,
    pub(super) sticky_trust: Span,
    pub(super) cache_capacity: usize,
    pub(super) cache_bytes: usize,
    pub(super) sweep_interval: Span,
    pub(super) compress_above: MaybeSize,
    pub(super) device_notes: bool,
    pub(super) shared_id: bool,
    pub(super) virtual_hosts: Vec<String>,
    pub(super) limits: Limits,
    pub(super) encryption: Encryption,
    pub(super) cookie: Cookie,
}

/// In bytes, but for `attributes`.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) attributes: usize,
    pub(super) name: usize,
    pub(super) value: usize,
    pub(super) session: usize,
}

/// The keys themselves stand elsewhere.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Encryption {
    pub(super) keys_file: PathBuf,
    pub(super) active_key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Consistency {
    Sticky,
    Strict,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Cookie {
    pub(super) name: String,
    pub(super) domain: String,
    pub(super) max_age: Timeout,
    pub(super) secure: bool,
    pub(super) same_site: SameSite,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SameSite {
    Lax,
    None,
    Strict,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Nodes {
    pub(super) count: u16,
    pub(super) port: u16,
    pub(super) webapps: PathBuf,
    pub(super) trusted_proxies: Vec<String>,
}

/// A node in a list. It has no defaults for who it is and where.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    #[serde(deserialize_with = "places::name")]
    pub(super) name: String,
    #[serde(deserialize_with = "places::address")]
    pub(super) address: SocketAddr,
    #[serde(default, deserialize_with = "places::some_address")]
    pub(super) listen: Option<SocketAddr>,
    #[serde(default = "default_weight")]
    pub(super) weight: u32,
}

fn default_weight() -> u32 {
    1
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Balancer {
    pub(super) enabled: bool,
    #[serde(deserialize_with = "places::address")]
    pub(super) http: SocketAddr,
    #[serde(deserialize_with = "places::address")]
    pub(super) stats: SocketAddr,
    pub(super) stick: Stick,
    pub(super) algorithm: Algorithm,
    pub(super) access_log: AccessLog,
    pub(super) check: Check,
    pub(super) timeouts: Timeouts,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Algorithm {
    LeastConn,
    RoundRobin,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AccessLog {
    All,
    Errors,
    Off,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Check {
    pub(super) path: String,
    pub(super) expect: Vec<u16>,
    pub(super) interval: Span,
    pub(super) rise: u32,
    pub(super) fall: u32,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Timeouts {
    pub(super) connect: Span,
    pub(super) client: Span,
    pub(super) server: Span,
    pub(super) hung: Span,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            data: "seawall-data".into(),
            admin: Admin::default(),
            store: Store::default(),
            session: Session::default(),
            nodes: Nodes::default(),
            node: Vec::new(),
            balancer: Balancer::default(),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self {
            url: String::new(),
            password_file: PathBuf::new(),
            patience: seconds(5),
            on_outage: OnOutage::Fail,
            queue_limit: 65_536,
            answer_limit: seconds(3),
            connect_limit: seconds(2),
            idle_limit: seconds(60),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attributes: 1_000,
            name: 255,
            value: 1_048_576,
            session: 4_194_304,
        }
    }
}

impl Default for Session {
    fn default() -> Self {
        Self {
            idle_timeout: Timeout(Some(Duration::from_secs(30 * 60))),
            absolute_timeout: Timeout(None),
            renewal_timeout: Timeout(None),
            renewal_grace: Span(Duration::from_secs(60)),
            touch_interval: MaybeSpan(None),
            consistency: Consistency::Strict,
            sticky_trust: Span(Duration::from_secs(1)),
            cache_capacity: 100_000,
            cache_bytes: 268_435_456,
            sweep_interval: Span(Duration::from_secs(60)),
            compress_above: MaybeSize(None),
            device_notes: false,
            shared_id: false,
            virtual_hosts: Vec::new(),
            limits: Limits::default(),
            encryption: Encryption::default(),
            cookie: Cookie::default(),
        }
    }
}

impl Default for Cookie {
    fn default() -> Self {
        Self {
            name: "JSESSIONID".to_owned(),
            domain: String::new(),
            max_age: Timeout(None),
            secure: false,
            same_site: SameSite::Lax,
        }
    }
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            count: 2,
            port: 8080,
            webapps: PathBuf::new(),
            trusted_proxies: ["127.0.0.0/8", "::1"].map(str::to_owned).into(),
        }
    }
}

impl Default for Balancer {
    fn default() -> Self {
        Self {
            enabled: true,
            http: SocketAddr::from((Ipv4Addr::LOCALHOST, 8000)),
            stats: SocketAddr::from((Ipv4Addr::LOCALHOST, 8404)),
            stick: Stick::Route,
            algorithm: Algorithm::RoundRobin,
            access_log: AccessLog::Errors,
            check: Check::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Check {
    fn default() -> Self {
        Self {
            path: "/.seawall/health".to_owned(),
            expect: vec![200],
            interval: Span(Duration::from_secs(2)),
            rise: 2,
            fall: 3,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = |seconds| Span(Duration::from_secs(seconds));
        Self {
            connect: seconds(5),
            client: seconds(50),
            server: seconds(50),
            hung: seconds(2),
        }
    }
}

impl Raw {
    /// Reads a file; what it leaves out has its default.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError::syntax(path, text, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_shows_every_key_with_its_default() {
        let reference = include_str!("default.toml");
        assert_eq!(
            Raw::parse(Path::new("default.toml"), reference).unwrap(),
            Raw::default()
        );
        let table: toml::Table = reference.parse().unwrap();
        for (section, keys) in [
            ("admin", 1),
            ("store", 8),
            ("session", 17),
            ("nodes", 4),
            ("balancer", 8),
        ] {
            assert_eq!(table[section].as_table().unwrap().len(), keys, "{section}");
        }
    }
}
