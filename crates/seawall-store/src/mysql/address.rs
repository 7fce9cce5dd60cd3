//! What a URL says about a database: where it is, and how its connections are secured.

use std::path::PathBuf;

use mysql_async::{OptsBuilder, SslOpts};

use crate::{
    address::{Parts, decode, is_this_machine, parse_host},
    limits::ServerLimits,
    tls::{self, Trust},
    url::ServerUrl,
};

const PORT: u16 = 3306;

/// How a connection behaves: it cuts no value short, waits for a lock no longer than a second, the
/// least that the server knows, and sees what is committed. MariaDB also ends the transaction of a
/// node that hangs, so that its locks hold up nobody else for long.
fn setup(limits: &ServerLimits) -> String {
    let seconds = limits.answer.as_secs().saturating_sub(1).max(1);
    format!(
        "SET NAMES utf8mb4 COLLATE utf8mb4_bin, SESSION sql_mode = 'STRICT_ALL_TABLES', \
         SESSION innodb_lock_wait_timeout = 1 \
         /*M!100300 , SESSION idle_transaction_timeout = {seconds} */"
    )
}

const ISOLATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

#[derive(Debug, Default)]
struct TlsOptions {
    mode: Option<Mode>,
    authorities: Option<PathBuf>,
}

/// MySQL's names: DISABLED, REQUIRED, VERIFY_IDENTITY.
#[derive(Debug, Clone, Copy)]
enum Mode {
    Disabled,
    Required,
    VerifyIdentity,
}

/// How to connect to the database at `url`.
///
/// # Errors
/// What is wrong with the URL, for people.
pub(super) fn parse(url: &ServerUrl, limits: &ServerLimits) -> Result<OptsBuilder, String> {
    let parts = Parts::of(url.uri());
    let (host, port) = parse_host(parts.hosts, PORT)?;
    let database = decode(parts.path).ok_or("it names no database")?;
    let tls_options = TlsOptions::parse(&parts)?;
    let ssl = tls_options.settings(&host)?;
    Ok(OptsBuilder::default()
        .ip_or_hostname(host)
        .tcp_port(port)
        .user(decode(parts.user))
        .pass(
            url.password()
                .map(str::to_owned)
                .or_else(|| decode(parts.password)),
        )
        .db_name(Some(database))
        .ssl_opts(ssl)
        .prefer_socket(false)
        .tcp_keepalive(Some(limits.connect))
        .setup(vec![setup(limits), ISOLATION.to_owned()]))
}

impl TlsOptions {
    fn parse(parts: &Parts<'_>) -> Result<Self, String> {
        let mut options = Self::default();
        for (name, value) in parts.options() {
            match name {
                "ssl-mode" => options.mode = Some(Mode::parse(value)?),
                "ssl-ca" => options.authorities = decode(value).map(PathBuf::from),
                _ => {
                    return Err(format!(
                        "option {name:?} is not known; there are ssl-mode and ssl-ca"
                    ));
                }
            }
        }
        Ok(options)
    }

    fn settings(&self, host: &str) -> Result<Option<SslOpts>, String> {
        let default_mode = if is_this_machine(host) && self.authorities.is_none() {
            Mode::Disabled
        } else {
            Mode::VerifyIdentity
        };
        let trust = match (self.mode.unwrap_or(default_mode), &self.authorities) {
            (Mode::Disabled, _) => return Ok(None),
            (Mode::Required, _) => {
                return Ok(Some(
                    SslOpts::default().with_danger_accept_invalid_certs(true),
                ));
            }
            (Mode::VerifyIdentity, Some(path)) => Trust::File(path),
            (Mode::VerifyIdentity, None) => Trust::System,
        };
        let authorities = tls::certificates(&trust)?;
        let authorities = authorities.iter().map(|one| one.to_vec());
        let settings = SslOpts::default()
            .with_root_certs(authorities.map(Into::into).collect())
            .with_disable_built_in_roots(true);
        Ok(Some(settings))
    }
}

impl Mode {
    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_uppercase().as_str() {
            "DISABLED" => Ok(Self::Disabled),
            "REQUIRED" => Ok(Self::Required),
            "VERIFY_IDENTITY" => Ok(Self::VerifyIdentity),
            _ => Err(format!(
                "ssl-mode={text} is not known; write VERIFY_IDENTITY (the default for another \
                 machine), REQUIRED or DISABLED"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use mysql_async::Opts;

    use super::*;
    use crate::StoreUrl;

    fn options(url: &str) -> Result<Opts, String> {
        match url.parse().unwrap() {
            StoreUrl::Mysql(url) => parse(&url, &ServerLimits::default()).map(Opts::from),
            other => panic!("{other} is no MySQL"),
        }
    }

    #[test]
    fn the_parts_are_told_apart() {
        let options = options("mysql://sea:h%40sh@127.0.0.1:3307/sessions").unwrap();
        assert_eq!(
            (options.ip_or_hostname(), options.tcp_port()),
            ("127.0.0.1", 3307)
        );
        assert_eq!(
            (options.user(), options.pass()),
            (Some("sea"), Some("h@sh"))
        );
        assert_eq!(options.db_name(), Some("sessions"));
        assert!(options.ssl_opts().is_none(), "this machine needs no TLS");
    }

    #[test]
    fn another_machine_is_verified_unless_the_url_says_otherwise() {
        let url = "mariadb://u@db.example.com/sessions?ssl-mode=";
        assert!(
            options(&format!("{url}disabled"))
                .unwrap()
                .ssl_opts()
                .is_none()
        );
        let required = options(&format!("{url}REQUIRED")).unwrap();
        assert!(required.ssl_opts().unwrap().accept_invalid_certs());
    }

    #[test]
    fn mistakes_are_named() {
        for (url, part) in [
            ("mysql:///d", "no host"),
            ("mysql://h", "no database"),
            ("mysql://h:port/d", "port"),
            ("mysql://h/d?ssl-mode=maybe", "VERIFY_IDENTITY"),
            ("mysql://h/d?tls=1", "ssl-mode and ssl-ca"),
            ("mysql://h/d?ssl-ca=/no/such/file", "/no/such/file"),
        ] {
            let error = options(url).err().unwrap_or_default();
            assert!(error.contains(part), "{url}: {error:?}");
        }
    }
}
