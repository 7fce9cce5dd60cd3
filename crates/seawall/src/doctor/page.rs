//! A page, visited as a browser does: whether its session cookie comes back, finds the session again,
//! and stays with one node.

use std::{fmt, net::SocketAddr, time::Duration};

use cookie::{Cookie, SameSite};
use hyper::{HeaderMap, Response, Uri, header::SET_COOKIE};
use seawall_balancer::StickyMode;
use seawall_session::Secure;
use tokio::net::lookup_host;

use super::{case::Case, diagnosis::Diagnosis};
use crate::{
    config::Settings,
    http_client::{self, Visit},
    sessions,
};

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The page that every node has.
const DEFAULT_PATH: &str = "/session-test/";

/// How often the page is visited again.
const VISITS: usize = 6;

/// A client may be moved once: a node has just come or gone. More often means that nobody keeps it.
const MOVES_ALLOWED: usize = 1;

/// Where a page is.
#[derive(Debug)]
pub(super) struct Page {
    scheme: &'static str,
    /// Users come by TLS, of which a proxy in front takes care.
    is_secure: bool,
    /// Where it is asked for, if not at its host: at the balancer, in the place of that proxy.
    asked: Option<SocketAddr>,
    /// As a browser writes it into `Host`.
    authority: String,
    /// The name or address alone.
    host: String,
    port: u16,
    path: String,
}

impl Page {
    /// The page that was named, or the session-test page through the balancer; `None` without a
    /// balancer and nodes behind it.
    pub(super) fn of(settings: &Settings, named: Option<&Uri>) -> Result<Option<Self>, String> {
        let balancer = settings.has_balancer;
        let balancer = balancer.then(|| reachable(settings.balancer.listen));
        let Some(named) = named else {
            let address = balancer.filter(|_| !settings.nodes.is_empty());
            return Ok(address.map(|address| Self {
                scheme: "http",
                is_secure: settings.session.cookie.secure == Secure::Always,
                asked: Some(address),
                authority: address.to_string(),
                host: address.ip().to_string(),
                port: address.port(),
                path: DEFAULT_PATH.to_owned(),
            }));
        };
        let problem = |reason: &str| Err(format!("--page {named}: {reason}"));
        let (scheme, asked) = match (named.scheme_str(), balancer) {
            (Some("http"), _) => ("http", None),
            (Some("https"), Some(balancer)) => ("https", Some(balancer)),
            (Some("https"), None) => {
                return problem("over TLS a page is asked of the balancer, and there is none");
            }
            _ => return problem("write http://HOST/PATH or https://HOST/PATH"),
        };
        let Some(authority) = named.authority() else {
            return problem("it names no host");
        };
        Ok(Some(Self {
            scheme,
            is_secure: scheme == "https",
            asked,
            authority: authority.to_string(),
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            path: named
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        }))
    }

    /// The path without its query.
    fn plain_path(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }
}

/// Without its query, which may hold what is nobody's business.
impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.scheme,
            self.authority,
            self.plain_path()
        )
    }
}

/// Who listens on all addresses is reached by the machine's own.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    } else {
        address
    }
}

/// What a browser keeps of a session.
struct Kept {
    /// Name and value of each cookie that came.
    jar: Vec<(String, String)>,
    session: String,
    /// The cookie's path is the application's.
    context: String,
}

/// Visits the page again and again. A page that cannot be looked at, or makes no session, says
/// nothing of cookies.
pub(super) async fn visit(settings: &Settings, page: &Page) -> Result<Vec<Diagnosis>, String> {
    let unseen = |why: String| format!("{page}: {why}");
    let address = resolve(page).await.map_err(unseen)?;
    let name = &*settings.session.cookie.name;
    let first = answer(address, page, "").await.map_err(unseen)?;
    let session = cookies(first.headers()).find(|cookie| cookie.name() == name);
    let session = session.ok_or_else(|| unseen(format!("it sets no cookie {name}")))?;
    let mut kept = Kept {
        jar: jar(first.headers()),
        session: session.value().to_owned(),
        context: session.path().unwrap_or("/").to_owned(),
    };
    let found = match refusal(&session, page) {
        Some(why) => {
            vec![Diagnosis::new(
                Case::CookieDropped,
                format!("{page}: {why}"),
            )]
        }
        None => come_back(settings, page, address, &mut kept).await,
    };
    let id = parts(&kept.session).0;
    sessions::forget(settings, id, &kept.context).await;
    Ok(found)
}

