//! The session cookie: `<id>.<node>`, as Jetty and Tomcat write it.
//!
//! The suffix names the node that served last; a balancer routes by it. A cookie with another
//! node's suffix is issued anew, so that the client moves with the session.

use std::{fmt::Display, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue, header::COOKIE};

use crate::{id::SessionId, settings::SettingsError};

/// How many cookies of the session's name are looked at; a client normally sends one.
const CANDIDATE_LIMIT: usize = 4;

/// How the session cookie is written. It is always `HttpOnly`.
///
/// ```
/// # use seawall_session::{CookieSettings, Secure};
/// let cookie = CookieSettings {
///     name: "__Host-id".into(),
///     secure: Secure::Always,
///     ..CookieSettings::default()
/// };
/// assert_eq!(cookie.validate(), Ok(()));
/// ```
#[derive(Debug, Clone)]
pub struct CookieSettings {
    /// The cookie's name; `JSESSIONID`.
    pub name: Arc<str>,
    /// The path that the cookie is sent for; `/`.
    pub path: Arc<str>,
    /// The domain that the cookie is sent to, with all below it, for example `shop.example`; `None`, the
    /// default, for the very host that set it.
    pub domain: Option<Arc<str>>,
    /// How long browsers keep the cookie from the last response on, in whole seconds; with this each
    /// response that looked at its session sends the cookie again. `None`, the default, until the
    /// browser ends. It keeps no session alive: for that the idle timeout must be as long.
    pub max_age: Option<Duration>,
    /// Whether the cookie is sent over HTTPS only; it is not by default.
    pub secure: Secure,
    /// Which cross-site requests carry the cookie; [`SameSite::Lax`].
    pub same_site: SameSite,
}

impl Default for CookieSettings {
    fn default() -> Self {
        Self {
            name: "JSESSIONID".into(),
            path: "/".into(),
            domain: None,
            max_age: None,
            secure: Secure::Never,
            same_site: SameSite::Lax,
        }
    }
}

/// Whether a cookie is sent over HTTPS only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secure {
    /// The cookie has the `Secure` attribute.
    Always,
    /// It has not; for sites that are reached over plain HTTP.
    Never,
}

/// Which cross-site requests carry a cookie (RFC 6265bis, section 5.6.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Only top-level navigations.
    Lax,
    /// All; browsers ask for `Secure` then.
    None,
    /// None.
    Strict,
}

/// A well-formed session cookie that a request brought. Whether such a session exists is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// The session's id.
    pub id: SessionId,
    /// The node that the cookie names, if it names one.
    pub node: Option<Arc<str>>,
}

impl Presented {
    /// The session cookies named `name` in a request, the first ones first. Forged and foreign
    /// values are left out; they may hold any bytes, which browsers send as they are.
    pub fn all(headers: &HeaderMap, name: &str) -> Vec<Self> {
        headers
            .get_all(COOKIE)
            .iter()
            .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
            .filter_map(|pair| str::from_utf8(pair).ok())
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(key, _)| *key == name)
            .filter_map(|(_, value)| Self::parse(value.trim_matches('"')))
            .take(CANDIDATE_LIMIT)
            .collect()
    }

    fn parse(value: &str) -> Option<Self> {
        let (id, node) = match value.split_once('.') {
            Some((id, node)) => (id, Some(node.into())),
            None => (value, None),
        };
        Some(Self {
            id: SessionId::parse(id)?,
            node,
        })
    }
}

impl CookieSettings {
    /// The `Set-Cookie` header that gives the client a session.
    #[must_use]
    pub fn issue(&self, id: &SessionId, node: &str) -> HeaderValue {
        let value = format!("{}.{node}", id.as_str());
        self.header(&value, self.max_age.map(|max_age| max_age.as_secs()))
    }

    /// The `Set-Cookie` header that takes the session away.
    #[must_use]
    pub fn expire(&self) -> HeaderValue {
        self.header("", Some(0))
    }

