//! What a URL says about a Redis: which servers, how to reach them, and where its keys are.

use std::{fs, str::FromStr};

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

use crate::{
    address::{Parts, decode, parse_host},
    url::ServerUrl,
};

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
const PREFIX: &str = "seawall";

/// A parsed URL. It holds secrets, so it has no `Debug`.
pub(super) struct Address {
    pub(super) deployment: Deployment,
    pub(super) hosts: Vec<(String, u16)>,
    pub(super) tls: Option<Tls>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
    /// What the name of every key begins with.
    pub(super) prefix: String,
    /// How many replicas must have a commit before it is acknowledged.
    pub(super) replicas: u32,
}

/// How the servers belong together.
pub(super) enum Deployment {
    Cluster,
    /// Sentinels know which server is the master with this name.
    Sentinel {
        master: String,
        password: Option<String>,
    },
    Single,
}

/// How TLS connections are verified.
#[derive(Default)]
pub(super) struct Tls {
    pub(super) insecure: bool,
    /// Authorities in PEM form, instead of the system's.
    pub(super) authorities: Option<Vec<u8>>,
}

impl Address {
    /// # Errors
    /// What is wrong with the URL, for people.
    pub(super) fn parse(url: &ServerUrl) -> Result<Self, String> {
        let parts = Parts::of(url.uri());
        let options = Options::parse(&parts)?;
        let (tls, deployment) = match parts.scheme.strip_prefix("rediss") {
            Some(kind) => (true, kind),
            None => (
                false,
                parts.scheme.strip_prefix("redis").unwrap_or(parts.scheme),
            ),
        };
        let deployment = match (deployment, options.master) {
            ("-sentinel", Some(master)) => Deployment::Sentinel {
                master,
                password: options.sentinel_password,
            },
            ("-sentinel", None) => {
                return Err("add ?master=NAME, the name that the Sentinels watch".to_owned());
            }
            (_, Some(_)) => return Err("master= goes with redis-sentinel://".to_owned()),
            ("-cluster", None) => Deployment::Cluster,
            (_, None) => Deployment::Single,
        };
        if matches!(deployment, Deployment::Cluster) && options.replicas > 0 {
            return Err("replicas= does not go with redis-cluster://".to_owned());
        }
        let hosts = parse_hosts(parts.hosts, &deployment)?;
        if !tls && (options.insecure || options.authorities.is_some()) {
            return Err("cacert= and insecure= go with rediss://".to_owned());
        }
        let database = parse_database(parts.path, &deployment)?;
        let password = url
            .password()
            .map(str::to_owned)
            .or_else(|| decode(parts.password));
        Ok(Self {
            deployment,
            hosts,
            tls: tls.then_some(Tls {
                insecure: options.insecure,
                authorities: options.authorities,
            }),
            user: decode(parts.user),
            password,
            database,
            replicas: options.replicas,
            prefix: options.prefix.unwrap_or_else(|| PREFIX.to_owned()),
        })
    }

    /// How to reach each of the hosts.
    pub(super) fn places(&self) -> impl Iterator<Item = ConnectionAddr> {
        self.hosts
            .iter()
            .cloned()
            .map(|(host, port)| match &self.tls {
                None => ConnectionAddr::Tcp(host, port),
                Some(tls) => ConnectionAddr::TcpTls {
                    host,
                    port,
                    insecure: tls.insecure,
                    tls_params: None,
                },
            })
    }

    /// How to reach each of the hosts, and who asks.
    pub(super) fn connections(&self) -> Vec<ConnectionInfo> {
        let mut settings = RedisConnectionInfo::default().set_db(self.database);
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        let connection = |place: ConnectionAddr| {
            let info = place
                .into_connection_info()
                .expect("an address is one already");
            info.set_redis_settings(settings.clone())
        };
        self.places().map(connection).collect()
    }
}

fn parse_hosts(hosts: &str, deployment: &Deployment) -> Result<Vec<(String, u16)>, String> {
    let default_port = match deployment {
        Deployment::Sentinel { .. } => SENTINEL_PORT,
        Deployment::Cluster | Deployment::Single => REDIS_PORT,
    };
    let hosts: Vec<_> = hosts
        .split(',')
        .map(|host| parse_host(host, default_port))
        .collect::<Result<_, _>>()?;
    match deployment {
        Deployment::Single if hosts.len() > 1 => {
            Err("several hosts need redis-sentinel:// or redis-cluster://".to_owned())
        }
        _ => Ok(hosts),
    }
}

