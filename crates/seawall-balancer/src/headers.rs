//! What must not pass through a proxy, and what it adds. Source: RFC 9110, section 7.6.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Version,
    header::{CONNECTION, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// What a node of Seawall has in its answers while it drains, named in `Connection`.
const DRAINING: HeaderName = HeaderName::from_static("x-seawall-draining");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Header fields that are for one connection only.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authenticate"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes what is for one connection only, and what the `Connection` field names as such. True when
/// the sender says by that field that it drains.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) -> bool {
    let mut draining = false;
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            // A client must not make the proxy drop what servers rely on.
            .filter(|name| *name != HOST && *name != http::header::CONTENT_LENGTH)
            .collect();
        draining = named.contains(&DRAINING);
        for name in named {
            headers.remove(name);
        }
    }
    // Most messages have none of these, and looking through their few fields is quicker than asking
    // for each.
    while let Some(name) = headers.keys().find(|name| HOP_BY_HOP.contains(name)) {
        let name = name.clone();
        headers.remove(name);
    }
    draining
}

/// Tells the server whom the request came from.
pub(crate) fn add_forwarded(headers: &mut HeaderMap, client: IpAddr) {
    let mut addresses = String::new();
    for earlier in headers
        .get_all(FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok())
    {
        addresses.push_str(earlier);
        addresses.push_str(", ");
    }
    addresses.push_str(&client.to_string());
    if let Ok(value) = HeaderValue::try_from(addresses) {
        headers.insert(FORWARDED_FOR, value);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
}

/// The protocol that a request wants to switch to, if it does.
pub(crate) fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let asks = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(UPGRADE).filter(|_| asks).cloned()
}

/// What is wrong with a request, if anything.
pub(crate) fn refusal<B>(request: &Request<B>) -> Option<&'static str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Some("The request names more than one host.");
    }
    if host.is_none() && request.version() == Version::HTTP_11 {
        return Some("The request names no host.");
    }
    if request.method() == Method::CONNECT {
        return Some("This server is no forward proxy.");
    }
    None
}

/// Whether doing a request twice does no harm (RFC 9110, section 9.2.1).
pub(crate) fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_one_connection_do_not_pass() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("accept", "*/*"),
        ] {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        assert!(!strip_hop_by_hop(&mut headers));
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["accept"]);
    }

    #[test]
    fn a_server_says_that_it_drains_to_its_neighbour_only() {
        let mut headers = HeaderMap::new();
        headers.insert(DRAINING, HeaderValue::from_static("1"));
        assert!(!strip_hop_by_hop(&mut headers), "not named in Connection");
        let value = HeaderValue::from_static("close, x-seawall-draining");
        headers.insert(CONNECTION, value);
        assert!(strip_hop_by_hop(&mut headers));
        assert!(headers.is_empty());
    }

    #[test]
    fn a_client_cannot_name_host_or_length_as_its_own() {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("host, content-length"));
        headers.insert(HOST, HeaderValue::from_static("a"));
        headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from_static("3"));
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn the_client_is_added_last() {
        let mut headers = HeaderMap::new();
        headers.insert(FORWARDED_FOR, HeaderValue::from_static("192.0.2.1"));
        add_forwarded(&mut headers, "198.51.100.7".parse().unwrap());
        assert_eq!(headers[FORWARDED_FOR], "192.0.2.1, 198.51.100.7");
        assert_eq!(headers[FORWARDED_PROTO], "http");
    }

    #[test]
    fn requests_without_or_with_two_hosts_are_refused() {
        let request = |hosts: &[&'static str]| {
            let mut request = Request::new(());
            for host in hosts {
                request
                    .headers_mut()
                    .append(HOST, HeaderValue::from_static(host));
            }
            refusal(&request)
        };
        assert!(request(&["a"]).is_none());
        assert!(request(&[]).is_some());
        assert!(request(&["a", "b"]).is_some());
    }
}