    fn header(&self, value: &str, max_age: Option<u64>) -> HeaderValue {
        let secure = if self.secure == Secure::Always {
            "; Secure"
        } else {
            ""
        };
        let same_site = match self.same_site {
            SameSite::Lax => "Lax",
            SameSite::None => "None",
            SameSite::Strict => "Strict",
        };
        let attribute = |name, value: Option<&dyn Display>| {
            value.map_or(String::new(), |value| format!("; {name}={value}"))
        };
        let domain = attribute("Domain", self.domain.as_ref().map(|domain| domain as _));
        let max_age = attribute("Max-Age", max_age.as_ref().map(|max_age| max_age as _));
        let Self { name, path, .. } = self;
        let text = format!(
            "{name}={value}; Path={path}{domain}; HttpOnly{secure}; SameSite={same_site}{max_age}"
        );
        let mut header = HeaderValue::try_from(text).expect("settings and ids are checked text");
        header.set_sensitive(true);
        header
    }

    /// Checks that the settings can stand in a cookie, and that browsers would keep it.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if self.name.is_empty() || !self.name.bytes().all(token) {
            return Err(SettingsError::CookieName(self.name.clone()));
        }
        let path = |b: u8| b.is_ascii_graphic() && b != b';';
        if !self.path.starts_with('/') || !self.path.bytes().all(path) {
            return Err(SettingsError::CookiePath(self.path.clone()));
        }
        if let Some(domain) = self.domain.as_ref().filter(|domain| !is_domain(domain)) {
            return Err(SettingsError::CookieDomain(domain.clone()));
        }
        self.why_dropped().map_or(Ok(()), |why| {
            let name = self.name.clone();
            Err(SettingsError::DroppedCookie { name, why })
        })
    }

    /// What browsers ask of a cookie that this one does not have; they drop it without a word (RFC
    /// 6265bis, sections 4.1.3 and 5.7). `__Http-` asks for `HttpOnly` as well, which is always there;
    /// `__Host-Http-` for that and what `__Host-` asks for.
    fn why_dropped(&self) -> Option<&'static str> {
        let is_secure = self.secure == Secure::Always;
        let begins = |prefix: &str| {
            let beginning = self.name.get(..prefix.len());
            beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(prefix))
        };
        let asks_for_secure = ["__Secure-", "__Http-", "__Host-"].into_iter().any(begins);
        if self.same_site == SameSite::None && !is_secure {
            Some("with SameSite=None, unless it is secure")
        } else if asks_for_secure && !is_secure {
            Some("for its name's beginning, unless it is secure")
        } else if self.max_age.is_some_and(|max_age| max_age.as_secs() == 0) {
            Some("with a maximal age of less than 1 s")
        } else if begins("__Host-") && self.domain.is_some() {
            Some("for its name's beginning, if it has a domain")
        } else if begins("__Host-") && &*self.path != "/" {
            Some("for its name's beginning, unless its path is /")
        } else {
            None
        }
    }
}

