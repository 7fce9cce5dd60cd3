//! The host that a request names.

use http::{Request, Version, header::HOST};

/// What is wrong with the host of a request, if anything: each of HTTP/1.1 names one, and one only,
/// which a URI could have (RFC 9112, section 3.2).
#[must_use]
pub fn host_refusal<B>(request: &Request<B>) -> Option<&'static str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let Some(host) = hosts.next() else {
        let needs_host = request.version() == Version::HTTP_11;
        return needs_host.then_some("The request names no host.");
    };
    if hosts.next().is_some() {
        return Some("The request names more than one host.");
    }
    if !host.as_bytes().iter().all(|byte| is_of_host(*byte)) {
        return Some("The request names a host that is none.");
    }
    None
}

/// Whether a byte may stand in a host or its port (RFC 3986, section 3.2.2).
fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn is_refused(version: Version, hosts: &[&'static str]) -> bool {
        let mut request = Request::new(());
        *request.version_mut() = version;
        for host in hosts {
            let host = HeaderValue::from_static(host);
            request.headers_mut().append(HOST, host);
        }
        host_refusal(&request).is_some()
    }

    #[test]
    fn a_request_names_one_host() {
        assert!(!is_refused(Version::HTTP_11, &["a"]));
        assert!(is_refused(Version::HTTP_11, &[]));
        assert!(!is_refused(Version::HTTP_10, &[]));
        assert!(is_refused(Version::HTTP_11, &["a", "b"]));
        assert!(is_refused(Version::HTTP_10, &["a", "a"]));
    }

    #[test]
    fn a_host_is_what_a_uri_could_have() {
        for good in [
            "",
            "example.org:8000",
            "[::1]:80",
            "my_shop",
            "xn--bcher-kva.example",
        ] {
            assert!(!is_refused(Version::HTTP_11, &[good]), "{good}");
        }
        for bad in ["a b", "a<", "user@a", "a/b", "a?b", "a\\b"] {
            assert!(is_refused(Version::HTTP_11, &[bad]), "{bad}");
        }
    }
}
