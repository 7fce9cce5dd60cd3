//! The TLS options of a connection URI, which the driver does not know.
//!
//! The names are libpq's. Unlike libpq, a server that is not on this machine is verified when the
//! URI says nothing.

use std::path::{Path, PathBuf};

use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{
    address::{self, decode},
    tls::{self, Trust},
};

/// The options `sslmode` and `sslrootcert`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TlsOptions {
    mode: Option<Mode>,
    authorities: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyFull,
}

impl TlsOptions {
    /// Takes the options out of `uri`; gives what is left of it, and them.
    ///
    /// # Errors
    /// What is wrong with an option, for people.
    pub(super) fn split(uri: &str) -> Result<(String, Self), String> {
        let mut options = Self::default();
        let Some((address, query)) = uri.split_once('?') else {
            return Ok((uri.to_owned(), options));
        };
        let mut others = Vec::new();
        for option in query.split('&') {
            match option.split_once('=') {
                Some(("sslmode", mode)) => options.mode = Some(Mode::parse(mode)?),
                Some(("sslrootcert", path)) => {
                    options.authorities = decode(path).map(PathBuf::from);
                }
                _ => others.push(option),
            }
        }
        let rest = match others.is_empty() {
            true => address.to_owned(),
            false => format!("{address}?{}", others.join("&")),
        };
        Ok((rest, options))
    }

    /// Sets `config` up, and gives the way to secure its connections.
    ///
    /// # Errors
    /// What is wrong with the authorities, for people.
    pub(super) fn apply(&self, config: &mut Config) -> Result<MakeRustlsConnect, String> {
        let mode = self.mode.unwrap_or_else(|| self.default_mode(config));
        config.ssl_mode(match mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyFull => SslMode::Require,
        });
        let trust = match (mode, &self.authorities) {
            (Mode::Disable | Mode::Prefer | Mode::Require, _) => Trust::Anyone,
            (Mode::VerifyFull, Some(path)) => Trust::File(path),
            (Mode::VerifyFull, None) => Trust::System,
        };
        Ok(MakeRustlsConnect::new(tls::client_config(&trust)?))
    }

    fn default_mode(&self, config: &Config) -> Mode {
        let stays_here = config.get_hosts().iter().all(is_this_machine);
        if stays_here && self.authorities.is_none() {
            Mode::Disable
        } else {
            Mode::VerifyFull
        }
    }
}

impl Mode {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-full" => Ok(Self::VerifyFull),
            other => Err(format!(
                "sslmode={other} is not known; write verify-full (the default for another machine), \
                 require, prefer or disable"
            )),
        }
    }
}

fn is_this_machine(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => address::is_this_machine(name),
        Host::Unix(path) => path.is_absolute() || path == Path::new(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode_of(uri: &str) -> Mode {
        let (rest, options) = TlsOptions::split(uri).unwrap();
        let mut config: Config = rest.parse().unwrap();
        options.apply(&mut config).unwrap();
        options
            .mode
            .unwrap_or_else(|| options.default_mode(&config))
    }

    #[test]
    fn another_machine_is_verified_unless_the_uri_says_otherwise() {
        assert_eq!(mode_of("postgres://u@127.0.0.1:5432/d"), Mode::Disable);
        assert_eq!(mode_of("postgres://u@localhost/d"), Mode::Disable);
        assert_eq!(
            mode_of("postgres://u@db.example.com/d?sslmode=require"),
            Mode::Require
        );
        assert_eq!(
            mode_of("postgres://u@127.0.0.1,10.0.0.1/d?sslmode=disable"),
            Mode::Disable
        );
        let (rest, options) = TlsOptions::split("postgres://u@127.0.0.1,10.0.0.1/d").unwrap();
        assert_eq!(
            options.default_mode(&rest.parse().unwrap()),
            Mode::VerifyFull
        );
    }

    #[test]
    fn the_other_options_stay() {
        let uri = "postgres://u@h/d?sslmode=verify-full&target_session_attrs=read-write&sslrootcert=%2Fa%20b";
        let (rest, options) = TlsOptions::split(uri).unwrap();
        assert_eq!(rest, "postgres://u@h/d?target_session_attrs=read-write");
        assert_eq!(options.authorities, Some("/a b".into()));
    }

    #[test]
    fn mistakes_are_named() {
        let error = TlsOptions::split("postgres://u@h/d?sslmode=verify-ca").unwrap_err();
        assert!(
            error.contains("verify-ca") && error.contains("verify-full"),
            "{error}"
        );
    }
}
