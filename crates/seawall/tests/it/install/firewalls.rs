//! The firewalls that Debian offers beside nftables, on a machine where each is active in turn.

use super::{is_root, nspawn::Machine, pages::bring_program};

/// Which ports are open to whom, as the firewall says itself.
struct Opened {
    command: &'static [&'static str],
    lines: &'static [&'static str],
}

const UFW: Opened = Opened {
    command: &["ufw", "status"],
    lines: &[
        "80/tcp                     ALLOW       Anywhere",
        "8404/tcp                   ALLOW       192.0.2.0/24",
        "8404/tcp                   DENY        Anywhere",
    ],
};

const FIREWALLD: [Opened; 2] = [
    Opened {
        command: &["firewall-cmd", "--list-all"],
        lines: FIREWALLD_LINES,
    },
    Opened {
        command: &["firewall-cmd", "--permanent", "--list-all"],
        lines: FIREWALLD_LINES,
    },
];

const FIREWALLD_LINES: &[&str] = &[
    "ports: 80/tcp",
    "rule family=\"ipv4\" source address=\"192.0.2.0/24\" port port=\"8404\" protocol=\"tcp\" accept",
];

impl Opened {
    #[track_caller]
    fn assert(&self, machine: &Machine, is_open: bool) {
        let text = machine.run(self.command);
        for line in self.lines {
            assert_eq!(text.contains(line), is_open, "{line}:\n{text}");
        }
    }
}

/// Installs twice, and takes it back.
fn install_and_uninstall(machine: &Machine, opened: &[Opened]) {
    let install = [
        "/root/home/seawall",
        "install",
        "--yes",
        "--stats-from",
        "192.0.2.0/24",
    ];
    opened
        .iter()
        .for_each(|opened| opened.assert(machine, false));
    machine.run(&install);
    opened
        .iter()
        .for_each(|opened| opened.assert(machine, true));
    let again = machine.run(&install);
    assert!(
        !again.contains("port 80"),
        "nothing is opened twice: {again}"
    );
    machine.run(&["/root/home/seawall", "uninstall", "--yes", "--purge"]);
    opened
        .iter()
        .for_each(|opened| opened.assert(machine, false));
}

/// To ufw it would be the same rule as ours.
fn a_rule_of_the_operators_stays(machine: &Machine) {
    machine.run(&["ufw", "allow", "80/tcp"]);
    let before = machine.run(&["ufw", "show", "added"]);
    let said = machine.run(&["/root/home/seawall", "install", "--yes"]);
    assert!(
        said.contains("ufw has the rule `allow 80/tcp` already"),
        "{said}"
    );
    machine.run(&["/root/home/seawall", "uninstall", "--yes", "--purge"]);
    assert_eq!(machine.run(&["ufw", "show", "added"]), before);
}

/// For the next start only: what is missing comes, and goes.
fn a_port_that_the_operator_opened_stays_open(machine: &Machine) {
    machine.run(&["firewall-cmd", "--permanent", "--add-port=80/tcp"]);
    machine.run(&["/root/home/seawall", "install", "--yes"]);
    let now = machine.run(&["firewall-cmd", "--list-ports"]);
    assert_eq!(now.trim(), "80/tcp");
    machine.run(&["/root/home/seawall", "uninstall", "--yes", "--purge"]);
    let now = machine.run(&["firewall-cmd", "--list-ports"]);
    assert_eq!(now.trim(), "");
    let lasting = machine.run(&["firewall-cmd", "--permanent", "--list-ports"]);
    assert_eq!(lasting.trim(), "80/tcp");
}

fn bring_package(machine: &Machine, name: &str) {
    let install = [
        "apt-get",
        "install",
        "--yes",
        "--no-install-recommends",
        name,
    ];
    let environment = ["env", "DEBIAN_FRONTEND=noninteractive"];
    machine.run(&[&environment[..], &install].concat());
}

#[test]
fn ufw_and_firewalld_open_the_ports_and_close_them_again() {
    if !is_root() {
        return;
    }
    let machine = Machine::boot();
    bring_program(&machine);
    bring_package(&machine, "ufw");
    machine.run(&["ufw", "--force", "enable"]);
    install_and_uninstall(&machine, &[UFW]);
    a_rule_of_the_operators_stays(&machine);
    machine.run(&["ufw", "--force", "disable"]);
    bring_package(&machine, "firewalld");
    machine.run(&["systemctl", "start", "firewalld.service"]);
    install_and_uninstall(&machine, &FIREWALLD);
    a_port_that_the_operator_opened_stays_open(&machine);
}
