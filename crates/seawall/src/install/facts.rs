//! What the system is like that is installed into.

use std::{
    fs,
    net::{IpAddr, UdpSocket},
    path::Path,
};

use serde_json::Value;

use super::{
    InstallError,
    plan::USER,
    step::Call,
    target::{Target, run, succeeds},
};

/// What a plan depends on beside settings and options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) distribution: Distribution,
    /// Whether commands can be run there, and services started.
    pub(super) is_live: bool,
    pub(super) firewall: Firewall,
    /// Whom rsyslog writes as, if it is installed.
    pub(super) rsyslog: Option<LogOwner>,
    pub(super) has_logrotate: bool,
    /// Whether PostgreSQL's server is there already.
    pub(super) has_postgres: bool,
    /// The shell of the services' user, if that is there already and may log in.
    pub(super) login_shell: Option<String>,
}

/// By whose packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Distribution {
    /// Debian, Ubuntu.
    Debian,
    /// AlmaLinux, Rocky, Red Hat, Fedora.
    RedHat,
    Other,
}

/// User and group of the log files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogOwner {
    pub(super) user: String,
    pub(super) group: String,
}

/// The firewall that is active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Firewall {
    None,
    Firewalld,
    /// With the chains that decide on what comes in: family, table, chain.
    Nftables(Vec<[String; 3]>),
    /// With the rules that were added, as `ufw show added` prints them.
    Ufw(Vec<String>),
    /// Only root can ask.
    Unseen,
}

/// Looks at the system.
pub(super) fn look(target: &Target) -> Result<Facts, InstallError> {
    let release = target.read_text("/etc/os-release")?.unwrap_or_default();
    Ok(Facts {
        distribution: distribution(&release),
        is_live: target.is_live,
        firewall: match target.is_live {
            true if !is_root() => Firewall::Unseen,
            true => firewall(target)?,
            false => Firewall::None,
        },
        rsyslog: rsyslog(target)?,
        has_logrotate: target.has_program("logrotate"),
        has_postgres: has_postgres(target),
        login_shell: login_shell(target)?,
    })
}

/// Whether this may change the system, and see all of it.
pub(super) fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// Debian keeps the servers of all versions apart, and their tools in a package of its own.
fn has_postgres(target: &Target) -> bool {
    let versions = fs::read_dir(target.followed(Path::new("/usr/lib/postgresql")));
    let mut versions = versions.into_iter().flatten().flatten();
    versions.any(|version| version.path().join("bin/postgres").is_file())
        || target.has_program("postgresql-setup")
}

fn login_shell(target: &Target) -> Result<Option<String>, InstallError> {
    let user = target.account("/etc/passwd", USER)?;
    let shell = user.and_then(|fields| fields.get(5).cloned());
    let lets_in = |shell: &String| !["nologin", "false"].iter().any(|no| shell.ends_with(no));
    Ok(shell.filter(lets_in))
}

/// Whether an address is one of this machine's.
pub(super) fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

fn distribution(release: &str) -> Distribution {
    let words: Vec<_> = release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or(line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split(' '))
        .collect();
    if words
        .iter()
        .any(|&word| word == "debian" || word == "ubuntu")
    {
        Distribution::Debian
    } else if words.iter().any(|&word| word == "rhel" || word == "fedora") {
        Distribution::RedHat
    } else {
        Distribution::Other
    }
}

fn rsyslog(target: &Target) -> Result<Option<LogOwner>, InstallError> {
    if !target.has_program("rsyslogd") {
        return Ok(None);
    }
    let settings = target.read_text("/etc/rsyslog.conf")?.unwrap_or_default();
    let group = match target.group_id("adm")? {
        Some(_) => "adm",
        None => "root",
    };
    Ok(Some(log_owner(&settings, group)))
}

/// Ubuntu's rsyslog gives up root's rights; the others' keep them.
fn log_owner(settings: &str, group: &str) -> LogOwner {
    let user = settings
        .lines()
        .find_map(|line| line.trim().strip_prefix("$PrivDropToUser"))
        .map_or("root", str::trim);
    LogOwner {
        user: user.to_owned(),
        group: group.to_owned(),
    }
}

fn firewall(target: &Target) -> Result<Firewall, InstallError> {
    if target.has_program("ufw") && run(&Call::new(&["ufw", "status"]))?.contains("Status: active")
    {
        let rules = run(&Call::new(&["ufw", "show", "added"]))?;
        return Ok(Firewall::Ufw(rules.lines().map(str::to_owned).collect()));
    }
    if target.has_program("firewall-cmd") && succeeds(&["firewall-cmd", "--quiet", "--state"]) {
        return Ok(Firewall::Firewalld);
    }
    if target.has_program("nft")
        && succeeds(&["systemctl", "--quiet", "is-active", "nftables.service"])
    {
        let list = run(&Call::new(&["nft", "--json", "list", "chains"]))?;
        return Ok(Firewall::Nftables(input_chains(&list)));
    }
    Ok(Firewall::None)
}

/// The chains in nftables' JSON (libnftables-json(5)) that filter what comes in.
fn input_chains(json: &str) -> Vec<[String; 3]> {
    let list: Value = serde_json::from_str(json).unwrap_or_default();
    let chains = list["nftables"].as_array().into_iter().flatten();
    chains
        .map(|object| &object["chain"])
        .filter(|chain| chain["hook"] == "input" && chain["type"] == "filter")
        .filter(|chain| ["inet", "ip", "ip6"].iter().any(|f| chain["family"] == *f))
        // Our own chain only drops.
        .filter(|chain| chain["table"] != "seawall")
        .map(|chain| ["family", "table", "name"].map(|key| text(&chain[key])))
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_known_by_their_family() {
        for (release, expected) in [
            ("ID=debian\n", Distribution::Debian),
            ("NAME=x\nID=ubuntu\nID_LIKE=debian\n", Distribution::Debian),
            (
                "ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\n",
                Distribution::RedHat,
            ),
            ("ID=arch\n", Distribution::Other),
            ("", Distribution::Other),
        ] {
            assert_eq!(distribution(release), expected, "{release}");
        }
    }

    #[test]
    fn only_chains_that_filter_input_count() {
        let json = r#"{"nftables": [{"metainfo": {}},
            {"chain": {"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input"}},
            {"chain": {"family": "inet", "table": "filter", "name": "output", "type": "filter", "hook": "output"}},
            {"chain": {"family": "ip", "table": "nat", "name": "in", "type": "nat", "hook": "input"}},
            {"chain": {"family": "inet", "table": "filter", "name": "helper"}}]}"#;
        assert_eq!(
            input_chains(json),
            [["inet", "filter", "input"].map(str::to_owned)]
        );
        assert!(input_chains("").is_empty());
    }

    #[test]
    fn the_logs_belong_to_whom_rsyslog_runs_as() {
        assert_eq!(log_owner("", "adm").user, "root");
        let ubuntu = "$PrivDropToUser syslog\n$PrivDropToGroup syslog\n";
        assert_eq!(log_owner(ubuntu, "adm").user, "syslog");
    }
}
