//! The applications of a node at one moment, and the way from a path to what answers there.
//!
//! Paths are looked up among what the last look at the folder found, never in the file system; so
//! no path leads out of an application.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::Arc,
};

use http::{Response, StatusCode};
use percent_encoding::percent_decode_str;
use seawall_session::SessionStatistics;

use super::{file::File, page::Page, sites::Sites};
use crate::respond::{self, Body};

/// The folder whose application answers at `/`.
pub(crate) const ROOT: &str = "ROOT";

/// What answers at a path.
#[derive(Debug)]
pub(crate) enum Resource {
    /// A static file.
    File(Arc<File>),
    /// The list of applications.
    Index,
    /// The same path with a slash at its end.
    Moved(String),
    /// A page.
    Page(Arc<Page>),
}

/// One application.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) sessions: Arc<Sites>,
    /// Pages and files by their path below the application, without a leading slash.
    pub(crate) pages: HashMap<String, Arc<Page>>,
    pub(crate) files: HashMap<String, Arc<File>>,
}

impl Application {
    fn find(&self, path: &str) -> Option<Resource> {
        let index;
        let name = if path.is_empty() || path.ends_with('/') {
            index = format!("{path}index.html");
            &index
        } else {
            path
        };
        let page = self.pages.get(name).cloned().map(Resource::Page);
        page.or_else(|| self.files.get(name).cloned().map(Resource::File))
    }
}

/// All applications, by the name of their folder.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) applications: BTreeMap<String, Application>,
}

impl Catalog {
    /// What answers at a path, as it stands in the request line.
    pub(crate) fn find(&self, raw: &str) -> Option<Resource> {
        let path = percent_decode_str(raw).decode_utf8().ok()?;
        let path = path.strip_prefix('/')?;
        let (first, rest) = path.split_once('/').unwrap_or((path, ""));
        let application = self.applications.get(first).filter(|_| first != ROOT);
        match application {
            Some(application) if path.contains('/') => find_below(application, rest, raw),
            Some(_) => Some(Resource::Moved(format!("{raw}/"))),
            None => match self.applications.get(ROOT) {
                Some(root) => find_below(root, path, raw),
                None => path.is_empty().then_some(Resource::Index),
            },
        }
    }

    /// How many sessions this node holds copies of.
    pub(crate) fn cached_sessions(&self) -> usize {
        let sessions = self.applications.values().map(|own| &own.sessions);
        // Where applications share sessions, they all hold the same copies.
        let is_shared = sessions.clone().any(|sessions| sessions.is_shared());
        let counted = if is_shared { 1 } else { usize::MAX };
        let counts = sessions.take(counted).map(|own| own.cached_sessions());
        counts.sum()
    }

    /// What each application's sessions have done, by the name of its folder; `*` where they share
    /// their sessions.
    pub(crate) fn statistics(&self) -> Vec<(&str, SessionStatistics)> {
        let of = |(name, own): (_, &Application)| (name, own.sessions.statistics());
        let mut all = self.applications.iter();
        if all.clone().any(|(_, own)| own.sessions.is_shared()) {
            return all
                .next()
                .map(|(_, own)| of(("*", own)))
                .into_iter()
                .collect();
        }
        all.map(|(name, own)| of((&**name, own))).collect()
    }

    /// The list of applications. Making it makes no session.
    pub(crate) fn index(&self) -> Response<Body> {
        let mut list = String::new();
        for name in self
            .applications
            .keys()
            .filter(|name| name.bytes().all(is_plain))
        {
            let _ = write!(list, "<li><a href=\"/{name}/\">{name}</a></li>");
        }
        respond::page(
            StatusCode::OK,
            format!(
                "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
                 <meta name=\"viewport\" content=\"width=device-width\"><title>Seawall</title>\
                 <body style=\"font: 1rem/1.5 system-ui; max-width: 36rem; margin: 4rem auto; \
                 padding: 0 1rem\"><h1>Applications</h1><ul>{list}</ul></body></html>\n"
            ),
        )
    }
}

fn find_below(application: &Application, path: &str, raw: &str) -> Option<Resource> {
    application.find(path).or_else(|| {
        let folder = format!("{path}/");
        application
            .find(&folder)
            .is_some()
            .then(|| Resource::Moved(format!("{raw}/")))
    })
}

/// Names that need no escaping in a page or an address; others are served, but not listed.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
}
