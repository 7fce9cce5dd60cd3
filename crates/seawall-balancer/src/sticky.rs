//! Cookies that keep a client with its server. Formats: HAProxy's configuration manual, `cookie`.

use http::{HeaderMap, HeaderValue, header::COOKIE, header::SET_COOKIE};

use crate::config::StickyMode;

/// The cookie of [`StickyMode::Insert`].
pub(crate) const INSERTED: &str = "SEAWALLSRV";

/// What stands between server and value in [`StickyMode::Prefix`].
const PREFIX_DELIMITER: char = '~';

/// The name of the server that a request's cookie asks for.
pub(crate) fn wanted<'h>(
    headers: &'h HeaderMap,
    mode: StickyMode,
    cookie: &str,
) -> Option<&'h str> {
    match mode {
        StickyMode::Insert => value(headers, INSERTED),
        StickyMode::None => None,
        StickyMode::Prefix => Some(value(headers, cookie)?.split_once(PREFIX_DELIMITER)?.0),
        StickyMode::Route => Some(value(headers, cookie)?.rsplit_once('.')?.1),
    }
}

/// The session cookie's own value, without a prefix.
pub(crate) fn session_value<'h>(headers: &'h HeaderMap, cookie: &str) -> Option<&'h str> {
    let value = value(headers, cookie)?;
    Some(
        value
            .split_once(PREFIX_DELIMITER)
            .map_or(value, |(_, own)| own),
    )
}

fn value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(pairs)
        .filter_map(|pair| str::from_utf8(pair).ok())
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

/// The cookies of a field. They may hold any bytes, which browsers send as they are.
fn pairs(header: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    header.as_bytes().split(|byte| *byte == b';')
}

/// Takes out of the request's cookies what is for the balancer only.
pub(crate) fn strip_request(headers: &mut HeaderMap, mode: StickyMode, cookie: &str) {
    let strip = match mode {
        StickyMode::Insert => without_inserted,
        StickyMode::Prefix => without_prefix,
        StickyMode::None | StickyMode::Route => return,
    };
    let http::header::Entry::Occupied(mut entry) = headers.entry(COOKIE) else {
        return;
    };
    for value in entry.iter_mut() {
        let mut stripped = Vec::with_capacity(value.len());
        for pair in pairs(value).map(<[u8]>::trim_ascii) {
            match str::from_utf8(pair) {
                Ok(pair) => strip(pair, cookie, &mut stripped),
                Err(_) => push(&mut stripped, &[pair]),
            }
        }
        if let Ok(stripped) = HeaderValue::try_from(stripped) {
            *value = stripped;
        }
    }
    // A field without any cookie left is no field.
    if entry.iter().all(HeaderValue::is_empty) {
        entry.remove_entry_mult();
    }
}

fn push(cookies: &mut Vec<u8>, pair: &[&[u8]]) {
    if !cookies.is_empty() {
        cookies.extend_from_slice(b"; ");
    }
    pair.iter().for_each(|part| cookies.extend_from_slice(part));
}

fn without_inserted(pair: &str, _cookie: &str, cookies: &mut Vec<u8>) {
    if pair.split_once('=').is_none_or(|(key, _)| key != INSERTED) {
        push(cookies, &[pair.as_bytes()]);
    }
}

fn without_prefix(pair: &str, cookie: &str, cookies: &mut Vec<u8>) {
    let own = pair
        .split_once('=')
        .filter(|(key, _)| *key == cookie)
        .and_then(|(_, value)| value.split_once(PREFIX_DELIMITER));
    match own {
        Some((_, own)) => push(cookies, &[cookie.as_bytes(), b"=", own.as_bytes()]),
        None => push(cookies, &[pair.as_bytes()]),
    }
}

/// Puts the server's name into the response's cookies. `directed` says whether the client's cookie
/// led to this server already.
pub(crate) fn mark_response(
    headers: &mut HeaderMap,
    mode: StickyMode,
    cookie: &str,
    server: &str,
    directed: bool,
) {
    match mode {
        StickyMode::Insert if !directed => {
            let inserted = format!("{INSERTED}={server}; path=/; HttpOnly");
            if let Ok(inserted) = HeaderValue::try_from(inserted) {
                headers.append(SET_COOKIE, inserted);
            }
        }
        StickyMode::Prefix if headers.contains_key(SET_COOKIE) => {
            let marked: Vec<HeaderValue> = headers
                .get_all(SET_COOKIE)
                .iter()
                .map(|header| with_prefix(header, cookie, server).unwrap_or_else(|| header.clone()))
                .collect();
            headers.remove(SET_COOKIE);
            for value in marked {
                headers.append(SET_COOKIE, value);
            }
        }
        _ => {}
    }
}

