//! The failures that `doctor` knows: their names, what they look like, what causes them, and how to
//! mend them. `docs/troubleshooting.md` is made of this.

use std::fmt::Write;

/// A failure that is known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    BalancerDown,
    BalancerHangs,
    CheckFails,
    ClocksApart,
    ConfigurationNotInUse,
    CookieDropped,
    DiskFull,
    DiskHangs,
    FilesLimit,
    FirewallRulesMissing,
    MachineUnreachable,
    MemoryLimit,
    NamesNotUnique,
    NodeDown,
    NodeHangs,
    NodeWithoutStore,
    NotSticky,
    PortTaken,
    SessionLost,
    SqliteOnNetworkDisk,
    StoreConnectionsExhausted,
    StoreDatabaseMissing,
    StoreFails,
    StoreFileMissing,
    StoreFull,
    StoreHostUnknown,
    StoreNotShared,
    StoreOtherTables,
    StorePrivilegeMissing,
    StoreReadOnly,
    StoreRefused,
    StoreSilent,
    StoreWrongPassword,
    VersionsDiffer,
}

/// What is said of a case. In `mend`, `$WORDS` stand for what the diagnosis knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) cause: &'static str,
    pub(super) mend: &'static str,
}

impl Case {
    /// In the order in which people look: the store first, for everything needs it.
    const ALL: [Self; 34] = [
        Self::StoreRefused,
        Self::StoreHostUnknown,
        Self::StoreSilent,
        Self::StoreWrongPassword,
        Self::StoreDatabaseMissing,
        Self::StorePrivilegeMissing,
        Self::StoreConnectionsExhausted,
        Self::StoreOtherTables,
        Self::StoreReadOnly,
        Self::StoreFull,
        Self::StoreFileMissing,
        Self::StoreNotShared,
        Self::SqliteOnNetworkDisk,
        Self::StoreFails,
        Self::NodeDown,
        Self::NodeHangs,
        Self::NodeWithoutStore,
        Self::MachineUnreachable,
        Self::PortTaken,
        Self::NamesNotUnique,
        Self::VersionsDiffer,
        Self::ClocksApart,
        Self::ConfigurationNotInUse,
        Self::BalancerDown,
        Self::BalancerHangs,
        Self::CheckFails,
        Self::NotSticky,
        Self::CookieDropped,
        Self::SessionLost,
        Self::DiskFull,
        Self::DiskHangs,
        Self::FilesLimit,
        Self::MemoryLimit,
        Self::FirewallRulesMissing,
    ];

    pub(super) fn text(self) -> Text {
        match self {
            Self::StoreRefused
            | Self::StoreHostUnknown
            | Self::StoreSilent
            | Self::StoreWrongPassword
            | Self::StoreDatabaseMissing
            | Self::StorePrivilegeMissing
            | Self::StoreConnectionsExhausted => self.of_a_server(),
            Self::StoreOtherTables
            | Self::StoreReadOnly
            | Self::StoreFull
            | Self::StoreFileMissing
            | Self::StoreNotShared
            | Self::SqliteOnNetworkDisk
            | Self::StoreFails => self.of_a_store(),
            Self::NodeDown
            | Self::NodeHangs
            | Self::NodeWithoutStore
            | Self::MachineUnreachable
            | Self::PortTaken
            | Self::NamesNotUnique
            | Self::VersionsDiffer
            | Self::ClocksApart
            | Self::ConfigurationNotInUse => self.of_a_node(),
            Self::BalancerDown
            | Self::BalancerHangs
            | Self::CheckFails
            | Self::NotSticky
            | Self::CookieDropped
            | Self::SessionLost => self.of_the_way(),
            Self::DiskFull
            | Self::DiskHangs
            | Self::FilesLimit
            | Self::FirewallRulesMissing
            | Self::MemoryLimit => self.of_the_machine(),
        }
    }

