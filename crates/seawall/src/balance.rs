//! `seawall balance`: the balancer.

use seawall_balancer::{Balancer, BalancerConfig, ServerConfig};
use seawall_net::{AddressError, Shutdown};

use crate::{
    cli::BalanceArgs,
    config::{Settings, parse_name},
    node::{cores, end_on_signal},
    open_files, parent, service,
};

/// Runs a balancer until it is asked to end.
pub(crate) fn run(settings: Settings, args: &BalanceArgs) -> Result<(), String> {
    open_files::raise_limit();
    if !settings.has_balancer {
        let file = settings.file.display();
        return Err(format!(
            "{file}: balancer.enabled is false, so there is no balancer to run"
        ));
    }
    let servers = if args.servers.is_empty() {
        settings.nodes.servers()
    } else {
        args.servers.clone()
    };
    let workers = args.workers.unwrap_or_else(|| (cores() / 2).max(1));
    let pulse = service::pulse(workers);
    let mut config = BalancerConfig {
        servers,
        workers,
        pulse: pulse.clone(),
        trusted_proxies: settings.trusted_proxies,
        ..settings.balancer
    };
    args.front.apply(&mut config);
    // A client's connection, and the one to a server that its request takes.
    let most = config.limits.connections_max;
    config.limits.connections_max = open_files::connections(most, workers, 2);
    let wanted = config.listen;
    let inherited = service::inherited()?;
    let shutdown = Shutdown::new();
    if args.parent_pipe {
        parent::end_with_parent(shutdown.clone());
    }
    end_on_signal(&shutdown)?;
    let balancer = Balancer::bind_with(config, inherited).map_err(|error| error.to_string())?;
    let (address, stats) = (balancer.local_addr(), balancer.stats_addr());
    tracing::info!(%address, %stats, "balancer serves");
    if wanted.port() != 0 && wanted != address {
        tracing::warn!(%wanted, "the socket unit has another address than the settings; run `seawall install` again");
    }
    let telling = service::tell(pulse, shutdown.clone())?;
    let ended = balancer.run(shutdown);
    telling.end();
    ended.map_err(|error| error.to_string())?;
    tracing::info!("balancer ended");
    Ok(())
}

/// Reads `NAME=ADDRESS` or `NAME=ADDRESS,weight=N`.
pub(crate) fn parse_server(text: &str) -> Result<ServerConfig, String> {
    let (name, rest) = text.split_once('=').ok_or("write NAME=ADDRESS")?;
    let name = parse_name(name)?;
    let (address, weight) = match rest.split_once(",weight=") {
        Some((address, weight)) => {
            let weight = weight
                .parse()
                .map_err(|_| format!("weight {weight:?} is no number"))?;
            (address, weight)
        }
        None => (rest, 1),
    };
    let address = address
        .parse()
        .map_err(|error: AddressError| error.to_string())?;
    Ok(ServerConfig {
        name: name.into(),
        address,
        weight,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        let server = parse_server("node1=127.0.0.1:8080,weight=3").unwrap();
        assert_eq!(
            (&*server.name, &*server.address.to_string(), server.weight),
            ("node1", "127.0.0.1:8080", 3)
        );
        for text in [
            "",
            "node1",
            "node1=nowhere",
            "node1=127.0.0.1:80,weight=x",
            "a/b=127.0.0.1:80",
        ] {
            assert!(parse_server(text).is_err(), "{text}");
        }
    }
}
