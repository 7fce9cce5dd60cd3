//! What a node, a balancer or `up` would refuse at its start although the file is well written.

use std::{fs, net::SocketAddr};

use super::{NodePlace, Settings};
use crate::admin::{self, AdminArgs};

/// A key, and what is wrong with its value.
pub(super) type Refusal = (&'static str, String);

/// Looks without connecting to anything.
pub(super) fn check(settings: &Settings) -> Result<(), Refusal> {
    store(settings)?;
    if let Some(folder) = &settings.webapps {
        let listed = fs::read_dir(folder);
        listed.map_err(|error| ("nodes.webapps", format!("{}: {error}", folder.display())))?;
    }
    if settings.admin_token_file.is_some() {
        let token = admin::token(settings, &AdminArgs { token_file: None });
        token.map_err(|reason| ("admin.token_file", reason))?;
    }
    ports(settings)
}

/// Whether the store's URL says all that it has to.
pub(super) fn store(settings: &Settings) -> Result<(), Refusal> {
    let checked = settings.store.validate();
    checked.map_err(|error| ("store.url", error.to_string()))
}

/// Whether two of those that listen on this machine would take each other's port.
pub(super) fn ports(settings: &Settings) -> Result<(), Refusal> {
    let balancer = [
        ("balancer.stats", settings.balancer.stats),
        ("balancer.http", settings.balancer.listen),
    ];
    let balancer = balancer.into_iter().filter(|_| settings.has_balancer);
    // A node that has no loopback address may be on another machine.
    let here = |node: &&NodePlace| node.address.ip().is_loopback();
    let nodes = settings.nodes.iter().filter(here);
    let places: Vec<_> = balancer
        .chain(nodes.map(|node| (&*node.name, node.listen)))
        .collect();
    for (index, (name, address)) in places.iter().enumerate() {
        for (other, others) in &places[..index] {
            if overlap(*address, *others) {
                let reason = format!("{name} would listen on {address}, and {other} on {others}");
                return Err(("balancer and nodes", reason));
            }
        }
    }
    Ok(())
}

fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && (is_any || one.ip() == other.ip())
}