fn parse_database(text: &str, deployment: &Deployment) -> Result<i64, String> {
    match (text, deployment) {
        ("" | "0", _) => Ok(0),
        (_, Deployment::Cluster) => Err("a cluster has database 0 only".to_owned()),
        (text, _) => match u16::from_str(text) {
            Ok(number) => Ok(number.into()),
            Err(_) => Err(format!("database {text:?} is no number")),
        },
    }
}

/// What stands behind the question mark.
#[derive(Default)]
struct Options {
    authorities: Option<Vec<u8>>,
    insecure: bool,
    master: Option<String>,
    prefix: Option<String>,
    replicas: u32,
    sentinel_password: Option<String>,
}

impl Options {
    fn parse(parts: &Parts<'_>) -> Result<Self, String> {
        let mut options = Self::default();
        for (name, value) in parts.options() {
            match (name, value) {
                ("cacert", _) => options.authorities = Some(read_file(value)?),
                ("insecure", "true" | "false") => options.insecure = value == "true",
                ("insecure", _) => return Err("insecure= takes true or false".to_owned()),
                ("master", _) => options.master = decode(value),
                ("prefix", _) if is_prefix(value) => options.prefix = Some(value.to_owned()),
                ("prefix", _) => {
                    return Err("prefix= takes letters, digits and . _ - :".to_owned());
                }
                ("replicas", _) => {
                    let number = value.parse();
                    options.replicas = number.map_err(|_| "replicas= takes a number".to_owned())?;
                }
                ("sentinel-password", _) => options.sentinel_password = decode(value),
                _ => {
                    return Err(format!(
                        "option {name:?} is not known; there are cacert, insecure, master, prefix, \
                         replicas and sentinel-password"
                    ));
                }
            }
        }
        Ok(options)
    }
}

/// Braces would move keys to other slots of a cluster.
fn is_prefix(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

fn read_file(path: &str) -> Result<Vec<u8>, String> {
    let path = decode(path).unwrap_or_default();
    fs::read(&path).map_err(|error| format!("cacert {path} cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreUrl;

    fn parse(url: &str) -> Result<Address, String> {
        match url.parse().unwrap() {
            StoreUrl::Redis(url) => Address::parse(&url),
            other => panic!("{other} is no Redis"),
        }
    }

    #[test]
    fn the_parts_are_told_apart() {
        let address = parse("redis://sea:h%40sh@cache.example.com/3?prefix=shop").unwrap();
        assert!(matches!(address.deployment, Deployment::Single));
        assert_eq!(address.hosts, [("cache.example.com".to_owned(), 6379)]);
        assert_eq!(address.user.as_deref(), Some("sea"));
        assert_eq!(address.password.as_deref(), Some("h@sh"));
        assert_eq!((address.database, &*address.prefix), (3, "shop"));
        assert!(address.tls.is_none());
        let address = parse("rediss-sentinel://[::1]:26380,b/0?master=m").unwrap();
        assert!(address.tls.is_some());
        assert_eq!(
            address.hosts,
            [("::1".to_owned(), 26380), ("b".to_owned(), 26379)]
        );
        assert!(matches!(address.deployment, Deployment::Sentinel { master, .. } if master == "m"));
    }

    #[test]
    fn mistakes_are_named() {
        for (url, part) in [
            ("redis://", "no host"),
            ("redis://h:port", "port"),
            ("redis://a,b", "several hosts"),
            ("redis://h/x", "database"),
            ("redis-cluster://h/1", "database 0"),
            ("redis-sentinel://h", "?master="),
            ("redis://h?master=m", "redis-sentinel"),
            ("redis://h?insecure=true", "rediss"),
            ("redis://h?prefix={1}", "prefix"),
            ("redis://h?replicas=all", "replicas"),
            ("redis-cluster://h?replicas=1", "redis-cluster"),
            ("redis://h?tls=yes", "tls"),
            ("rediss://h?cacert=/no/such/file", "/no/such/file"),
        ] {
            let error = parse(url).err().unwrap_or_default();
            assert!(error.contains(part), "{url}: {error:?}");
        }
    }
}
