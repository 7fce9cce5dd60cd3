//! What `seawall up` is going to run, and where.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use seawall_net::{Address, BindError, Listeners, SOCKET_PATH_MAX};
use seawall_store::StoreUrl;

use super::{Child, lock::FolderLock, watch::Watch};
use crate::{
    admin,
    cli::UpArgs,
    config::{NO_PORT, NodePlace, Nodes, STORE_VARIABLE, Settings},
    node::{WORKERS_MAX, cores},
};

/// The processes of a cluster on this machine.
#[derive(Debug)]
pub(super) struct Plan {
    settings: Settings,
    config: Option<PathBuf>,
    log: String,
}

impl Plan {
    pub(super) fn new(settings: Settings, args: &UpArgs, log: &str) -> Result<Self, String> {
        let mut settings = settings;
        if let Some(data) = &args.data {
            settings = settings.with_data(data.clone());
        }
        if args.nodes.is_some() || args.node_port.is_some() {
            let count = args.nodes.unwrap_or(settings.node_count);
            let port = args.node_port.unwrap_or(settings.node_port);
            settings.nodes = Nodes::on_this_machine(count, port)
                .map_err(|reason| format!("--nodes and --node-port: {reason}"))?;
        }
        if settings.nodes.is_empty() || !settings.has_balancer {
            return Err(
                "`up` runs a balancer and at least one node, and balancer.enabled and nodes.count (or \
                 --nodes) say otherwise; start what there is with `seawall node` or `seawall balance`"
                    .to_owned(),
            );
        }
        if let Some(node) = settings.nodes.elsewhere() {
            return Err(format!(
                "{} is at {}, which is not this machine: `up` runs a cluster on one machine; start \
                 the nodes with `seawall node --name NAME` and the balancer with `seawall balance`",
                node.name, node.address
            ));
        }
        args.front.apply(&mut settings.balancer);
        settings.check_ports().map_err(|reason| {
            format!("{reason}; choose other ports with --http, --stats or --node-port")
        })?;
        Ok(Self {
            settings,
            config: args.config.config.clone(),
            log: log.to_owned(),
        })
    }

    /// Where a node listens for the balancer, if the path is not too long for a socket. The port
    /// keeps it apart from a node that is still ending after its `up` was killed.
    fn socket(&self, name: &str, address: SocketAddr) -> Option<PathBuf> {
        let file = format!("{name}-{}.sock", address.port());
        let path = std::path::absolute(&self.settings.data).ok()?.join(file);
        (path.as_os_str().len() <= SOCKET_PATH_MAX).then_some(path)
    }

    fn nodes(&self) -> impl Iterator<Item = &NodePlace> {
        self.settings.nodes.iter()
    }

