//! Settings: as they are written down (`raw`), and as they are used ([`Settings`]).

mod duration;
mod encryption;
mod error;
mod feasible;
mod nodes;
mod places;
mod raw;
mod secret_file;
mod size;

use std::{
    collections::BTreeMap,
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    path::Path,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use seawall_balancer::{AccessLog, Algorithm, BalancerConfig, CheckConfig, Timeouts};
use seawall_net::ServeLimits;
use seawall_net::{Network, TrustedProxies};
use seawall_session::{
    Consistency, CookieSettings, OnOutage, SameSite, Secure, SessionLimits, SessionSettings,
};
use seawall_store::{BatcherSettings, Codec, KeyRing, ServerLimits, StoreOptions, StoreUrl};

use crate::cli::ConfigArgs;
pub(crate) use duration::parse as parse_duration;
pub(crate) use error::ConfigError;
pub(crate) use nodes::{NO_PORT, NodePlace, Nodes};
pub(crate) use places::{parse_address, parse_name};
use raw::Raw;

/// The files that are looked for when none is named: here, and where `install` puts it.
const DEFAULT_FILES: [&str; 2] = ["seawall.toml", "/etc/seawall/seawall.toml"];

/// The variable that gives the store's URL, with its secrets.
pub(crate) const STORE_VARIABLE: &str = "SEAWALL_STORE_URL";

/// The most requests of a node that may be let wait: more would need more memory than they are worth.
const QUEUE_LIMIT_MAX: usize = 1 << 24;

/// What a check may be late.
const LINGER_MARGIN: Duration = Duration::from_secs(1);

/// Settings that can be used.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The file that they are from, whether it is there or not.
    pub(crate) file: PathBuf,
    pub(crate) data: PathBuf,
    /// The file with the admin token, if the configuration names one.
    pub(crate) admin_token_file: Option<PathBuf>,
    pub(crate) store: StoreUrl,
    /// The store's URL as it was given, with its secrets; empty for the embedded default.
    pub(crate) store_url: String,
    pub(crate) store_options: StoreOptions,
    pub(crate) batcher: BatcherSettings,
    pub(crate) session: SessionSettings,
    pub(crate) sweep_interval: Duration,
    pub(crate) nodes: Nodes,
    /// How many nodes `up` runs when the file lists none, and the first one's port.
    pub(crate) node_count: u16,
    pub(crate) node_port: u16,
    pub(crate) webapps: Option<PathBuf>,
    pub(crate) virtual_hosts: Vec<String>,
    pub(crate) trusted_proxies: TrustedProxies,
    /// Whether a balancer of Seawall's is in front of the nodes.
    pub(crate) has_balancer: bool,
    /// The balancer, still without its servers.
    pub(crate) balancer: BalancerConfig,
}

/// The settings that a command is to use.
pub(crate) fn load(args: &ConfigArgs) -> Result<Settings, ConfigError> {
    let (path, text) = match &args.config {
        Some(path) => (path.clone(), read(path)?),
        None => find()?.unwrap_or_else(|| (DEFAULT_FILES[0].into(), String::new())),
    };
    let mut raw = Raw::parse(&path, &text)?;
    if let Some(url) = &args.store {
        given_store(url)?;
        raw.store.url.clone_from(url);
    }
    if let Some(webapps) = &args.webapps {
        raw.nodes.webapps.clone_from(webapps);
    }
    Settings::from_raw(&path, raw, encryption::environment()?)
}

/// Whether the store's URL can be used that the command line or the environment gives. An empty one is
/// as good as none.
fn given_store(url: &str) -> Result<(), ConfigError> {
    if url.is_empty() {
        return Ok(());
    }
    let parsed = url.parse::<StoreUrl>();
    parsed.map(drop).map_err(|error| {
        let is_variable = env::var(STORE_VARIABLE).is_ok_and(|variable| variable == url);
        let name = if is_variable {
            STORE_VARIABLE
        } else {
            "--store"
        };
        let reason = error.to_string();
        ConfigError::Given { name, reason }
    })
}

