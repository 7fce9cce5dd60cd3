//! Names and addresses of nodes and balancers, as people write them.

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, de::Error};

/// The session table has room for no more.
const NAME_LIMIT: usize = 60;

/// The name of a node: it stands in cookies, and in the names of files and services.
pub(crate) fn parse_name(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if (1..=NAME_LIMIT).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{text:?} is no name of a node; use up to {NAME_LIMIT} letters, digits, - and _"
    ))
}

/// An address and a port. Names of hosts are not looked up: a cluster must not hang on that.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is no address; write IP:PORT, for example 127.0.0.1:8080 or [::1]:8080")
    })
}

pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_name(&text).map_err(D::Error::custom)
}

pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_address(&text).map_err(D::Error::custom)
}

/// An address that need not be there.
pub(super) fn some_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    address(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_cookies_files_and_services() {
        for name in ["node1", "a", "A-b_9"] {
            assert_eq!(parse_name(name), Ok(name.to_owned()));
        }
        let long = "n".repeat(NAME_LIMIT + 1);
        for name in ["", "a b", "a/b", "../x", "%i", "a.b", "ä", &long] {
            assert!(parse_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn addresses_have_an_ip_and_a_port() {
        assert!(parse_address("[::1]:80").is_ok());
        for text in ["", "localhost:80", "127.0.0.1", "80", "127.0.0.1:99999"] {
            assert!(parse_address(text).unwrap_err().contains("IP:PORT"));
        }
    }
}
