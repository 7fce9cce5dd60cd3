//! Where the sessions are kept, as an operator writes it down.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

use crate::{
    codec::Codec,
    limits::ServerLimits,
    store::{SessionStore, StoreError},
};

/// How a store is opened.
#[derive(Debug, Clone, Default)]
pub struct StoreOptions {
    /// How sessions are written and read: plainly, compressed, encrypted.
    pub codec: Codec,
    /// How long a server may take.
    pub limits: ServerLimits,
}

/// A store's address: `sqlite:PATH`, `memory:`, or the URL of a server, such as
/// `postgres://user:password@host:port/database?…`.
///
/// Neither `Debug` nor `Display` shows the password.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// The memory of this process.
    Memory,
    /// A MariaDB or MySQL database.
    Mysql(ServerUrl),
    /// A PostgreSQL database.
    Postgres(ServerUrl),
    /// A Redis or Valkey server, one watched by Sentinels, or a cluster.
    Redis(ServerUrl),
    /// A file.
    Sqlite(PathBuf),
}

/// The address of a server, with its options. What it means is the back end's affair.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    uri: String,
    password: Option<String>,
}

impl ServerUrl {
    fn new(uri: &str) -> Self {
        Self {
            uri: uri.to_owned(),
            password: None,
        }
    }

    fn with_password(self, password: String) -> Self {
        Self {
            password: Some(password),
            ..self
        }
    }

    /// The URI, with the password if it holds one.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The password that was given beside the URI.
    #[must_use]
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The URI without its password and its options.
    fn redacted(&self) -> String {
        let (scheme, rest) = self.uri.split_once("://").unwrap_or(("", &self.uri));
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        // A password with a bare `?` in it, or an option with an `@`: which, nobody can tell.
        if options.contains('@') {
            return format!("{scheme}://…");
        }
        let rest = match rest.rsplit_once('@') {
            Some((user, host)) => {
                let user = user.split(':').next().unwrap_or_default();
                format!("{user}@{host}")
            }
            None => rest.to_owned(),
        };
        format!("{scheme}://{rest}")
    }
}

/// Why a text is no store URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "store URL {text:?}: {reason}; write sqlite:PATH, postgres://USER@HOST:PORT/DATABASE, \
     mysql://USER@HOST:PORT/DATABASE, redis://HOST:PORT or memory:"
)]
pub struct ParseStoreUrlError {
    text: String,
    reason: &'static str,
}

impl FromStr for StoreUrl {
    type Err = ParseStoreUrlError;

    fn from_str(text: &str) -> Result<Self, ParseStoreUrlError> {
        let error = |shown: &str, reason| {
            Err(ParseStoreUrlError {
                text: shown.to_owned(),
                reason,
            })
        };
        let Some((scheme, rest)) = text.split_once(':') else {
            return error("", "it has no scheme");
        };
        let server = |kind: fn(ServerUrl) -> Self| match rest.strip_prefix("//") {
            // What follows may hold a password, so that only the scheme is shown.
            None => error(scheme, "// must follow the scheme"),
            Some(rest) if has_bare_at(rest) => error(
                scheme,
                "an @ in the name of a user or in a password is written as %40",
            ),
            Some(_) => Ok(kind(ServerUrl::new(text))),
        };
        match scheme {
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => error("memory:…", "nothing may follow memory:"),
            "mariadb" | "mysql" => server(Self::Mysql),
            "postgres" | "postgresql" => server(Self::Postgres),
            "redis" | "rediss" | "redis-sentinel" | "rediss-sentinel" | "redis-cluster"
            | "rediss-cluster" => server(Self::Redis),
            "sqlite" => match wrong_path(rest) {
                Some(reason) => error(text, reason),
                None => Ok(Self::Sqlite(rest.into())),
            },
            // What follows may hold a password.
            _ => error(scheme, "the scheme is unknown"),
        }
    }
}

/// Whether there is one `@` more than the one before the hosts.
fn has_bare_at(rest: &str) -> bool {
    let place = rest.split(['/', '?']).next().unwrap_or_default();
    place.matches('@').count() > 1
}

/// What would make another file than the one that was meant.
fn wrong_path(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        Some("it names no file")
    } else if path.starts_with("//") && !path.starts_with("///") {
        Some("the path follows the colon, without //")
    } else if path.starts_with("~/") {
        Some("~ has no meaning here, so write the whole path")
    } else if path.contains('?') {
        Some("a file has no options")
    } else {
        None
    }
}

impl StoreUrl {
    /// The same address with a password that was kept apart from it.
    #[must_use]
    pub fn with_password(self, password: String) -> Self {
        match self {
            Self::Mysql(url) => Self::Mysql(url.with_password(password)),
            Self::Postgres(url) => Self::Postgres(url.with_password(password)),
            Self::Redis(url) => Self::Redis(url.with_password(password)),
            other => other,
        }
    }

    /// The version of the tables that this program makes and uses; `None` where there are none.
    #[must_use]
    pub fn schema_version(&self) -> Option<u32> {
        match self {
            #[cfg(feature = "mysql")]
            Self::Mysql(_) => Some(crate::mysql::SCHEMA_VERSION),
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Some(crate::postgres::SCHEMA_VERSION),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(_) => Some(crate::sqlite::SCHEMA_VERSION),
            _ => None,
        }
    }