async fn come_back(
    settings: &Settings,
    page: &Page,
    address: SocketAddr,
    kept: &mut Kept,
) -> Vec<Diagnosis> {
    let name = &*settings.session.cookie.name;
    let mut moves = Vec::new();
    for _ in 0..VISITS {
        let Ok(again) = answer(address, page, &sent(&kept.jar)).await else {
            break;
        };
        let set = cookies(again.headers()).find(|cookie| cookie.name() == name);
        let Some(cookie) = set else { continue };
        let (before, now) = (parts(&kept.session), parts(cookie.value()));
        if before.0 != now.0 {
            let seen = format!("{page}: the same cookie got another session at the next visit");
            return vec![Diagnosis::new(Case::SessionLost, seen)];
        }
        moves.push(format!("{} to {}", before.1, now.1));
        kept.session = cookie.value().to_owned();
        for (name, value) in jar(again.headers()) {
            kept.jar.retain(|(kept, _)| *kept != name);
            kept.jar.push((name, value));
        }
    }
    let is_meant_to_stick = settings.balancer.sticky != StickyMode::None;
    if moves.len() <= MOVES_ALLOWED || !is_meant_to_stick {
        return Vec::new();
    }
    let seen = format!("one client was moved from {}", moves.join(", then from "));
    vec![Diagnosis::new(Case::NotSticky, seen)]
}

async fn resolve(page: &Page) -> Result<SocketAddr, String> {
    if let Some(address) = page.asked {
        return Ok(address);
    }
    let found = lookup_host((&*page.host, page.port));
    let found = tokio::time::timeout(ANSWER_LIMIT, found).await;
    let found = found.map_err(|_| format!("no address within {ANSWER_LIMIT:?}"))?;
    let mut found = found.map_err(|error| error.to_string())?;
    found
        .next()
        .ok_or_else(|| "the host has no address".to_owned())
}

async fn answer(
    address: SocketAddr,
    page: &Page,
    cookies: &str,
) -> Result<Response<bytes::Bytes>, String> {
    let visit = Visit {
        host: &page.authority,
        path: &page.path,
        cookies,
        is_secure: page.is_secure,
    };
    let answer = http_client::visit(address, visit, ANSWER_LIMIT)
        .await
        .map_err(|error| error.to_string())?;
    let status = answer.status();
    if !status.is_success() {
        return Err(format!("it answers {status}"));
    }
    Ok(answer)
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = Cookie<'_>> {
    let values = headers.get_all(SET_COOKIE).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.filter_map(|text| Cookie::parse(text).ok())
}

fn jar(headers: &HeaderMap) -> Vec<(String, String)> {
    let pair = |cookie: Cookie<'_>| (cookie.name().to_owned(), cookie.value().to_owned());
    cookies(headers).map(pair).collect()
}

fn sent(jar: &[(String, String)]) -> String {
    let pairs: Vec<_> = jar
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("; ")
}

/// The session's id and the node, of `ID.NODE` or `NODE~ID.NODE`.
fn parts(value: &str) -> (&str, &str) {
    let own = value.split_once('~').map_or(value, |(_, own)| own);
    own.rsplit_once('.').unwrap_or((own, "-"))
}

