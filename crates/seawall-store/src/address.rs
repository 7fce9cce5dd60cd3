//! What the URLs of servers have in common.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;

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
