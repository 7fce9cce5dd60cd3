//! What `seawall up` is going to run, and where.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use seawall_net::{Address, SOCKET_PATH_MAX};

use super::{Child, watch::Watch};
use crate::{
    cli::{Stick, UpArgs},
    config::Settings,
    node::cores,
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
        settings.nodes = args.nodes.unwrap_or(settings.nodes);
        settings.node_port = args.node_port.unwrap_or(settings.node_port);
        if settings.nodes == 0 {
            return Err("--nodes 0: a cluster has at least one node".to_owned());
        }
        if settings.node_port.checked_add(settings.nodes - 1).is_none() {
            return Err("--node-port: the last node's port would exceed 65535".to_owned());
        }
        args.front.apply(&mut settings.balancer);
        Ok(Self {
            settings,
            config: args.config.config.clone(),
            log: log.to_owned(),
        })
    }

    /// Where a node listens for the balancer, if the path is not too long for a socket. The port
    /// keeps apart two clusters that share a data folder.
    fn socket(&self, name: &str, address: SocketAddr) -> Option<PathBuf> {
        let file = format!("{name}-{}.sock", address.port());
        let path = std::path::absolute(&self.settings.data).ok()?.join(file);
        (path.as_os_str().len() <= SOCKET_PATH_MAX).then_some(path)
    }

    /// The nodes' names and addresses.
    fn nodes(&self) -> impl Iterator<Item = (String, SocketAddr)> {
        let first = self.settings.node_port;
        (0..self.settings.nodes).map(move |index| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, first + index));
            (format!("node{}", index + 1), address)
        })
    }

    /// Where the cluster must answer before it is ready.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let nodes = self.nodes().map(|(_, address)| address);
        nodes.chain([self.settings.balancer.listen]).collect()
    }

    /// Where the balancer says how its servers are.
    pub(super) fn stats(&self) -> SocketAddr {
        self.settings.balancer.stats
    }

    /// Says plainly that a port is taken, before anything is started.
    pub(super) fn check_ports(&self) -> Result<(), String> {
        for (name, address) in self.nodes() {
            TcpListener::bind(address).map_err(|error| {
                format!(
                    "{name} cannot listen on {address}: {error}; end what uses the port, or choose \
                     another with --node-port"
                )
            })?;
        }
        let front = &self.settings.balancer;
        for (option, address) in [("--http", front.listen), ("--stats", front.stats)] {
            TcpListener::bind(address).map_err(|error| {
                format!(
                    "the balancer cannot listen on {address}: {error}; end what uses the port, or \
                     choose another with {option}"
                )
            })?;
        }
        Ok(())
    }

    pub(super) fn make_data_folder(&self) -> Result<(), String> {
        let folder = &self.settings.data;
        fs::create_dir_all(folder).map_err(|error| {
            format!(
                "data folder {}: {error}; choose another with --data",
                folder.display()
            )
        })
    }

    pub(super) fn children(&self) -> Result<Vec<Child>, String> {
        let program = std::env::current_exe()
            .map_err(|error| format!("this program cannot be found again: {error}"))?;
        let workers = (cores() / usize::from(self.settings.nodes)).max(1);
        let child = |(name, address): (String, SocketAddr)| {
            let path = "/.seawall/health";
            let mut child = Child::new(&name, &program, Watch { address, path });
            child.argument("--log", &self.log).word("node");
            child
                .argument("--name", &name)
                .argument("--listen", &address.to_string());
            child
                .argument("--workers", &workers.to_string())
                .word("--parent-pipe");
            if let Some(socket) = self.socket(&name, address) {
                child.argument("--socket", &socket.display().to_string());
            }
            if let Some(config) = &self.config {
                child.argument("--config", &config.display().to_string());
            }
            if let Some(webapps) = &self.settings.webapps {
                child.argument("--webapps", &webapps.display().to_string());
            }
            // A URL with a password must not stand on a command line, where others can see it.
            child.environment("SEAWALL_STORE_URL", &self.store_url());
            child
        };
        let nodes = self.nodes().map(child);
        Ok(nodes.chain([self.balancer(&program)]).collect())
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
        child.argument("--stick", Stick::word(front.sticky));
        if let Some(config) = &self.config {
            child.argument("--config", &config.display().to_string());
        }
        for (name, address) in self.nodes() {
            let address = match self.socket(&name, address) {
                Some(path) => Address::Unix(path.into()),
                None => Address::Tcp(address),
            };
            child.argument("--server", &format!("{name}={address}"));
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
        for (name, address) in self.nodes() {
            text += &format!("  {name}  http://{address}/session-test/\n");
        }
        text += &format!("  store  {}\n", self.settings.store);
        text += "Ctrl-C ends everything.";
        text
    }
}