/// Why a browser at this page does not send the cookie back: RFC 6265, sections 5.1.3, 5.1.4 and
/// 5.3, and for Secure and SameSite draft-ietf-httpbis-rfc6265bis.
fn refusal(cookie: &Cookie<'_>, page: &Page) -> Option<String> {
    if cookie.secure() == Some(true) && !page.is_secure {
        return Some("the cookie is Secure, and the page is http".to_owned());
    }
    if cookie.same_site() == Some(SameSite::None) && cookie.secure() != Some(true) {
        return Some("the cookie is SameSite=None, which must be Secure".to_owned());
    }
    if let Some(domain) = cookie.domain()
        && !is_of_domain(&page.host, domain)
    {
        let host = &page.host;
        return Some(format!(
            "the cookie is for the domain {domain}, and the page at {host}"
        ));
    }
    let path = cookie.path().filter(|path| path.starts_with('/'));
    if let Some(path) = path
        && !is_below(page.plain_path(), path)
    {
        return Some(format!("the cookie is for the path {path}"));
    }
    None
}

fn is_of_domain(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
    let domain = domain.trim_start_matches('.');
    let before = host.strip_suffix(domain);
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn is_below(path: &str, above: &str) -> bool {
    let rest = path.strip_prefix(above);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || above.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, test_args};

    fn refused(cookie: &str, page: &str) -> Option<String> {
        let settings = config::load(&test_args()).unwrap();
        let page = Page::of(&settings, Some(&page.parse().unwrap())).unwrap();
        refusal(&Cookie::parse(cookie).unwrap(), &page.unwrap())
    }

    #[test]
    fn cookies_are_kept_as_browsers_do() {
        let shop = "http://www.shop.example/cart/1?x=/";
        for kept in [
            "JSESSIONID=x",
            "JSESSIONID=x; Path=/",
            "JSESSIONID=x; Path=/cart",
            "JSESSIONID=x; Path=/cart/; HttpOnly; SameSite=Lax",
            "JSESSIONID=x; Domain=shop.example",
            "JSESSIONID=x; Domain=.Shop.example",
            "JSESSIONID=x; Domain=www.shop.example",
        ] {
            assert_eq!(refused(kept, shop), None, "{kept}");
        }
        for (dropped, why) in [
            ("JSESSIONID=x; Secure", "Secure"),
            ("JSESSIONID=x; SameSite=None", "SameSite"),
            ("JSESSIONID=x; Path=/car", "path /car"),
            ("JSESSIONID=x; Path=/session-test", "path /session-test"),
            ("JSESSIONID=x; Domain=op.example", "domain op.example"),
            (
                "JSESSIONID=x; Domain=a.shop.example",
                "domain a.shop.example",
            ),
        ] {
            let refused = refused(dropped, shop).unwrap();
            assert!(refused.contains(why), "{dropped}: {refused}");
        }
    }

    #[test]
    fn over_tls_secure_cookies_are_kept() {
        let shop = "https://www.shop.example/cart";
        assert_eq!(refused("JSESSIONID=x; Secure", shop), None);
        assert_eq!(refused("JSESSIONID=x; Secure; SameSite=None", shop), None);
        assert!(refused("JSESSIONID=x; SameSite=None", shop).is_some());
        assert!(refused("JSESSIONID=x; Secure; Path=/car", shop).is_some());
    }

    #[test]
    fn a_session_cookie_has_an_id_and_a_node() {
        assert_eq!(parts("abc.node1"), ("abc", "node1"));
        assert_eq!(parts("node2~abc.node1"), ("abc", "node1"));
        assert_eq!(parts("abc"), ("abc", "-"));
    }

    #[test]
    fn pages_are_understood_or_refused() {
        let settings = config::load(&test_args()).unwrap();
        let page = |text: &str| Page::of(&settings, Some(&text.parse().unwrap()));
        let shop = page("http://[::1]:8000/a?b").unwrap().unwrap();
        assert_eq!(
            (&*shop.host, shop.port, &*shop.path),
            ("::1", 8_000, "/a?b")
        );
        let shop = page("https://shop.example/").unwrap().unwrap();
        let balancer = SocketAddr::from(([127, 0, 0, 1], 8_000));
        assert_eq!((shop.is_secure, shop.asked), (true, Some(balancer)));
        assert!(page("ftp://shop.example/").is_err());
        assert!(page("/session-test/").is_err());
    }
}