/// Checks a file, or the one that would be used, and says which that is, without doing anything. Only
/// services have credentials, so those are not looked for.
pub(crate) fn check_file(named: Option<&Path>) -> Result<PathBuf, ConfigError> {
    let (path, text) = match named {
        Some(path) => (path.to_owned(), read(path)?),
        None => find()?.ok_or(ConfigError::NotFound(DEFAULT_FILES))?,
    };
    let mut raw = Raw::parse(&path, &text)?;
    secret_file::leave_credentials_out(&mut raw);
    let settings = Settings::from_raw(&path, raw, encryption::environment()?)?;
    feasible(&path, feasible::check(&settings))?;
    Ok(path)
}

/// The settings of a file that is yet to be written, at `path`; nor need its password file be there.
pub(crate) fn of_text(path: &Path, text: &str) -> Result<Settings, ConfigError> {
    let mut raw = Raw::parse(path, text)?;
    secret_file::leave_credentials_out(&mut raw);
    raw.store.password_file = PathBuf::new();
    let settings = Settings::from_raw(path, raw, encryption::environment()?)?;
    feasible(path, feasible::ports(&settings))?;
    feasible(path, feasible::store(&settings))?;
    Ok(settings)
}

/// What a service would refuse, as an error of the file.
fn feasible(path: &Path, checked: Result<(), feasible::Refusal>) -> Result<(), ConfigError> {
    checked.map_err(|(key, reason)| ConfigError::Value {
        path: path.to_owned(),
        key: key.to_owned(),
        reason,
    })
}

/// The first of the files that is there. One that cannot be looked at is not passed over: the settings
/// of the cluster may be in it.
fn find() -> Result<Option<(PathBuf, String)>, ConfigError> {
    for path in DEFAULT_FILES.map(Path::new) {
        match read(path) {
            Ok(text) => return Ok(Some((path.to_owned(), text))),
            Err(error) if error.is_missing() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.into(),
        source,
    })
}

impl Settings {
    /// The settings of a file, with the session keys that the environment has.
    fn from_raw(path: &Path, raw: Raw, keys: Option<KeyRing>) -> Result<Self, ConfigError> {
        let wrong = |key: &str, reason: String| ConfigError::Value {
            path: path.into(),
            key: key.to_owned(),
            reason,
        };
        let store = store(path, &raw)?;
        let keys = encryption::keys(path, &raw.session.encryption, keys)?;
        let codec = Codec::new(raw.session.compress_above.0, keys);
        if !(1..=QUEUE_LIMIT_MAX).contains(&raw.store.queue_limit) {
            let reason = format!("write how many requests may wait, from 1 to {QUEUE_LIMIT_MAX}");
            return Err(wrong("store.queue_limit", reason));
        }
        balancer_check(&raw.balancer.check)
            .map_err(|(key, reason)| wrong(&format!("balancer.check.{key}"), reason))?;
        let session = SessionSettings {
            on_outage: match raw.store.on_outage {
                raw::OnOutage::Fail => OnOutage::Fail,
                raw::OnOutage::ServeCached => OnOutage::ServeCached,
            },
            ..session(&raw.session)
        };
        session
            .validate()
            .map_err(|error| wrong("session", error.to_string()))?;
        virtual_hosts(&raw.session.virtual_hosts)
            .map_err(|reason| wrong("session.virtual_hosts", reason))?;
        let proxies = raw.nodes.trusted_proxies.iter();
        let trusted_proxies = proxies
            .map(|text| text.parse::<Network>())
            .collect::<Result<_, _>>()
            .map_err(|error| wrong("nodes.trusted_proxies", error.to_string()))?;
        let nodes = nodes(&raw).map_err(|(key, reason)| wrong(key, reason))?;
        let balancer = balancer(&raw);
        Ok(Self {
            file: path.to_owned(),
            data: raw.data,
            admin_token_file: secret_file::find(&raw.admin.token_file)
                .map_err(|reason| wrong("admin.token_file", reason))?,
            store,
            store_url: raw.store.url,
            batcher: BatcherSettings {
                patience: raw.store.patience.0,
                queue_limit: raw.store.queue_limit,
                ..Default::default()
            },
            store_options: StoreOptions {
                codec,
                limits: ServerLimits {
                    answer: raw.store.answer_limit.0.min(raw.store.patience.0),
                    connect: raw.store.connect_limit.0,
                    idle: raw.store.idle_limit.0,
                },
            },
            session,
            has_balancer: raw.balancer.enabled,
            balancer,
            virtual_hosts: raw.session.virtual_hosts,
            trusted_proxies,
            sweep_interval: raw.session.sweep_interval.0,
            nodes,
            node_count: raw.nodes.count,
            node_port: raw.nodes.port,
            webapps: named(raw.nodes.webapps),
        })
    }