    fn of_a_server(self) -> Text {
        match self {
            Self::StoreHostUnknown => Text {
                name: "store-host-unknown",
                title: "The store's host has no address",
                cause: "The host's name in store.url is misspelt, or this machine cannot resolve it.",
                mend: "Try `getent hosts HOST`. Correct store.url in $FILE, or the machine's DNS.",
            },
            Self::StoreSilent => Text {
                name: "store-silent",
                title: "The store takes connections and does not answer",
                cause: "The server hangs or is overloaded, or a firewall drops what it sends.",
                mend: "Look at the server's log and load: `journalctl -u $SERVICE -n 50`. Restart it if \
                       it hangs: `sudo systemctl restart $SERVICE`.",
            },
            Self::StoreWrongPassword => Text {
                name: "store-wrong-password",
                title: "The store does not accept user and password",
                cause: "The password was changed on one side only, or the user does not exist.",
                mend: "Set the user's password in the server to the one in store.password_file or \
                       SEAWALL_STORE_URL (PostgreSQL: `sudo -u postgres psql -c '\\password $USER'`), \
                       or correct it there. The configuration is $FILE.",
            },
            Self::StoreDatabaseMissing => Text {
                name: "store-database-missing",
                title: "The server has no database of that name",
                cause: "The database was never made, or store.url names another one.",
                mend: "Make it. PostgreSQL: `sudo -u postgres createdb --owner=$USER $DATABASE`; MariaDB: \
                       `sudo mariadb -e 'CREATE DATABASE $DATABASE'`. Or correct store.url in $FILE.",
            },
            Self::StorePrivilegeMissing => Text {
                name: "store-privilege-missing",
                title: "The store's user may not do what Seawall needs",
                cause: "The user owns neither the database nor its schema; since PostgreSQL 15 others \
                        may not make tables in the schema public.",
                mend: "PostgreSQL: `sudo -u postgres psql -d $DATABASE -c 'GRANT USAGE, CREATE ON SCHEMA \
                       public TO $USER'`, and if the tables are another user's, `ALTER TABLE … OWNER TO \
                       $USER`. MariaDB: `sudo mariadb -e 'GRANT ALL ON $DATABASE.* TO $USER'`. SQLite: \
                       make the file and its folder writable for the user of the nodes.",
            },
            Self::StoreConnectionsExhausted => Text {
                name: "store-connections-exhausted",
                title: "The server has no connection left",
                cause: "Others hold all the connections that the server allows. A node of Seawall holds \
                        four at most, and one more to hear of ended sessions.",
                mend: "See who holds them (PostgreSQL: `sudo -u postgres psql -c 'SELECT usename, \
                       application_name, count(*) FROM pg_stat_activity GROUP BY 1, 2'`), lower those \
                       programs' pools, or raise max_connections and restart $SERVICE.",
            },
            _ => Text {
                name: "store-refused",
                title: "Nobody listens at the store's address",
                cause: "The database server is not running, or listens on another address or port.",
                mend: "Start it: `sudo systemctl start $SERVICE`. If it runs, compare its address \
                       (`ss -ltn`) with store.url in $FILE.",
            },
        }
    }

    fn of_a_store(self) -> Text {
        match self {
            Self::StoreOtherTables => Text {
                name: "store-other-tables",
                title: "The tables are of another version",
                cause: "A newer Seawall has changed them, or something else made tables of those names.",
                mend: "Run the newest version on every machine. Tables of another program: give Seawall a \
                       database of its own in store.url, in $FILE.",
            },
            Self::StoreReadOnly => Text {
                name: "store-read-only",
                title: "The store takes no writes",
                cause: "It is a standby, a replica, or set to read only.",
                mend: "Point store.url in $FILE at the primary, or list all hosts (docs/stores.md). If the \
                       primary is lost, promote the standby. PostgreSQL says which it is: `SELECT pg_is_in_recovery()`.",
            },
            Self::StoreFull => Text {
                name: "store-full",
                title: "The store has no room left",
                cause: "Its disk is full, or the memory that it may use.",
                mend: "Free space on the disk of $STORE (`df -h`). Redis: raise maxmemory, and keep \
                       maxmemory-policy at noeviction, or sessions are lost.",
            },
            Self::StoreFileMissing => Text {
                name: "store-file-missing",
                title: "The store's file is not there",
                cause: "No node has started yet; or the nodes run in another folder, as a relative path means \
                        another file in each; or it was removed.",
                mend: "Start a node, which makes it, or write an absolute path into store.url, in $FILE. If it \
                       was removed, put it back, or restart all nodes, which begin with an empty one.",
            },
            Self::StoreNotShared => Text {
                name: "store-not-shared",
                title: "Each node has a store of its own",
                cause: "store.url is memory:, which ends with its node, or SQLite while nodes are on other \
                        machines.",
                mend: "Name a store that all nodes reach in store.url, in $FILE: see docs/stores.md.",
            },
            Self::SqliteOnNetworkDisk => Text {
                name: "sqlite-on-network-disk",
                title: "The SQLite file is on a disk of the network",
                cause: "SQLite's write-ahead log needs memory that all its users share, and locks that \
                        hold; network file systems give neither, so that the file gets damaged.",
                mend: "Stop the nodes, move the file to a local disk and correct store.url or data in \
                       $FILE. For nodes on several machines use PostgreSQL, MariaDB or Redis.",
            },
            _ => Text {
                name: "store-fails",
                title: "The store fails in another way",
                cause: "The store's own words say why.",
                mend: "Look into its log: `journalctl -u $SERVICE -n 50`.",
            },
        }
    }

