//! What must not pass through a proxy, and what it adds. Sources: RFC 9110, section 7.6; RFC 9112,
//! sections 3.2 and 6.

use std::net::IpAddr;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Version,
    header::{CONNECTION, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
    uri::PathAndQuery,
};
use seawall_net::TrustedProxies;

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
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
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

/// Tells the server whom the request came from, and how: by TLS, if a proxy says so that is trusted.
pub(crate) fn add_forwarded(headers: &mut HeaderMap, client: IpAddr, trusted: &TrustedProxies) {
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
    let mut protocols = headers.get_all(FORWARDED_PROTO).iter();
    let says_https =
        protocols.next().is_some_and(|said| said == HTTPS) && protocols.next().is_none();
    let protocol = if says_https && trusted.contains(client) {
        HTTPS
    } else {
        "http"
    };
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(protocol));
}

const HTTPS: &str = "https";

/// The protocol that a request wants to switch to, if it does. Not HTTP/2, whose requests would pass
/// unseen; and HTTP/1.0 knows no switching (RFC 9110, section 7.8).
pub(crate) fn upgrade<B>(request: &Request<B>) -> Option<HeaderValue> {
    let headers = request.headers();
    if request.version() != Version::HTTP_11 {
        return None;
    }
    let asks = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    let protocol = headers.get(UPGRADE).filter(|_| asks)?;
    let is_http = |token: &[u8]| token.trim_ascii().eq_ignore_ascii_case(b"h2c");
    let mut tokens = protocol.as_bytes().split(|byte| *byte == b',');
    (!tokens.any(is_http)).then(|| protocol.clone())
}

/// Brings a request with a whole address into the usual form: what the address says of the host
/// counts, and servers see its path only. The answer is what is wrong with the address, if anything.
pub(crate) fn to_origin_form<B>(request: &mut Request<B>) -> Option<&'static str> {
    let uri = request.uri();
    let Some(authority) = uri.authority() else {
        let is_whole = uri.path() == "*" && request.method() == Method::OPTIONS;
        return (!is_whole && !uri.path().starts_with('/')).then_some(NO_PATH);
    };
    if uri.scheme().is_none() {
        return Some(NO_PATH);
    }
    let host = HeaderValue::from_str(authority.as_str());
    let path = uri.path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    match host {
        Ok(host) if !authority.as_str().contains('@') => {
            request.headers_mut().insert(HOST, host);
            *request.uri_mut() = path.into();
            None
        }
        _ => Some("The address names a user, or no host that can be passed on."),
    }
}

const NO_PATH: &str = "The address has no path.";

/// Says of a request whose length is not known that its body comes in chunks; hyper does so by itself
/// only for methods that usually have one, and drops the body of others.
pub(crate) fn say_chunked(headers: &mut HeaderMap) {
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
}

/// Leaves one length in a server's answer: chunks count before `Content-Length`. False when it has a
/// transfer coding that nobody asked for, which cannot be passed on.
pub(crate) fn settle_length(headers: &mut HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return true;
    };
    let is_chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    headers.remove(http::header::CONTENT_LENGTH);
    is_chunked
}

/// Sends a request on in our own version (RFC 9110, section 2.5), unless it names no host, which none
/// of HTTP/1.1 may leave out.
pub(crate) fn settle_version<B>(request: &mut Request<B>) {
    if request.version() == Version::HTTP_10 && request.headers().contains_key(HOST) {
        *request.version_mut() = Version::HTTP_11;
    }
}

/// What is wrong with a request, if anything.
pub(crate) fn refusal<B>(request: &Request<B>) -> Option<&'static str> {
    if request.method() == Method::CONNECT {
        return Some("This server is no forward proxy.");
    }
    seawall_net::host_refusal(request)
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
        let trusted = TrustedProxies::default();
        add_forwarded(&mut headers, "198.51.100.7".parse().unwrap(), &trusted);
        assert_eq!(headers[FORWARDED_FOR], "192.0.2.1, 198.51.100.7");
        assert_eq!(headers[FORWARDED_PROTO], "http");
    }

    #[test]
    fn tls_is_what_trusted_proxies_say() {
        let told = |client: &str, said: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for said in said {
                headers.append(FORWARDED_PROTO, HeaderValue::from_static(said));
            }
            add_forwarded(
                &mut headers,
                client.parse().unwrap(),
                &TrustedProxies::default(),
            );
            let all = headers.get_all(FORWARDED_PROTO).iter();
            all.map(|value| value.to_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(told("127.0.0.1", &["https"]), ["https"]);
        assert_eq!(told("198.51.100.7", &["https"]), ["http"]);
        assert_eq!(told("127.0.0.1", &["https", "http"]), ["http"]);
        assert_eq!(told("127.0.0.1", &["gopher"]), ["http"]);
    }

    #[test]
    fn a_whole_address_names_the_host() {
        let settled = |method: &str, address: &str| {
            let mut request = Request::builder().method(method).uri(address);
            request = request.header(HOST, "other");
            let mut request = request.body(()).unwrap();
            let refusal = to_origin_form(&mut request);
            let host = request.headers()[HOST].to_str().unwrap().to_owned();
            refusal.is_none().then(|| (host, request.uri().to_string()))
        };
        let is = |host: &str, address: &str| Some((host.to_owned(), address.to_owned()));
        assert_eq!(settled("GET", "/a?b=c"), is("other", "/a?b=c"));
        assert_eq!(settled("GET", "http://shop:81/a?b"), is("shop:81", "/a?b"));
        assert_eq!(settled("GET", "http://shop"), is("shop", "/"));
        assert_eq!(settled("OPTIONS", "*"), is("other", "*"));
        for (method, address) in [
            ("GET", "*"),
            ("GET", "shop:80"),
            ("GET", "shop"),
            ("GET", "http://u:p@shop/"),
        ] {
            assert_eq!(settled(method, address), None, "{method} {address}");
        }
    }

    #[test]
    fn websockets_are_switched_to_and_http_is_not() {
        let asked = |protocol: &'static str| {
            let mut request = Request::new(());
            let fields = HeaderValue::from_static("Upgrade, HTTP2-Settings");
            request.headers_mut().insert(CONNECTION, fields);
            let protocol = HeaderValue::from_static(protocol);
            request.headers_mut().insert(UPGRADE, protocol);
            let asks = upgrade(&request).is_some();
            *request.version_mut() = Version::HTTP_10;
            assert_eq!(upgrade(&request), None);
            asks
        };
        assert!(asked("websocket"));
        assert!(!asked("h2c") && !asked("websocket, H2C"));
    }

    #[test]
    fn an_answer_has_one_length() {
        let settled = |fields: &[(HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, HeaderValue::from_static(value));
            }
            let is_good = settle_length(&mut headers);
            (is_good, headers.contains_key(http::header::CONTENT_LENGTH))
        };
        let length = (http::header::CONTENT_LENGTH, "5");
        assert_eq!(settled(std::slice::from_ref(&length)), (true, true));
        assert_eq!(
            settled(&[length.clone(), (TRANSFER_ENCODING, "Chunked")]),
            (true, false)
        );
        for coding in ["xchunked", "gzip, chunked"] {
            assert!(!settled(&[length.clone(), (TRANSFER_ENCODING, coding)]).0);
        }
    }
}
