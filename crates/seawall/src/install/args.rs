//! What `seawall install` and `uninstall` are told on the command line.

use std::{fmt, net::IpAddr, net::SocketAddr, path::PathBuf, str::FromStr};

use clap::Args;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Args)]
pub(crate) struct InstallArgs {
    /// The configuration to install. Without one, the installed one if there is one, else one that
    /// is written from the options here and your answers.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// A session store that is there already, as a URL. Its password goes into a file of its own.
    #[arg(
        long,
        value_name = "URL",
        env = "SEAWALL_STORE_URL",
        hide_env_values = true
    )]
    pub(super) store: Option<String>,
    /// Install PostgreSQL from the distribution's packages, with a database for the sessions.
    #[arg(long, conflicts_with = "store")]
    pub(super) postgres: bool,
    /// How many nodes; 2 by default.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) nodes: Option<u16>,
    /// Where clients connect; 0.0.0.0:80 by default.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) http: Option<SocketAddr>,
    /// Open the statistics to this address or network, such as 192.0.2.0/24; `none` closes them
    /// again. Needs a firewall.
    #[arg(long, value_name = "SOURCE")]
    pub(super) stats_from: Option<StatsFrom>,
    /// A node of the configuration that this machine runs; again for more. By default all whose
    /// address is one of this machine's.
    #[arg(long = "node", value_name = "NAME")]
    pub(super) here: Vec<String>,
    /// Whether this machine runs a balancer; true by default.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) balancer: Option<bool>,
    /// Also write a log file for each instance to /var/log/seawall, and rotate it.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) log_files: Option<bool>,
    /// Whether to open the ports in the firewall that is active; true by default.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(super) firewall: Option<bool>,
    /// Ask nothing: take the defaults.
    #[arg(long, short)]
    pub(super) yes: bool,
    /// Write into another root, such as that of an image; its units start at its first boot.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(super) root: PathBuf,
    /// Print every file and command, and do nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UninstallArgs {
    /// Remove data too: configuration, passwords, sessions, applications, logs, the database and the
    /// user.
    #[arg(long)]
    pub(super) purge: bool,
    /// Ask nothing.
    #[arg(long, short)]
    pub(super) yes: bool,
    /// The root that `install` wrote into.
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(super) root: PathBuf,
    /// Print what would be removed, and do nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
}

/// What is remembered for the next `install`, which needs none of the options again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Options {
    /// The nodes of this machine; empty: those whose address is local.
    pub(super) here: Vec<String>,
    pub(super) balancer: bool,
    pub(super) postgres: bool,
    pub(super) log_files: bool,
    pub(super) firewall: bool,
    pub(super) stats_from: Option<Source>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            here: Vec::new(),
            balancer: true,
            postgres: false,
            log_files: false,
            firewall: true,
            stats_from: None,
        }
    }
}

impl Options {
    /// What was remembered, with what was given now over it.
    pub(super) fn with(mut self, args: &InstallArgs) -> Self {
        if !args.here.is_empty() {
            self.here.clone_from(&args.here);
        }
        // A store that is named now counts more than what was wanted once.
        let names_store = args.store.as_ref().is_some_and(|url| !url.is_empty());
        self.postgres = args.postgres || (self.postgres && !names_store);
        self.balancer = args.balancer.unwrap_or(self.balancer);
        self.log_files = args.log_files.unwrap_or(self.log_files);
        self.firewall = args.firewall.unwrap_or(self.firewall);
        self.stats_from = match args.stats_from {
            None => self.stats_from,
            Some(StatsFrom::Nobody) => None,
            Some(StatsFrom::Source(source)) => Some(source),
        };
        self
    }
}

/// Who else than this machine may see the statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatsFrom {
    Nobody,
    Source(Source),
}

impl FromStr for StatsFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::Nobody),
            text => text.parse().map(Self::Source),
        }
    }
}

/// An address or a network, as `ADDRESS` or `ADDRESS/BITS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Source {
    address: IpAddr,
    bits: Option<u8>,
}

impl Source {
    /// `ip` or `ip6`, as nftables calls the family.
    pub(super) fn family(self) -> &'static str {
        match self.address {
            IpAddr::V4(_) => "ip",
            IpAddr::V6(_) => "ip6",
        }
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("{text:?} is no address or network; write for example 192.0.2.0/24");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().map_err(|_| error())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        match bits {
            Some(bits) if bits > most => Err(error()),
            bits => Ok(Self { address, bits }),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits {
            Some(bits) => write!(f, "{}/{bits}", self.address),
            None => self.address.fmt(f),
        }
    }
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: InstallArgs,
    }

    #[test]
    fn statistics_that_were_opened_can_be_closed() {
        let opened = Options {
            stats_from: Some("192.0.2.7".parse().unwrap()),
            ..Options::default()
        };
        let with = |words: &[&str]| {
            let args = Program::parse_from([&["install"], words].concat()).args;
            opened.clone().with(&args).stats_from
        };
        assert_eq!(with(&[]), opened.stats_from);
        assert_eq!(with(&["--stats-from", "::1"]), "::1".parse().ok());
        assert_eq!(with(&["--stats-from", "none"]), None);
    }

    #[test]
    fn a_store_that_is_named_counts_more_than_the_database_that_was_wanted() {
        let wanted = Options {
            postgres: true,
            ..Options::default()
        };
        let with = |words: &[&str]| {
            let args = Program::parse_from([&["install"], words].concat()).args;
            wanted.clone().with(&args).postgres
        };
        assert!(with(&[]));
        assert!(!with(&["--store", "redis://localhost"]));
    }

    #[test]
    fn sources_are_addresses_and_networks() {
        for text in ["192.0.2.7", "192.0.2.0/24", "2001:db8::/32", "::1"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "here",
            "192.0.2.0/33",
            "192.0.2.0/",
            "::/129",
            "1.2.3.4; accept",
        ] {
            assert!(
                text.parse::<Source>()
                    .unwrap_err()
                    .contains("write for example")
            );
        }
    }
}