    fn of_a_node(self) -> Text {
        match self {
            Self::NodeHangs => Text {
                name: "node-hangs",
                title: "A node takes connections and does not answer",
                cause: "The process is stopped or starved, or an application never returns.",
                mend: "See what it does (`journalctl -u seawall-node@$NODE -n 50`, `top`), then restart it: \
                       `sudo systemctl restart seawall-node@$NODE`. Its watchdog does that by itself.",
            },
            Self::NodeWithoutStore => Text {
                name: "node-without-store",
                title: "A node has lost the store, which is well here",
                cause: "A firewall, a name or a password differs on the node's machine. With SQLite: the \
                        file was removed or replaced, and the node still has the old one.",
                mend: "Its log says why: `journalctl -u seawall-node@$NODE -n 50`. If the file was \
                       replaced, restart the nodes: `sudo systemctl restart seawall-node@$NODE`.",
            },
            Self::MachineUnreachable => Text {
                name: "machine-unreachable",
                title: "A machine cannot be reached from here",
                cause: "It is off, no route leads to it, or a firewall drops what is sent to it.",
                mend: "See how far one gets: `ping $HOST`, `ip route get $HOST`. Start the machine, open \
                       the port in its firewall, or correct the address in $FILE.",
            },
            Self::PortTaken => Text {
                name: "port-taken",
                title: "Another program has the port",
                cause: "It was started first. The node or balancer that should have the port cannot start.",
                mend: "See who it is: `sudo ss -ltnp 'sport = :$PORT'`. End it, or give one of them \
                       another port; the configuration is $FILE.",
            },
            Self::NamesNotUnique => Text {
                name: "names-not-unique",
                title: "A node runs under another node's name",
                cause: "It was started with a wrong --name, or the addresses of two nodes are swapped. \
                        Clients are kept with nodes by name, and commits are told apart by it.",
                mend: "Start the node at $ADDRESS with `--name $NODE`, or correct [[node]] in $FILE.",
            },
            Self::VersionsDiffer => Text {
                name: "versions-differ",
                title: "Two versions in one cluster",
                cause: "An upgrade has not been finished, or a process was not restarted after it.",
                mend: "Install the same version everywhere and restart one node after the other: \
                       docs/operations.md, \"Upgrade\".",
            },
            Self::ClocksApart => Text {
                name: "clocks-apart",
                title: "Clocks differ by more than a second",
                cause: "A machine's clock is not kept by NTP. Sessions expire by the nodes' clocks: too \
                        early where the clock is ahead.",
                mend: "On both machines: `sudo timedatectl set-ntp true`, then look at `timedatectl`.",
            },
            Self::ConfigurationNotInUse => Text {
                name: "configuration-not-in-use",
                title: "A process runs with another configuration",
                cause: "The file was changed after the process started, the machine has another file, or \
                        options and SEAWALL_… variables say something else.",
                mend: "Make $FILE the same on every machine, then restart what differs: \
                       `sudo systemctl restart $UNIT`.",
            },
            _ => Text {
                name: "node-down",
                title: "A node does not run",
                cause: "It was not started, or it ended: its log says why.",
                mend: "`journalctl -u seawall-node@$NODE -n 50`, then `sudo systemctl start \
                       seawall-node@$NODE`. Without systemd: `seawall node --name $NODE`.",
            },
        }
    }