    /// What those parts come to in which all nodes must agree: a digest by the part's name. Only
    /// digests of one version can be compared. Secrets are no part of them.
    pub(crate) fn digests(&self) -> BTreeMap<&'static str, String> {
        let store = match &self.store {
            // The same words mean another file in another folder.
            StoreUrl::Sqlite(file) => format!("{:?}", std::path::absolute(file)),
            store => store.to_string(),
        };
        let session = format!("{:?} {:?}", self.session, self.virtual_hosts);
        BTreeMap::from([("session", digest(&session)), ("store", digest(&store))])
    }

    /// Where the balancer has its statistics, if there is one.
    pub(crate) fn stats(&self) -> Option<SocketAddr> {
        self.has_balancer.then_some(self.balancer.stats)
    }

    /// How long a node that is asked to end still answers: until every balancer has checked it.
    pub(crate) fn linger(&self) -> Duration {
        self.balancer.check.interval + LINGER_MARGIN
    }

    /// Whether two parts on this machine would take each other's port.
    pub(crate) fn check_ports(&self) -> Result<(), String> {
        feasible::ports(self).map_err(|(_, reason)| reason)
    }

    /// The same settings with another data folder.
    pub(crate) fn with_data(mut self, data: PathBuf) -> Self {
        if self.store_url.is_empty() {
            self.store = embedded(&data);
        }
        Self { data, ..self }
    }
}

