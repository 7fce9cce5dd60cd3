//! The systemd units: their files, and that they run.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use seawall_store::StoreUrl;

use super::{
    plan::{ADMIN_TOKEN, CONFIG, Inputs, PASSWORD, PROGRAM, UNITS, addresses},
    step::{Access, Contents, Step},
};

const HARDENING: &str = include_str!("units/hardening.conf");
const TARGET: &str = include_str!("units/seawall.target");
const NODE: &str = include_str!("units/seawall-node@.service");
const BALANCER: [(&str, &str); 3] = [
    (
        "seawall-balancer.socket",
        include_str!("units/seawall-balancer.socket"),
    ),
    (
        "seawall-balancer-stats.socket",
        include_str!("units/seawall-balancer-stats.socket"),
    ),
    (
        "seawall-balancer.service",
        include_str!("units/seawall-balancer.service"),
    ),
];
const TIMERS: [(&str, &str); 4] = [
    (
        "seawall-health.service",
        include_str!("units/seawall-health.service"),
    ),
    (
        "seawall-health.timer",
        include_str!("units/seawall-health.timer"),
    ),
    (
        "seawall-sweep.service",
        include_str!("units/seawall-sweep.service"),
    ),
    (
        "seawall-sweep.timer",
        include_str!("units/seawall-sweep.timer"),
    ),
];

/// The unit files, and the links that enable them.
pub(super) fn files(inputs: &Inputs<'_>, data: Option<&Path>) -> Vec<Step> {
    let mut files = vec![("seawall.target", TARGET)];
    if !inputs.here.is_empty() {
        files.push(("seawall-node@.service", NODE));
    }
    if inputs.options.balancer {
        files.extend(BALANCER);
    }
    files.extend(TIMERS);
    let file = |(name, template): (&str, &str)| Step::File {
        path: unit_file(name),
        access: Access::public(0o644),
        contents: Contents::Text(fill_in(name, template, inputs, data)),
        data: false,
    };
    let files = files.into_iter().map(file);
    let enabled = enabled(inputs).into_iter().map(|unit| Step::Link {
        path: Path::new(UNITS).join("seawall.target.wants").join(&unit),
        target: unit_file(&template_of(&unit)),
    });
    let target = Step::Link {
        path: Path::new(UNITS).join("multi-user.target.wants/seawall.target"),
        target: unit_file("seawall.target"),
    };
    files.chain(enabled).chain([target]).collect()
}

/// That the units run, in the order in which they are started: nodes one after the other, so that
/// an upgrade leaves all but one to the clients.
pub(super) fn services(inputs: &Inputs<'_>) -> Vec<Step> {
    let mut units = enabled(inputs);
    units.push("seawall.target".to_owned());
    let uses = |unit: &str| {
        let mut uses = vec![unit_file(&template_of(unit))];
        if unit.ends_with(".service") {
            uses.extend([PROGRAM, CONFIG, PASSWORD, ADMIN_TOKEN].map(PathBuf::from));
        }
        uses
    };
    units
        .into_iter()
        .map(|unit| Step::Service {
            uses: uses(&unit),
            unit,
        })
        .collect()
}

/// Where the units will listen. Nodes whose name is unknown listen nowhere.
pub(super) fn listeners(inputs: &Inputs<'_>) -> Vec<(String, SocketAddr)> {
    let nodes = inputs.here.iter().filter_map(|name| {
        let node = inputs.settings.nodes.find(name).ok()?;
        Some((format!("seawall-node@{name}.service"), node.listen))
    });
    let sockets = ["seawall-balancer.socket", "seawall-balancer-stats.socket"].map(str::to_owned);
    let balancer = sockets.into_iter().zip(addresses(inputs.settings));
    let is_wanted = |_: &(String, SocketAddr)| inputs.options.balancer;
    nodes.chain(balancer.filter(is_wanted)).collect()
}

/// What seawall.target starts on this machine.
fn enabled(inputs: &Inputs<'_>) -> Vec<String> {
    let nodes = inputs.here.iter();
    let mut units: Vec<_> = nodes
        .map(|node| format!("seawall-node@{node}.service"))
        .collect();
    if inputs.options.balancer {
        units.extend(BALANCER.iter().map(|(name, _)| (*name).to_owned()));
    }
    units.extend(["seawall-health.timer", "seawall-sweep.timer"].map(str::to_owned));
    units
}

fn unit_file(name: &str) -> PathBuf {
    Path::new(UNITS).join(name)
}

/// `seawall-node@node1.service` is made from `seawall-node@.service`.
fn template_of(unit: &str) -> String {
    match unit.split_once('@') {
        Some((name, _)) => format!("{name}@.service"),
        None => unit.to_owned(),
    }
}

/// Whom the socket of the statistics answers, beside the firewall: its rules are gone for a while
/// when somebody loads others by hand.
fn access(inputs: &Inputs<'_>) -> String {
    let [_, stats] = addresses(inputs.settings);
    match inputs.options.stats_from {
        Some(source) if stats.ip().is_unspecified() => {
            format!("IPAddressDeny=any\nIPAddressAllow=localhost {source}")
        }
        Some(source) if !stats.ip().is_loopback() => {
            format!(
                "IPAddressDeny=any\nIPAddressAllow=localhost {} {source}",
                stats.ip()
            )
        }
        _ => String::new(),
    }
}

/// As systemd reads words of a list (systemd.syntax(7)), in which `%` begins a specifier.
fn quoted(word: &str) -> String {
    let word = word.replace('%', "%%");
    let is_plain = |c: char| c.is_alphanumeric() || "/-_.,:+@%".contains(c);
    match word.chars().all(is_plain) {
        true => word,
        false => format!("\"{}\"", word.replace('\\', r"\\").replace('"', r#"\""#)),
    }
}

fn fill_in(name: &str, template: &str, inputs: &Inputs<'_>, data: Option<&Path>) -> String {
    let [http, stats] = addresses(inputs.settings).map(|address| address.to_string());
    let address = match name {
        "seawall-balancer-stats.socket" => stats,
        _ => http,
    };
    // A node that hangs in a transaction of the embedded store keeps the other nodes from writing,
    // whose requests wait for 5 s; on a server it holds nothing.
    let watchdog = match inputs.settings.store {
        StoreUrl::Sqlite(_) => "3",
        _ => "10",
    };
    let database = match inputs.options.postgres {
        true => "postgresql.service",
        false => "",
    };
    let writes = data.map(|path| quoted(&path.display().to_string()));
    let text = template
        .replace("@HARDENING@", HARDENING.trim_end())
        .replace("@PROGRAM@", PROGRAM)
        .replace("@CONFIG@", CONFIG)
        .replace("@ADDRESS@", &address)
        .replace("@ACCESS@", &access(inputs))
        .replace("@WATCHDOG@", watchdog)
        .replace("@DATABASE@", database)
        .replace("@WRITES@", &writes.unwrap_or_default());
    let lines = text.lines().map(str::trim_end);
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_written_as_systemd_reads_them() {
        for (folder, written) in [
            ("/var/lib/seawall/data", "/var/lib/seawall/data"),
            ("/srv/my data", "\"/srv/my data\""),
            ("/srv/100%", "/srv/100%%"),
            (r#"/srv/a"b\c"#, r#""/srv/a\"b\\c""#),
        ] {
            assert_eq!(quoted(folder), written);
        }
    }
}
