//! Making the catalog from the webapps folder, again whenever the folder changes.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use minijinja::{Environment, Value, context};
use seawall_session::SettingsError;
use seawall_store::Batcher;
use tokio::runtime::Handle;

use super::{
    catalog::{Application, Catalog, ROOT},
    file::{File, Kept},
    page::{Page, STEP_LIMIT},
    sites::Sites,
};
use crate::config::NodeConfig;

/// What a page's file name ends with.
const PAGE_SUFFIX: &str = ".j2";

/// More files than this are not looked at, and folders not deeper than this.
const FILE_LIMIT: usize = 20_000;
const DEPTH_LIMIT: usize = 16;

/// The application that is always there, unless a folder takes its place.
const SESSION_TEST: &str = "session-test";
const SESSION_TEST_PAGE: (&str, &str) =
    ("index.html.j2", include_str!("session_test/index.html.j2"));
const SESSION_TEST_STYLE: (&str, &str) = ("style.css", include_str!("session_test/style.css"));

/// Files by application and path, with what tells that one has changed.
type Listing = BTreeMap<(String, String), (PathBuf, u64, SystemTime)>;

/// Keeps the catalog up to date.
#[derive(Debug)]
pub(crate) struct Deployer {
    config: Arc<NodeConfig>,
    batcher: Batcher,
    node: Value,
    /// The managers outlive a redeployment: sessions and their copies stay.
    managers: HashMap<String, Arc<Sites>>,
    /// What all applications share, if they share ids.
    shared: Option<Sites>,
    deployed: Listing,
}

impl Deployer {
    pub(crate) fn new(config: Arc<NodeConfig>, batcher: Batcher, address: SocketAddr) -> Self {
        let name = config.sessions.node.clone();
        let host = nix::unistd::gethostname()
            .ok()
            .and_then(|host| host.into_string().ok());
        let node = context! {
            name => &*name,
            host => host.unwrap_or_else(|| "localhost".to_owned()),
            port => address.port(),
            color => color(&name),
        };
        Self {
            config,
            batcher,
            node,
            managers: HashMap::new(),
            shared: None,
            deployed: Listing::new(),
        }
    }

    /// The runtime that the sessions' tasks run on.
    pub(super) fn runtime(&self) -> Handle {
        self.batcher.runtime().clone()
    }

    /// The catalog as the folder stands now.
    pub(crate) fn deploy(&mut self) -> Catalog {
        self.deployed = self.list();
        self.build()
    }

    /// A new catalog, if the folder has changed.
    pub(crate) fn redeploy(&mut self) -> Option<Catalog> {
        let listing = self.list();
        if listing == self.deployed {
            return None;
        }
        self.deployed = listing;
        tracing::info!("webapps changed, deployed again");
        Some(self.build())
    }

    fn list(&self) -> Listing {
        let mut listing = Listing::new();
        let Some(folder) = &self.config.webapps else {
            return listing;
        };
        if let Err(error) = list_applications(folder, &mut listing) {
            tracing::warn!(folder = %folder.display(), %error, "webapps folder not readable");
            return self.deployed.clone();
        }
        listing
    }

    fn build(&mut self) -> Catalog {
        let mut folders: BTreeMap<String, Vec<(String, PathBuf, u64, SystemTime)>> =
            BTreeMap::new();
        for ((application, name), (path, length, modified)) in &self.deployed {
            let files = folders.entry(application.clone()).or_default();
            files.push((name.clone(), path.clone(), *length, *modified));
        }
        let (mut catalog, mut kept) = (Catalog::default(), Kept::default());
        for (name, files) in folders {
            if let Some(sessions) = self.manager(&name) {
                let application = self.application(&name, sessions, &files, &mut kept);
                catalog.applications.insert(name, application);
            }
        }
        if !catalog.applications.contains_key(SESSION_TEST)
            && let Some(sessions) = self.manager(SESSION_TEST)
        {
            let application = self.session_test(sessions);
            catalog
                .applications
                .insert(SESSION_TEST.to_owned(), application);
        }
        catalog
    }

    fn manager(&mut self, application: &str) -> Option<Arc<Sites>> {
        if let Some(manager) = self.managers.get(application) {
            return Some(manager.clone());
        }
        let sites = context_path(application)
            .and_then(|path| self.sites(&path).map_err(|error| error.to_string()));
        match sites.map(Arc::new) {
            Ok(manager) => {
                self.managers
                    .insert(application.to_owned(), manager.clone());
                Some(manager)
            }
            Err(reason) => {
                tracing::error!(application, %reason, "application not deployed");
                None
            }
        }
    }

    fn sites(&mut self, context_path: &str) -> Result<Sites, SettingsError> {
        if !self.config.sessions.shared_id {
            return Sites::new(&self.config, &self.batcher, context_path);
        }
        let shared = match self.shared.take() {
            Some(shared) => shared,
            None => Sites::new(&self.config, &self.batcher, "/")?,
        };
        self.shared.insert(shared).application(context_path)
    }