/// Whether a cookie's domain is a host name. Browsers leave out one dot before it (RFC 6265, section
/// 5.2.3), which older servers wrote.
fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        let ends = [label.bytes().next(), label.bytes().next_back()];
        let middle = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        ends.iter()
            .all(|end| end.is_some_and(|b| b.is_ascii_alphanumeric()))
            && label.bytes().all(middle)
    };
    text.strip_prefix('.').unwrap_or(text).split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    fn presented(cookie: &str) -> Vec<Presented> {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(cookie).unwrap());
        Presented::all(&headers, "JSESSIONID")
    }

    #[test]
    fn the_cookie_comes_back() {
        let id = SessionId::parse(ID).unwrap();
        let header = CookieSettings::default().issue(&id, "node1");
        let text = header.to_str().unwrap();
        assert_eq!(
            text,
            format!("JSESSIONID={ID}.node1; Path=/; HttpOnly; SameSite=Lax")
        );
        let (pair, _) = text.split_once(';').unwrap();
        assert_eq!(
            presented(pair),
            [Presented {
                id,
                node: Some("node1".into())
            }]
        );
    }

    #[test]
    fn other_cookies_stand_beside_it() {
        let found = presented(&format!("a=1; JSESSIONID={ID}; b; XJSESSIONID=x; c=\"2\""));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].node, None);
    }

    #[test]
    fn cookies_of_others_may_hold_any_bytes() {
        for others in ["name=J\u{fc}rgen".as_bytes(), b"name=J\xfcrgen"] {
            let own = format!("; JSESSIONID={ID}; b=2");
            let cookies = HeaderValue::from_bytes(&[others, own.as_bytes()].concat()).unwrap();
            let headers = HeaderMap::from_iter([(COOKIE, cookies)]);
            assert_eq!(Presented::all(&headers, "JSESSIONID").len(), 1);
        }
    }

    #[test]
    fn forged_foreign_and_huge_cookies_are_no_sessions() {
        for value in [
            "",
            "x",
            "node0abc.node1",
            "../../etc/passwd",
            &"A".repeat(8_192),
        ] {
            assert_eq!(presented(&format!("JSESSIONID={value}")), []);
        }
        let many = format!("JSESSIONID={ID}; ").repeat(50);
        assert_eq!(presented(&many).len(), CANDIDATE_LIMIT);
    }

    #[test]
    fn settings_that_would_break_the_header_are_refused() {
        let named = |name: &str| CookieSettings {
            name: name.into(),
            ..CookieSettings::default()
        };
        assert!(named("JSESSIONID").validate().is_ok());
        assert!(named("a b").validate().is_err());
        let path = CookieSettings {
            path: "/;x".into(),
            ..CookieSettings::default()
        };
        assert!(path.validate().is_err());
    }

    #[test]
    fn a_domain_is_a_host_name() {
        let domain = |domain: &str| CookieSettings {
            domain: Some(domain.into()),
            ..CookieSettings::default()
        };
        for name in [
            "shop.example",
            ".shop.example",
            "a-b.c1.example",
            "127.0.0.1",
            "intranet",
        ] {
            assert_eq!(domain(name).validate(), Ok(()));
        }
        for name in [
            "",
            ".",
            "-",
            "..a",
            "a..b",
            "a.",
            "-a.example",
            "a-.example",
            "a_b",
            "shop;example",
        ] {
            assert!(domain(name).validate().is_err(), "{name:?}");
        }
    }

    #[test]
    fn cookies_that_browsers_would_drop_are_refused() {
        let settings = |name: &str, path: &str, secure, same_site| CookieSettings {
            name: name.into(),
            path: path.into(),
            secure,
            same_site,
            ..CookieSettings::default()
        };
        let host = |path, secure| settings("__Host-id", path, secure, SameSite::Lax).validate();
        assert!(host("/", Secure::Always).is_ok());
        assert!(
            host("/", Secure::Never)
                .unwrap_err()
                .to_string()
                .contains("secure")
        );
        assert!(
            host("/shop", Secure::Always)
                .unwrap_err()
                .to_string()
                .contains("path")
        );
        let secure = |secure| settings("__SECURE-id", "/shop", secure, SameSite::Lax).validate();
        assert!(secure(Secure::Always).is_ok());
        assert!(secure(Secure::Never).is_err());
        for name in ["__Http-id", "__http-id", "__Host-Http-id"] {
            let named = |path, secure| settings(name, path, secure, SameSite::Lax).validate();
            assert!(named("/", Secure::Always).is_ok());
            assert!(named("/", Secure::Never).is_err());
            let on_a_path = named("/shop", Secure::Always);
            assert_eq!(on_a_path.is_err(), name.starts_with("__Host-"));
        }
        let cross_site = |secure| settings("id", "/", secure, SameSite::None).validate();
        assert!(cross_site(Secure::Always).is_ok());
        assert!(cross_site(Secure::Never).is_err());
        let domain = |name: &str, domain: &str| CookieSettings {
            domain: Some(domain.into()),
            ..settings(name, "/", Secure::Always, SameSite::Lax)
        };
        assert!(domain("id", "shop.example").validate().is_ok());
        assert!(domain("__Host-id", "shop.example").validate().is_err());
        assert!(domain("__Host-Http-id", "shop.example").validate().is_err());
        let short = CookieSettings {
            max_age: Some(Duration::from_millis(999)),
            ..CookieSettings::default()
        };
        assert!(short.validate().is_err());
    }
}