    /// Where the cluster must answer before it is ready.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let nodes = self.nodes().map(|node| node.address);
        nodes.chain([self.settings.balancer.listen]).collect()
    }

    /// Where the balancer says how its servers are.
    pub(super) fn stats(&self) -> SocketAddr {
        self.settings.balancer.stats
    }

    pub(super) fn warn_of_separate_stores(&self) {
        let nodes = self.settings.nodes.len();
        if self.settings.store == StoreUrl::Memory && nodes > 1 {
            tracing::warn!(
                "with memory: each of the {nodes} nodes has a store of its own: a session is lost \
                 when its client moves to another node, or the node ends"
            );
        }
    }

    /// Says plainly where something cannot listen, before anything is started.
    pub(super) fn check_ports(&self) -> Result<(), String> {
        for NodePlace { name, listen, .. } in self.nodes() {
            free(*listen).map_err(|error| format!("{name} (--node-port): {error}"))?;
        }
        let front = &self.settings.balancer;
        for (option, address) in [("--http", front.listen), ("--stats", front.stats)] {
            if address.port() == 0 {
                return Err(format!("{option}: {NO_PORT}"));
            }
            free(address).map_err(|error| format!("the balancer ({option}): {error}"))?;
        }
        Ok(())
    }

    /// Makes the folder if need be, and holds it for this process.
    pub(super) fn take_data_folder(&self) -> Result<FolderLock, String> {
        let folder = &self.settings.data;
        fs::create_dir_all(folder).map_err(|error| {
            format!(
                "data folder {}: {error}; choose another with --data",
                folder.display()
            )
        })?;
        FolderLock::take(folder)
    }

    /// Without it the nodes could not be drained.
    pub(super) fn make_admin_token(&mut self) -> Result<(), String> {
        let path = admin::make(&self.settings)?;
        self.settings.admin_token_file = Some(path);
        Ok(())
    }

    /// The nodes, and the balancer before them.
    pub(super) fn children(&self) -> Result<(Vec<Child>, Child), String> {
        let program = std::env::current_exe()
            .map_err(|error| format!("this program cannot be found again: {error}"))?;
        let workers = (cores() / self.settings.nodes.len()).clamp(1, WORKERS_MAX);
        let child = |place: &NodePlace| {
            let NodePlace { name, listen, .. } = place;
            let (address, path) = (place.address, "/.seawall/health");
            let mut child = Child::new(name, &program, Watch { address, path });
            child.argument("--log", &self.log).word("node");
            child
                .argument("--name", name)
                .argument("--listen", &listen.to_string());
            child
                .argument("--workers", &workers.to_string())
                .word("--parent-pipe");
            if let Some(socket) = self.socket(name, address) {
                child.argument("--socket", &socket.display().to_string());
            }
            if let Some(config) = &self.config {
                child.argument("--config", &config.display().to_string());
            }
            if let Some(webapps) = &self.settings.webapps {
                child.argument("--webapps", &webapps.display().to_string());
            }
            // A URL with a password must not stand on a command line, where others can see it.
            child.environment(STORE_VARIABLE, &self.store_url());
            if let Some(path) = &self.settings.admin_token_file {
                child.environment("SEAWALL_ADMIN_TOKEN_FILE", &path.display().to_string());
            }
            child
        };
        let nodes = self.nodes().map(child).collect();
        Ok((nodes, self.balancer(&program)))
    }

    fn balancer(&self, program: &Path) -> Child {
        let front = &self.settings.balancer;
        let watch = Watch {
            address: front.stats,
            path: "/health",
        };
        let mut child = Child::new("balancer", program, watch);
        child
            .argument("--log", &self.log)
            .word("balance")
            .word("--parent-pipe");
        child.argument("--http", &front.listen.to_string());
        child.argument("--stats", &front.stats.to_string());
        child.argument("--stick", front.sticky.word());
        if let Some(config) = &self.config {
            child.argument("--config", &config.display().to_string());
        }
        for node in self.nodes() {
            let (name, weight) = (&node.name, node.weight);
            let address = match self.socket(name, node.address) {
                Some(path) => Address::Unix(path.into()),
                None => Address::Tcp(node.address),
            };
            child.argument("--server", &format!("{name}={address},weight={weight}"));
        }
        child
    }

    fn store_url(&self) -> String {
        if self.settings.store_url.is_empty() {
            self.settings.store.to_string()
        } else {
            self.settings.store_url.clone()
        }
    }

    /// What the person at the terminal gets to read when all is ready.
    pub(super) fn welcome(&self) -> String {
        let front = &self.settings.balancer;
        let mut text = String::from("Seawall is up.\n");
        text += &format!("  page   http://{}/session-test/\n", front.listen);
        text += &format!("  stats  http://{}/stats\n", front.stats);
        for NodePlace { name, address, .. } in self.nodes() {
            text += &format!("  {name}  http://{address}/session-test/\n");
        }
        text += &format!("  store  {}\n", self.settings.store);
        text += "Ctrl-C ends everything.";
        text
    }
}

/// Whether somebody could listen there, in the words of those who are going to.
fn free(address: SocketAddr) -> Result<(), BindError> {
    Listeners::bind(address, 1).map(drop)
}