    fn of_the_way(self) -> Text {
        match self {
            Self::BalancerHangs => Text {
                name: "balancer-hangs",
                title: "The balancer takes connections and does not answer",
                cause: "The process is stopped or starved.",
                mend: "See what it does (`journalctl -u seawall-balancer -n 50`, `top`), then restart it: \
                       `sudo systemctl restart seawall-balancer`. Its watchdog does that by itself.",
            },
            Self::CheckFails => Text {
                name: "check-fails",
                title: "The balancer takes a node for down",
                cause: "The checked path does not answer with an expected status, or the balancer cannot \
                        reach the node that answers here.",
                mend: "Try what the balancer tries: `curl -i http://$ADDRESS$PATH`. Correct \
                       balancer.check.path or balancer.check.expect in $FILE; for a node of Seawall leave \
                       both out.",
            },
            Self::NotSticky => Text {
                name: "not-sticky",
                title: "Clients are not kept with their node",
                cause: "The balancer does not know the node by the name in the cookie, looks at another \
                        cookie, or is set to stick = \"none\".",
                mend: "Give the balancer's servers the names of the nodes (leave out --server, so that \
                       [[node]] counts), set the same session.cookie.name for nodes and balancer, and \
                       balancer.stick to route, in $FILE.",
            },
            Self::CookieDropped => Text {
                name: "cookie-dropped",
                title: "Browsers drop the session cookie",
                cause: "Its attributes do not fit the address that users see, so that each request begins \
                        a new session.",
                mend: "Secure over http: have users come by https, or set session.cookie.secure = false in $FILE. Path or \
                       domain: a proxy in front changes the address; have it change the cookie too (nginx: \
                       proxy_cookie_path, proxy_cookie_domain), or serve the application under the same \
                       path.",
            },
            Self::SessionLost => Text {
                name: "session-lost",
                title: "A session is not found again",
                cause: "The nodes do not share their store, or something between client and node changes \
                        the cookie.",
                mend: "Give all nodes the same store.url in $FILE. A proxy in front must pass Cookie and \
                       Set-Cookie on as they are.",
            },
            _ => Text {
                name: "balancer-down",
                title: "The balancer does not answer",
                cause: "It does not run, or its statistics have another address than the configuration says.",
                mend: "`journalctl -u seawall-balancer -n 50`, then `sudo systemctl start \
                       seawall-balancer`. The address is balancer.stats in $FILE.",
            },
        }
    }

    fn of_the_machine(self) -> Text {
        match self {
            Self::FilesLimit => Text {
                name: "files-limit",
                title: "A process has hardly any files left to open",
                cause: "Each connection is an open file, and the limit of the process is nearly reached.",
                mend: "`sudo systemctl edit $UNIT`, with `[Service]` and `LimitNOFILE=65536` or more, then \
                       `sudo systemctl restart $UNIT`. From a shell: `ulimit -n`.",
            },
            Self::MemoryLimit => Text {
                name: "memory-limit",
                title: "A process may soon exceed its memory",
                cause: "What it takes, or what its cache of sessions may come to take, is more than its \
                        control group allows; then the system ends it.",
                mend: "Raise the limit (`sudo systemctl edit $UNIT`, with `[Service]` and `MemoryMax=1G`), \
                       or lower session.cache_bytes in $FILE, then `sudo systemctl restart $UNIT`.",
            },
            Self::FirewallRulesMissing => Text {
                name: "firewall-rules-missing",
                title: "Rules of the installation are not in the firewall",
                cause: "nftables was loaded anew by hand (`nft -f /etc/nftables.conf`), which drops what \
                        other programs put in. Clients may be kept out, and the statistics be open.",
                mend: "Put them in again: `sudo seawall install`. `sudo systemctl reload nftables` loads \
                       your rules and keeps Seawall's.",
            },
            Self::DiskHangs => Text {
                name: "disk-hangs",
                title: "The disk does not answer",
                cause: "The data folder is on a disk of the network whose server is away, or on one that \
                        fails.",
                mend: "See what disk it is: `findmnt --target $FOLDER`; and what the kernel says: \
                       `sudo dmesg | tail`. Bring the disk back, or set data to a local folder in $FILE.",
            },
            _ => Text {
                name: "disk-full",
                title: "The disk is nearly full",
                cause: "Logs, backups or sessions fill the disk of the data folder.",
                mend: "See what fills it: `sudo du -xh $FOLDER | sort -h | tail`. Shorten logs \
                       (`sudo journalctl --vacuum-size=500M`), delete what is not needed, or enlarge it.",
            },
        }
    }
}

/// The page of the documentation: every case, with its cause and how to mend it.
pub(crate) fn guide() -> String {
    let mut page = String::from(GUIDE_HEAD);
    for case in Case::ALL {
        let Text {
            name,
            title,
            cause,
            mend,
        } = case.text();
        let _ = write!(
            page,
            "\n## {name}\n\n**{title}.** {cause}\n\n**Mend it.** {mend}\n"
        );
    }
    page
}

const GUIDE_HEAD: &str = "# Troubleshooting

`seawall doctor` looks for these failures by itself, and says which node, which address and which file it means. Run it on a
machine of the cluster, with sudo: only root sees which program has a port. It needs the cluster's configuration, and reads
`/etc/seawall/seawall.toml` when there is no `seawall.toml` here. `seawall health` says how grave things are; `seawall doctor` says what to do.

Here `$NODE`, `$FILE` and so on stand for what `doctor` fills in. `$UNIT` is `seawall-node@node1` or `seawall-balancer`.
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Case::ALL.iter().map(|case| case.text().name).collect();
        assert_eq!(names.len(), Case::ALL.len());
    }
}
