//! The nodes of a cluster, on one machine or on several.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use seawall_balancer::ServerConfig;

use super::raw;

/// Why nothing that others are to find has port 0.
pub(crate) const NO_PORT: &str = "port 0 stands for another port at each start, where nobody finds it; choose one from 1 to 65535";

/// The most nodes that are made by number: each is a process, and serves with threads of its own.
const COUNT_MAX: u16 = 64;

/// A node and its place in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodePlace {
    /// Unique in the cluster.
    pub(crate) name: Arc<str>,
    /// Where others reach it.
    pub(crate) address: SocketAddr,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Its share of the clients.
    pub(crate) weight: u32,
}

/// The nodes of a cluster, each with a name and an address of its own; none where a balancer is in
/// front of other servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Nodes(Vec<NodePlace>);

impl Nodes {
    /// `count` nodes of this machine: `node1` on `first_port`, the others on the ports after it.
    pub(crate) fn on_this_machine(count: u16, first_port: u16) -> Result<Self, String> {
        if count > COUNT_MAX {
            return Err(format!(
                "{count} nodes are too many for one machine; choose up to {COUNT_MAX}"
            ));
        }
        if first_port == 0 {
            return Err(NO_PORT.to_owned());
        }
        if first_port.checked_add(count.saturating_sub(1)).is_none() {
            return Err("the last node's port would exceed 65535; choose a lower one".to_owned());
        }
        let place = |index: u16| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, first_port + index));
            NodePlace {
                name: format!("node{}", index + 1).into(),
                address,
                listen: address,
                weight: 1,
            }
        };
        Ok(Self((0..count).map(place).collect()))
    }

    /// The nodes that a file lists.
    pub(super) fn listed(list: &[raw::Node]) -> Result<Self, String> {
        let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for node in list {
            if !names.insert(&node.name) {
                return Err(format!(
                    "two nodes are named {:?}; names are unique",
                    node.name
                ));
            }
            if !addresses.insert(node.address) {
                let (name, address) = (&node.name, node.address);
                return Err(format!(
                    "{name}: another node has the address {address} already"
                ));
            }
            if [Some(node.address), node.listen]
                .iter()
                .flatten()
                .any(has_no_port)
            {
                return Err(format!("{}: {NO_PORT}", node.name));
            }
            if node.weight > 256 {
                return Err(format!("{}: weights go from 0 to 256", node.name));
            }
        }
        let place = |node: &raw::Node| NodePlace {
            name: node.name.as_str().into(),
            address: node.address,
            listen: node.listen.unwrap_or(node.address),
            weight: node.weight,
        };
        Ok(Self(list.iter().map(place).collect()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &NodePlace> {
        self.0.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The node of that name.
    pub(crate) fn find(&self, name: &str) -> Result<&NodePlace, String> {
        let found = self.iter().find(|node| &*node.name == name);
        found.ok_or_else(|| {
            let names: Vec<_> = self.iter().map(|node| &*node.name).collect();
            if names.is_empty() {
                return "there are no nodes: nodes.count is 0".to_owned();
            }
            let names = names.join(", ");
            format!("no node is named {name:?}; the configuration has {names}")
        })
    }

    /// The first node that is not on this machine.
    pub(crate) fn elsewhere(&self) -> Option<&NodePlace> {
        self.iter().find(|node| !node.address.ip().is_loopback())
    }

    /// The nodes as a balancer's servers.
    pub(crate) fn servers(&self) -> Vec<ServerConfig> {
        let server = |node: &NodePlace| ServerConfig {
            name: node.name.clone(),
            address: node.address.into(),
            weight: node.weight,
        };
        self.iter().map(server).collect()
    }
}

fn has_no_port(address: &SocketAddr) -> bool {
    address.port() == 0
}