fn digest(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// A path that is not left empty.
fn named(path: PathBuf) -> Option<PathBuf> {
    Some(path).filter(|path| !path.as_os_str().is_empty())
}

fn embedded(data: &Path) -> StoreUrl {
    StoreUrl::Sqlite(data.join("sessions.db"))
}

fn store(path: &Path, raw: &Raw) -> Result<StoreUrl, ConfigError> {
    if raw.store.url.is_empty() {
        return Ok(embedded(&raw.data));
    }
    let url: StoreUrl = raw.store.url.parse().map_err(|error| ConfigError::Value {
        path: path.into(),
        key: "store.url".to_owned(),
        reason: format!("{error}"),
    })?;
    let file =
        secret_file::find(&raw.store.password_file).map_err(|reason| ConfigError::Value {
            path: path.into(),
            key: "store.password_file".to_owned(),
            reason,
        })?;
    let Some(file) = file else { return Ok(url) };
    let password = fs::read_to_string(&file).map_err(|error| ConfigError::Value {
        path: path.into(),
        key: "store.password_file".to_owned(),
        reason: format!("{}: {error}", file.display()),
    })?;
    Ok(url.with_password(password.trim_end_matches(['\r', '\n']).to_owned()))
}

/// Whether sessions can be kept apart by these hosts.
fn virtual_hosts(hosts: &[String]) -> Result<(), String> {
    let fits = |host: &&String| {
        let name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        (1..=60).contains(&host.len()) && host.bytes().all(name) && !host.ends_with('.')
    };
    match hosts.iter().find(|host| !fits(host)) {
        Some(host) => Err(format!(
            "{host:?}: write the name in lower case, without port, in up to 60 letters, digits, . \
             and -"
        )),
        None => Ok(()),
    }
}

/// The nodes, or the key and what is wrong.
fn nodes(raw: &Raw) -> Result<Nodes, (&'static str, String)> {
    if raw.node.is_empty() {
        let raw::Nodes { count, port, .. } = raw.nodes;
        let nodes = Nodes::on_this_machine(count, port);
        nodes.map_err(|reason| ("nodes.count and nodes.port", reason))
    } else {
        Nodes::listed(&raw.node).map_err(|reason| ("[[node]]", reason))
    }
}

/// Whether a check can tell who is up; if not, the key and what is wrong.
fn balancer_check(check: &raw::Check) -> Result<(), (&'static str, String)> {
    if !check.path.starts_with('/') {
        return Err(("path", format!("{:?} does not begin with /", check.path)));
    }
    if check.expect.is_empty() {
        return Err((
            "expect",
            "name a status that a well node answers".to_owned(),
        ));
    }
    for (key, count) in [("rise", check.rise), ("fall", check.fall)] {
        if count == 0 {
            return Err((key, "it takes one check at least".to_owned()));
        }
    }
    Ok(())
}

fn balancer(raw: &Raw) -> BalancerConfig {
    let raw::Balancer {
        http,
        stats,
        check,
        timeouts,
        ..
    } = &raw.balancer;
    BalancerConfig {
        sticky: raw.balancer.stick.into(),
        cookie: Arc::from(raw.session.cookie.name.as_str()),
        algorithm: match raw.balancer.algorithm {
            raw::Algorithm::LeastConn => Algorithm::LeastConnections,
            raw::Algorithm::RoundRobin => Algorithm::RoundRobin,
        },
        access_log: match raw.balancer.access_log {
            raw::AccessLog::All => AccessLog::All,
            raw::AccessLog::Errors => AccessLog::Errors,
            raw::AccessLog::Off => AccessLog::Off,
        },
        check: CheckConfig {
            path: Arc::from(check.path.as_str()),
            expected: check.expect.clone(),
            interval: check.interval.0,
            rise: check.rise,
            fall: check.fall,
            ..CheckConfig::default()
        },
        timeouts: Timeouts {
            connect: timeouts.connect.0,
            server: timeouts.server.0,
            hung: timeouts.hung.0,
            ..Timeouts::default()
        },
        limits: ServeLimits {
            idle_timeout: timeouts.client.0,
            ..ServeLimits::default()
        },
        ..BalancerConfig::new(*http, *stats, Vec::new())
    }
}

fn session(raw: &raw::Session) -> SessionSettings {
    let cookie = CookieSettings {
        name: Arc::from(raw.cookie.name.as_str()),
        domain: Some(raw.cookie.domain.as_str())
            .filter(|domain| !domain.is_empty())
            .map(Arc::from),
        max_age: raw.cookie.max_age.0,
        secure: if raw.cookie.secure {
            Secure::Always
        } else {
            Secure::Never
        },
        same_site: match raw.cookie.same_site {
            raw::SameSite::Lax => SameSite::Lax,
            raw::SameSite::None => SameSite::None,
            raw::SameSite::Strict => SameSite::Strict,
        },
        ..CookieSettings::default()
    };
    SessionSettings {
        idle_timeout: raw.idle_timeout.0,
        absolute_timeout: raw.absolute_timeout.0,
        renewal_timeout: raw.renewal_timeout.0,
        renewal_grace: raw.renewal_grace.0,
        touch_interval: raw.touch_interval.0,
        consistency: match raw.consistency {
            raw::Consistency::Sticky => Consistency::Sticky,
            raw::Consistency::Strict => Consistency::Strict,
        },
        sticky_trust: raw.sticky_trust.0,
        cache_capacity: raw.cache_capacity,
        cache_bytes: raw.cache_bytes,
        device_notes: raw.device_notes,
        shared_id: raw.shared_id,
        limits: SessionLimits {
            attributes: raw.limits.attributes,
            name: raw.limits.name,
            value: raw.limits.value,
            session: raw.limits.session,
        },
        cookie,
        ..SessionSettings::default()
    }
}

/// A command line without any options.
#[cfg(test)]
pub(crate) fn test_args() -> ConfigArgs {
    ConfigArgs {
        config: None,
        store: None,
        webapps: None,
    }
}

#[cfg(test)]
mod tests;