    /// Sees whether a server's address can be used, as far as that can be told without connecting.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] as from [`open`](Self::open).
    pub fn validate(&self) -> Result<(), StoreError> {
        #[cfg(feature = "server")]
        let (limits, codec) = (ServerLimits::default(), Codec::default());
        match self {
            #[cfg(feature = "mysql")]
            Self::Mysql(url) => crate::mysql::MysqlStore::new(url, &limits, codec).map(drop),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => {
                crate::postgres::PostgresStore::new(url, &limits, codec).map(drop)
            }
            #[cfg(feature = "redis")]
            Self::Redis(url) => crate::redis::RedisStore::new(url, &limits, codec).map(drop),
            _ => Ok(()),
        }
    }

    /// Opens the store, in which sessions are neither compressed nor encrypted. A server that is
    /// down is no error: the store connects when it is back.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] when the address cannot be used, or the back end is not built in.
    pub async fn open(&self) -> Result<Arc<dyn SessionStore>, StoreError> {
        self.open_with(&StoreOptions::default()).await
    }

    /// As [`open`](Self::open), with options. The memory back end keeps records, not bytes, and has
    /// no use for a codec; only servers have limits.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[cfg_attr(
        not(feature = "server"),
        expect(unused_variables, reason = "no back end that is a server is built in")
    )]
    pub async fn open_with(
        &self,
        options: &StoreOptions,
    ) -> Result<Arc<dyn SessionStore>, StoreError> {
        let StoreOptions { codec, limits } = options;
        let codec = codec.clone();
        match self {
            #[cfg(feature = "memory")]
            Self::Memory => Ok(Arc::new(crate::memory::MemoryStore::new())),
            #[cfg(feature = "mysql")]
            Self::Mysql(url) => Ok(Arc::new(crate::mysql::MysqlStore::new(url, limits, codec)?)),
            #[cfg(feature = "postgres")]
            Self::Postgres(url) => Ok(Arc::new(crate::postgres::PostgresStore::new(
                url, limits, codec,
            )?)),
            #[cfg(feature = "redis")]
            Self::Redis(url) => Ok(Arc::new(crate::redis::RedisStore::new(url, limits, codec)?)),
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => {
                let path = path.clone();
                let open = move || crate::sqlite::SqliteStore::open(&path, codec);
                let opened = tokio::task::spawn_blocking(open);
                Ok(Arc::new(
                    opened.await.expect("opening a file does not panic")?,
                ))
            }
            #[cfg(not(all(
                feature = "memory",
                feature = "mysql",
                feature = "postgres",
                feature = "redis",
                feature = "sqlite"
            )))]
            _ => Err(StoreError::Rejected {
                store: self.to_string().into(),
                reason: "this program was built without that back end".into(),
                cause: crate::cause::Cause::Other,
            }),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Mysql(url) | Self::Postgres(url) | Self::Redis(url) => {
                f.write_str(&url.redacted())
            }
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerUrl({self})")
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_parse() {
        assert_eq!("memory:".parse(), Ok(StoreUrl::Memory));
        assert_eq!(
            "sqlite:data/s.db".parse(),
            Ok(StoreUrl::Sqlite("data/s.db".into()))
        );
        let url: StoreUrl = "postgres://sea:hush@db:5432/sessions?sslmode=disable"
            .parse()
            .unwrap();
        assert_eq!(url.to_string(), "postgres://sea@db:5432/sessions");
        let url: StoreUrl = "redis-sentinel://:hush@a:1,b:2/0?master=m".parse().unwrap();
        assert_eq!(url.to_string(), "redis-sentinel://@a:1,b:2/0");
    }

    #[test]
    fn what_would_mean_something_else_than_was_meant_is_refused() {
        for (text, part) in [
            ("sqlite:", "no file"),
            ("sqlite://s.db", "without //"),
            ("sqlite:~/s.db", "whole path"),
            ("sqlite:s.db?mode=ro", "no options"),
            ("postgres://u:p@ss@h/d", "%40"),
            ("redis:h", "//"),
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let absolute = "sqlite:///var/lib/s.db".parse();
        assert_eq!(absolute, Ok(StoreUrl::Sqlite("///var/lib/s.db".into())));
        assert!("postgres://u@h/d?options=a@b".parse::<StoreUrl>().is_ok());
    }

    #[test]
    fn passwords_are_never_shown() {
        for text in [
            "postgres://u:hush@h/d",
            "postgres://u:hu@sh@h/d?password=hush",
            "redis://:hush@h",
            "oracle://u:hush@h",
        ] {
            let shown = match text.parse::<StoreUrl>() {
                Ok(url) => format!(
                    "{url} {url:?} {:?}",
                    url.clone().with_password("hush".into())
                ),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(
                !shown.contains("hush") && !shown.contains("hu@sh"),
                "{shown}"
            );
        }
    }

    #[cfg(all(feature = "mysql", feature = "postgres", feature = "redis"))]
    #[test]
    fn what_a_back_end_would_refuse_is_seen_without_connecting() {
        let validated = |text: &str| text.parse::<StoreUrl>().unwrap().validate();
        for good in ["memory:", "postgres://u@h/d", "mysql://u@h/d", "redis://h"] {
            validated(good).unwrap();
        }
        for bad in [
            "postgres://",
            "postgres://u@h:99999/d",
            "postgres://u@h/d?foo=bar",
            "mysql://u@h:99999/d",
            "mysql://u@h/d?foo=bar",
            "redis://h:99999",
            "redis://h?foo=bar",
        ] {
            assert!(validated(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for text in [
            "",
            "sessions.db",
            "sqlite:",
            "memory:x",
            "postgres:db",
            "oracle://x",
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(error.contains("write sqlite:PATH"), "{error}");
        }
    }
}
