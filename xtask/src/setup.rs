//! What the tests need beside the Rust toolchain.

use anyhow::{Result, bail};
use seawall_testing::program_folders;

use crate::command::{execute, program};

/// A server or a tool that the tests start.
struct Server {
    name: &'static str,
    /// Its programs; each stands for all that do the same.
    programs: &'static [&'static [&'static str]],
    /// Debian's package.
    package: &'static str,
    /// Which versions serve, and what other distributions call the package.
    elsewhere: &'static str,
}

const SERVERS: [Server; 9] = [
    tool("faketime", &[&["faketime"]], "faketime"),
    Server {
        name: "HAProxy",
        programs: &[&["haproxy"]],
        package: "haproxy",
        elsewhere: "2.4 or later; Fedora, AlmaLinux, Rocky: sudo dnf install haproxy",
    },
    Server {
        name: "keepalived",
        programs: &[&["keepalived"]],
        package: "keepalived",
        elsewhere: "2.0 or later; Fedora, AlmaLinux, Rocky: sudo dnf install keepalived",
    },
    Server {
        name: "MariaDB",
        programs: &[
            &["mariadbd", "mysqld"],
            &["mariadb-install-db"],
            &["mariadb"],
        ],
        package: "mariadb-server",
        elsewhere: "10.6 or later; Fedora, AlmaLinux, Rocky: sudo dnf install mariadb-server",
    },
    tool("Python", &[&["python3"]], "python3"),
    Server {
        name: "nginx",
        programs: &[&["nginx"]],
        package: "nginx-light",
        elsewhere: "1.18 or later; Fedora, AlmaLinux, Rocky: sudo dnf install nginx",
    },
    tool("PgBouncer", &[&["pgbouncer"]], "pgbouncer"),
    Server {
        name: "PostgreSQL",
        programs: &[
            &["initdb"],
            &["pg_basebackup"],
            &["pg_isready"],
            &["postgres"],
            &["psql"],
        ],
        package: "postgresql",
        elsewhere: "13 or later; Fedora, AlmaLinux, Rocky: sudo dnf install postgresql-server",
    },
    Server {
        name: "Redis",
        programs: &[
            &["redis-server", "valkey-server"],
            &["redis-cli", "valkey-cli"],
        ],
        package: "redis-server",
        elsewhere: "7 or later, or Valkey; Fedora, AlmaLinux, Rocky: sudo dnf install valkey",
    },
];

/// What the tests of `seawall install` start, which run as root only: a bare system in a container,
/// and the programs that read what is installed.
const FOR_ROOT: [Server; 8] = [
    tool("curl", &[&["curl"]], "curl"),
    tool("debootstrap", &[&["debootstrap"]], "debootstrap"),
    tool("logrotate", &[&["logrotate"]], "logrotate"),
    tool("sftp-server", &[&["sftp-server"]], "openssh-sftp-server"),
    tool("sshfs", &[&["sshfs"]], "sshfs"),
    tool("nftables", &[&["nft"]], "nftables"),
    tool("rsyslog", &[&["rsyslogd"]], "rsyslog"),
    tool(
        "systemd",
        &[&["systemd-analyze"], &["systemd-nspawn"]],
        "systemd-container",
    ),
];

/// A tool that has the same name everywhere.
const fn tool(
    name: &'static str,
    programs: &'static [&'static [&'static str]],
    package: &'static str,
) -> Server {
    Server {
        name,
        programs,
        package,
        elsewhere: "Fedora, AlmaLinux, Rocky: sudo dnf install, the same name",
    }
}

impl Server {
    fn is_installed(&self) -> bool {
        let folders = program_folders();
        let is_there = |name: &&str| folders.iter().any(|folder| folder.join(name).is_file());
        self.programs.iter().all(|names| names.iter().any(is_there))
    }
}

/// Installs what is missing when it may, and otherwise says what to install.
pub(crate) fn run() -> Result<()> {
    let for_root = if is_root() { FOR_ROOT.as_slice() } else { &[] };
    let needed = || SERVERS.iter().chain(for_root);
    let missing = || needed().filter(|server| !server.is_installed());
    let packages: Vec<_> = missing().map(|server| server.package).collect();
    if !packages.is_empty() && may_install() {
        println!(
            "installing the distribution's packages: {}",
            packages.join(", ")
        );
        install(&packages)?;
    }
    let lacking: Vec<_> = missing()
        .map(
            |Server {
                 name,
                 package,
                 elsewhere,
                 ..
             }| { format!("{name}: sudo apt-get install {package} ({elsewhere})") },
        )
        .collect();
    if !lacking.is_empty() {
        bail!(
            "the tests need these; install them and run this again:\n  {}",
            lacking.join("\n  ")
        );
    }
    let names: Vec<_> = needed().map(|server| server.name).collect();
    println!("{}: there", names.join(", "));
    Ok(())
}

/// Says which tests do nothing here, if any do.
pub(crate) fn say_what_is_left_out() {
    if !is_root() {
        println!(
            "not root: the tests of `seawall install`, and those of `seawall doctor` with a network \
             or mounts of their own, pass without doing anything"
        );
    }
}

/// Whether this is root on a system with Debian's packages.
pub(crate) fn may_install() -> bool {
    is_root() && execute(&mut program("apt-get", &["--version"])).is_ok()
}

/// Installs packages of the distribution.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    execute(&mut program("apt-get", &["update"]))?;
    let mut install = program("apt-get", &["install", "--yes", "--no-install-recommends"]);
    execute(
        install
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

fn is_root() -> bool {
    let output = program("id", &["-u"]).output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