fn with_prefix(header: &HeaderValue, cookie: &str, server: &str) -> Option<HeaderValue> {
    let own = header
        .as_bytes()
        .strip_prefix(cookie.as_bytes())?
        .strip_prefix(b"=")?;
    let prefix = format!("{cookie}={server}{PREFIX_DELIMITER}");
    HeaderValue::try_from([prefix.as_bytes(), own].concat()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "JSESSIONID";

    fn request(cookie: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(cookie))])
    }

    fn marked(mode: StickyMode, set_cookie: &'static str, directed: bool) -> Vec<String> {
        let header = (SET_COOKIE, HeaderValue::from_static(set_cookie));
        let mut headers = HeaderMap::from_iter([header]);
        mark_response(&mut headers, mode, NAME, "node1", directed);
        let all = headers.get_all(SET_COOKIE).iter();
        all.map(|value| value.to_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_server_is_found_in_each_mode() {
        let route = request("a=1; JSESSIONID=abc.node2");
        assert_eq!(wanted(&route, StickyMode::Route, NAME), Some("node2"));
        assert_eq!(wanted(&route, StickyMode::None, NAME), None);
        let prefix = request("JSESSIONID=node1~abc123.x");
        assert_eq!(wanted(&prefix, StickyMode::Prefix, NAME), Some("node1"));
        assert_eq!(session_value(&prefix, NAME), Some("abc123.x"));
        let insert = request("SEAWALLSRV=node1; b=2");
        assert_eq!(wanted(&insert, StickyMode::Insert, NAME), Some("node1"));
        assert_eq!(
            wanted(&request("JSESSIONID=abc"), StickyMode::Route, NAME),
            None
        );
    }

    #[test]
    fn the_prefix_is_haproxys_byte_for_byte() {
        let response = marked(
            StickyMode::Prefix,
            "JSESSIONID=abc123.x; Path=/; HttpOnly",
            false,
        );
        assert_eq!(response, ["JSESSIONID=node1~abc123.x; Path=/; HttpOnly"]);
        assert_eq!(marked(StickyMode::Prefix, "other=1", false), ["other=1"]);
        let mut headers = request("a=1; JSESSIONID=nodeX~abc; b=2");
        strip_request(&mut headers, StickyMode::Prefix, NAME);
        assert_eq!(
            headers[COOKIE], "a=1; JSESSIONID=abc; b=2",
            "stripped even if unknown"
        );
    }

    #[test]
    fn cookies_of_others_may_hold_any_bytes() {
        for other in ["name=J\u{fc}rgen".as_bytes(), b"name=J\xfcrgen"] {
            let mut cookies = HeaderMap::new();
            let own = b"; JSESSIONID=node1~abc.node1; SEAWALLSRV=node1";
            let value = HeaderValue::from_bytes(&[other, own].concat()).unwrap();
            cookies.insert(COOKIE, value);
            for mode in [StickyMode::Insert, StickyMode::Prefix, StickyMode::Route] {
                assert_eq!(wanted(&cookies, mode, NAME), Some("node1"));
            }
            strip_request(&mut cookies, StickyMode::Insert, NAME);
            strip_request(&mut cookies, StickyMode::Prefix, NAME);
            let left = [other, b"; JSESSIONID=abc.node1"].concat();
            assert_eq!(cookies[COOKIE].as_bytes(), left);
        }
    }

    #[test]
    fn an_inserted_cookie_is_set_once_and_kept_from_the_server() {
        let response = marked(StickyMode::Insert, "a=1", false);
        assert_eq!(response, ["a=1", "SEAWALLSRV=node1; path=/; HttpOnly"]);
        assert_eq!(marked(StickyMode::Insert, "a=1", true), ["a=1"]);
        let mut headers = request("a=1; SEAWALLSRV=node1; b=2");
        strip_request(&mut headers, StickyMode::Insert, NAME);
        assert_eq!(headers[COOKIE], "a=1; b=2");
        let mut only = request("SEAWALLSRV=node1");
        strip_request(&mut only, StickyMode::Insert, NAME);
        assert!(!only.contains_key(COOKIE));
    }
}
