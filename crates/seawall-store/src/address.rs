//! What the URLs of servers have in common.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;

/// The parts of `SCHEME://USER:PASSWORD@HOSTS/PATH?QUERY`, as they are written.
pub(crate) struct Parts<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) hosts: &'a str,
    pub(crate) path: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    /// What is not there is empty.
    pub(crate) fn of(uri: &'a str) -> Self {
        let (scheme, rest) = uri.split_once("://").unwrap_or_default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, hosts) = place.rsplit_once('@').unwrap_or(("", place));
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        Self {
            scheme,
            user,
            password,
            hosts,
            path,
            query,
        }
    }

    /// The options, each a name and its value.
    pub(crate) fn options(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let options = self.query.split('&').filter(|option| !option.is_empty());
        options.map(|option| option.split_once('=').unwrap_or((option, "")))
    }
}

/// Text as a URL writes it; `None` when there is none.
pub(crate) fn decode(text: &str) -> Option<String> {
    let text = percent_decode_str(text).decode_utf8_lossy();
    (!text.is_empty()).then(|| text.into_owned())
}

/// A host and its port: `name`, `name:port`, `[::1]` or `[::1]:port`.
///
/// # Errors
/// What is wrong, for people.
pub(crate) fn parse_host(text: &str, default_port: u16) -> Result<(String, u16), String> {
    let (name, port) = match text.rsplit_once(':') {
        // A bare IPv6 address has colons and ends in a bracket.
        Some((name, port)) if !port.ends_with(']') => {
            let port = port.parse();
            (
                name,
                port.map_err(|_| format!("{text:?} has a port that is no number"))?,
            )
        }
        _ => (text, default_port),
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    if name.is_empty() {
        return Err("it names no host".to_owned());
    }
    Ok((name.to_owned(), port))
}

/// Whether what is sent to this host stays on this machine.
pub(crate) fn is_this_machine(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
