//! Where a request came from, when proxies stand in between.
//!
//! Each proxy adds the address that it was called from at the end of `X-Forwarded-For`, and a client
//! may put anything at its beginning. So the list is read from its end, and an address in it counts
//! for as long as the one after it is a proxy that is trusted.

use std::{net::IpAddr, str::FromStr};

use http::{HeaderMap, HeaderName};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How many proxies are followed.
const HOP_LIMIT: usize = 16;

/// The proxies that are believed. By default those on this machine, as the balancer of `seawall up`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl Default for TrustedProxies {
    fn default() -> Self {
        let loopback = ["127.0.0.0/8", "::1"].map(str::parse);
        Self(loopback.into_iter().flatten().collect())
    }
}

impl FromIterator<Network> for TrustedProxies {
    fn from_iter<T: IntoIterator<Item = Network>>(networks: T) -> Self {
        Self(networks.into_iter().collect())
    }
}

impl TrustedProxies {
    /// The address of the client whose request came from `peer` with these headers.
    #[must_use]
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lists = headers.get_all(FORWARDED_FOR).iter().rev();
        let addresses = lists
            .filter_map(|list| list.to_str().ok())
            .flat_map(|list| list.rsplit(','));
        for address in addresses.take(HOP_LIMIT) {
            let Ok(address) = address.trim().parse::<IpAddr>() else {
                break;
            };
            if !self.contains(client) {
                break;
            }
            client = address.to_canonical();
        }
        client
    }

    /// Whether what a request from `peer` says of its way is believed.
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(peer))
    }
}

/// The addresses that begin with the same bits: `10.0.0.0/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                (own.to_bits() ^ other.to_bits()) & mask == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                (own.to_bits() ^ other.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

/// Why a text is no [`Network`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address and no network; write for example 192.0.2.1 or 10.0.0.0/8")]
pub struct NetworkError(String);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lists: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(FORWARDED_FOR, list.parse().unwrap());
        }
        let trusted = ["127.0.0.0/8", "::1", "10.0.0.0/8", "192.0.2.1"];
        let trusted: TrustedProxies = trusted.map(|n| n.parse().unwrap()).into_iter().collect();
        trusted.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn proxies_are_believed_as_far_as_they_are_trusted() {
        assert_eq!(client("203.0.113.5", &[]), "203.0.113.5");
        assert_eq!(client("203.0.113.5", &["198.51.100.1"]), "203.0.113.5");
        assert_eq!(client("127.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        let through_two = ["6.6.6.6, 198.51.100.1", "10.1.2.3"];
        assert_eq!(client("::ffff:127.0.0.1", &through_two), "198.51.100.1");
        assert_eq!(client("::1", &["2001:db8::7"]), "2001:db8::7");
        assert_eq!(client("127.0.0.1", &["unknown"]), "127.0.0.1");
        assert_eq!(client("127.0.0.1", &["198.51.100.1, x"]), "127.0.0.1");
    }

    #[test]
    fn networks_are_read() {
        for text in ["10.0.0.0/33", "10.0.0/8", "", "::/129", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("203.0.113.5".parse().unwrap()));
        assert!(!all.contains("::1".parse().unwrap()));
    }
}