    fn application(
        &self,
        name: &str,
        sessions: Arc<Sites>,
        listed: &[(String, PathBuf, u64, SystemTime)],
        kept: &mut Kept,
    ) -> Application {
        let (mut files, mut templates) = (HashMap::new(), Vec::new());
        for (file, path, length, modified) in listed {
            if file.ends_with(PAGE_SUFFIX) {
                match fs::read_to_string(path) {
                    Ok(source) => templates.push((file.clone(), source)),
                    Err(error) => {
                        tracing::error!(page = %path.display(), %error, "page not readable");
                    }
                }
            } else {
                let content = kept.read(path, *length);
                let length = content
                    .as_ref()
                    .map_or(*length, |content| content.len() as u64);
                let content = File::new(path.clone(), length, *modified, content);
                files.insert(file.clone(), Arc::new(content));
            }
        }
        Application {
            pages: self.pages(name, &sessions, templates),
            sessions,
            files,
        }
    }

    fn session_test(&self, sessions: Arc<Sites>) -> Application {
        let (name, source) = SESSION_TEST_PAGE;
        let page = (name.to_owned(), source.to_owned());
        let (name, content) = SESSION_TEST_STYLE;
        let style = Arc::new(File::embedded(name, content));
        Application {
            pages: self.pages(SESSION_TEST, &sessions, vec![page]),
            sessions,
            files: HashMap::from([(name.to_owned(), style)]),
        }
    }

    fn pages(
        &self,
        application: &str,
        sessions: &Arc<Sites>,
        templates: Vec<(String, String)>,
    ) -> HashMap<String, Arc<Page>> {
        let mut environment = Environment::new();
        environment.set_debug(true);
        environment.set_fuel(Some(STEP_LIMIT));
        environment.add_filter("datetime", datetime);
        let names: Vec<String> = templates.iter().map(|(name, _)| name.clone()).collect();
        for (name, source) in templates {
            if let Err(error) = environment.add_template_owned(name.clone(), source) {
                tracing::error!(
                    application,
                    page = name,
                    error = format!("{error:#}"),
                    "page not deployed"
                );
            }
        }
        let environment = Arc::new(environment);
        let page = |template: String| {
            let address = template.trim_end_matches(PAGE_SUFFIX).to_owned();
            let page = Page {
                application: application.into(),
                template,
                environment: environment.clone(),
                sessions: sessions.clone(),
                node: self.node.clone(),
            };
            (address, Arc::new(page))
        };
        names.into_iter().map(page).collect()
    }
}

/// The path of the application in a folder of this name. The path of a cookie is compared with what
/// stands in the request line, where other characters would be encoded.
fn context_path(folder: &str) -> Result<String, String> {
    let stands_for_itself = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&b);
    if folder == ROOT {
        Ok("/".to_owned())
    } else if folder.bytes().all(stands_for_itself) {
        Ok(format!("/{folder}"))
    } else {
        Err(
            "the folder's name is its address: use letters without accents, digits and - . _"
                .into(),
        )
    }
}

fn list_applications(folder: &Path, listing: &mut Listing) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(name) = visible_name(&entry) else {
            continue;
        };
        if entry.file_type()?.is_dir() {
            list_files(&entry.path(), &name, "", DEPTH_LIMIT, listing)?;
        }
    }
    Ok(())
}

/// Lists the files below a folder. Links are not followed: they could lead out of it.
fn list_files(
    folder: &Path,
    application: &str,
    prefix: &str,
    depth: usize,
    listing: &mut Listing,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(name) = visible_name(&entry) else {
            continue;
        };
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            let prefix = format!("{prefix}{name}/");
            list_files(&entry.path(), application, &prefix, depth - 1, listing)?;
        } else if kind.is_file() && listing.len() < FILE_LIMIT {
            let metadata = entry.metadata()?;
            let key = (application.to_owned(), format!("{prefix}{name}"));
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            listing.insert(key, (entry.path(), metadata.len(), modified));
        }
    }
    Ok(())
}

/// The entry's name, unless it is hidden or not text.
fn visible_name(entry: &fs::DirEntry) -> Option<String> {
    entry
        .file_name()
        .into_string()
        .ok()
        .filter(|name| !name.starts_with('.'))
}

/// A colour of its own for each node's name.
fn color(name: &str) -> String {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // A golden-angle step keeps names that differ in one digit apart.
    let hue = (hash % 360) * 137 % 360;
    format!("hsl({hue} 70% 32%)")
}

/// `2026-11-24 08:00:00 UTC`, from milliseconds since the Unix epoch.
fn datetime(millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_nodes_have_different_colours() {
        assert_ne!(color("node1"), color("node2"));
        assert_eq!(color("node1"), color("node1"));
    }

    #[test]
    fn the_name_of_a_folder_is_its_address() {
        assert_eq!(context_path("ROOT").as_deref(), Ok("/"));
        assert_eq!(context_path("shop-1.x").as_deref(), Ok("/shop-1.x"));
        for name in ["sh op", "\u{fc}mlaut", "100%", "a;b"] {
            assert!(
                context_path(name)
                    .unwrap_err()
                    .contains("the folder's name")
            );
        }
    }

    #[test]
    fn times_are_written_out() {
        assert_eq!(datetime(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(datetime(i64::MAX), "unknown");
    }
}
