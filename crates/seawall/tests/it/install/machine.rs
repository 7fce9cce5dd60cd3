//! From a bare machine to a cluster on PostgreSQL, through what happens to it, and back.

use std::process::Stdio;

use serde_json::Value;

use super::{
    is_root,
    nspawn::Machine,
    pages,
    tree::{Tree, differences, tree},
};
use crate::cluster::{session_cookie, until, visit_count};

/// The program that a reader has brought along.
const PROGRAM: &str = "/root/home/seawall";

const UNITS: [&str; 7] = [
    "seawall-node@node1.service",
    "seawall-node@node2.service",
    "seawall-balancer.socket",
    "seawall-balancer-stats.socket",
    "seawall-balancer.service",
    "seawall-health.timer",
    "seawall-sweep.timer",
];

/// What is others' affair, and is not looked into: it changes while a machine runs, or with every
/// package that comes or goes. Each with its reason.
const NOT_LOOKED_INTO: [(&str, &str); 18] = [
    ("/dev", "made anew at each boot"),
    ("/etc/.pwd.lock", "the lock of the tools that change users"),
    ("/etc/group-", "their backup"),
    ("/etc/gshadow-", "their backup"),
    (
        "/etc/ld.so.cache",
        "made anew when packages with libraries come or go",
    ),
    ("/etc/passwd-", "their backup"),
    ("/etc/shadow-", "their backup"),
    ("/etc/subgid-", "their backup"),
    ("/etc/subuid-", "their backup"),
    ("/proc", "the kernel's"),
    ("/run", "made anew at each boot"),
    ("/sys", "the kernel's"),
    ("/tmp", "made anew at each boot"),
    (
        "/var/cache",
        "the package manager's, and what programs can make again",
    ),
    ("/var/lib/apt", "the package manager's state"),
    ("/var/lib/dpkg", "the package manager's state"),
    (
        "/var/lib/systemd",
        "systemd's own state: clock, random seed",
    ),
    (
        "/var/log",
        "the package manager's logs, and those of whoever runs",
    ),
];

/// What PostgreSQL's packages leave by Debian's rules: system users are never removed, nor the
/// folders that belong to them. The folders are empty.
const LEFT_BY_PACKAGES: [&str; 2] = ["/etc/postgresql", "/var/lib/postgresql"];
const USERS_LEFT_BY_PACKAGES: [&str; 2] = ["postgres:", "ssl-cert:"];

/// Of our own things nothing may be left even there.
const OURS: [&str; 3] = [
    "var/log/seawall",
    "var/lib/systemd/timers/stamp-seawall-health.timer",
    "var/lib/systemd/timers/stamp-seawall-sweep.timer",
];

/// A request in the machine's network.
fn get(machine: &Machine, port: u16, path: &str, cookie: &str) -> Option<(String, String)> {
    let url = format!("http://127.0.0.1:{port}{path}");
    let mut curl = machine.beside("curl");
    curl.args([
        "--silent",
        "--include",
        "--max-time",
        "10",
        "--cookie",
        cookie,
        &url,
    ]);
    let output = curl.output().unwrap();
    let answer = String::from_utf8(output.stdout).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.to_owned(), body.to_owned()))
}

/// A visit of the page through the balancer's port: the cookie, and the visit count.
fn visit(machine: &Machine, cookie: &str) -> (String, u64) {
    let (head, body) = get(machine, 80, "/session-test/", cookie).expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}{body}");
    let cookie = session_cookie(&head).unwrap_or(cookie.to_owned());
    (cookie, visit_count(&body).expect("a visit count"))
}

pub(super) fn snapshot(machine: &Machine) -> Tree {
    let without = NOT_LOOKED_INTO.map(|(path, _)| path);
    let mut tree = tree(machine.root(), &without);
    for (path, _) in NOT_LOOKED_INTO {
        tree.remove(path);
    }
    for path in LEFT_BY_PACKAGES {
        tree.remove(path);
    }
    for path in ["/etc/group", "/etc/gshadow", "/etc/passwd", "/etc/shadow"] {
        let text = std::fs::read_to_string(machine.root().join(&path[1..])).unwrap();
        let is_left = |line: &&str| {
            USERS_LEFT_BY_PACKAGES
                .iter()
                .any(|name| line.starts_with(name))
        };
        let lines: Vec<_> = text.lines().filter(|line| !is_left(line)).collect();
        let access = tree[path].split(" file").next().unwrap().to_owned();
        tree.insert(path.to_owned(), format!("{access} {lines:?}"));
    }
    tree
}

fn main_pid(machine: &Machine, unit: &str) -> String {
    let pid = machine.run(&["systemctl", "show", "--property=MainPID", "--value", unit]);
    pid.trim().to_owned()
}

#[test]
fn a_bare_debian_becomes_a_cluster_and_bare_again() {
    if !is_root() {
        return;
    }
    let machine = Machine::boot();
    pages::bring_program(&machine);
    let bare = snapshot(&machine);

    pages::install(&machine);
    let (cookie, first) = visit(&machine, "");
    assert_eq!(first, 1);
    check_services(&machine);
    a_node_can_be_drained(&machine);
    check_database(&machine);
    check_firewall(&machine);
    check_logs(&machine);
    a_second_install_finds_nothing_to_do(&machine);
    what_drifted_is_mended(&machine);
    a_hung_node_is_restarted(&machine);
    restarts_fail_no_request(&machine);

    // Without --purge the sessions outlive the program.
    machine.run(&[PROGRAM, "uninstall", "--yes"]);
    assert!(
        get(&machine, 80, "/session-test/", "").is_none(),
        "nothing serves"
    );
    machine.run(&[PROGRAM, "install", "--yes"]);
    assert_eq!(visit(&machine, &cookie).1, 2, "the session goes on");

    machine.run(&["/usr/local/bin/seawall", "uninstall", "--yes", "--purge"]);
    assert_eq!(differences(&bare, &snapshot(&machine)), []);
    for path in OURS {
        assert!(!machine.root().join(path).exists(), "{path}");
    }
    let rules = machine.run(&["nft", "list", "ruleset"]);
    assert!(!rules.contains("seawall"), "{rules}");
}

fn check_services(machine: &Machine) {
    for unit in UNITS {
        machine.run(&["systemctl", "is-active", unit]);
        if unit.ends_with(".service") {
            machine.run(&["systemd-analyze", "security", "--threshold=20", unit]);
        }
    }
    let process = format!("/proc/{}", main_pid(machine, UNITS[0]));
    let user = machine.run(&["stat", "--format=%U", &process]);
    assert_eq!(user.trim(), "seawall");
    for oneshot in ["seawall-health.service", "seawall-sweep.service"] {
        machine.run(&["systemctl", "start", oneshot]);
    }
    let said = machine.run(&["journalctl", "--no-pager", "--unit=seawall-sweep"]);
    assert!(said.contains("expired sessions deleted"), "{said}");
}

/// The operator of the machine needs no more than the configuration.
fn a_node_can_be_drained(machine: &Machine) {
    for command in ["drain", "ready"] {
        let config = "--config=/etc/seawall/seawall.toml";
        machine.run(&["seawall", command, "node1", config]);
    }
    both_are_up(machine);
}

fn check_database(machine: &Machine) {
    let ask = |statement: &str| {
        machine.run(&[
            "runuser",
            "--user=postgres",
            "--",
            "psql",
            "-tA",
            "seawall",
            "-c",
            statement,
        ])
    };
    assert_eq!(ask("SELECT count(*) FROM jettysessions").trim(), "1");
    let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'jettysessions'";
    assert_eq!(ask(owner).trim(), "seawall");
    // Nothing of the password is to be seen but in its file.
    let password = machine.run(&["cat", "/etc/seawall/store-password"]);
    let journal = machine.run(&["journalctl", "--no-pager"]);
    assert!(password.trim().len() > 20 && !journal.contains(password.trim()));
}

fn check_firewall(machine: &Machine) {
    let rules = machine.run(&["nft", "list", "ruleset"]);
    for rule in [
        "tcp dport 80 accept comment \"seawall\"",
        "ip saddr 192.0.2.0/24 tcp dport 8404 accept comment \"seawall\"",
        "tcp dport 8404 drop",
    ] {
        assert!(rules.contains(rule), "{rule}:\n{rules}");
    }
    machine.run(&["nft", "--check", "--file", "/etc/seawall/firewall.nft"]);
    // The rules come back with the operator's own.
    machine.run(&["systemctl", "reload", "nftables.service"]);
    assert_eq!(machine.run(&["nft", "list", "ruleset"]), rules);
}

fn check_logs(machine: &Machine) {
    until("each instance writes to its own file", || {
        ["node1", "node2", "balancer"]
            .iter()
            .all(|name| {
                let file = format!("var/log/seawall/{name}.log");
                let log = std::fs::read_to_string(machine.root().join(file));
                log.is_ok_and(|log| log.contains(&format!("seawall-{name}[")))
            })
            .then_some(())
    });
    machine.run(&["logrotate", "--force", "/etc/logrotate.d/seawall"]);
    machine.run(&["systemctl", "restart", UNITS[0]]);
    until("rsyslog writes to the new file", || {
        let log = std::fs::read_to_string(machine.root().join("var/log/seawall/node1.log"));
        log.is_ok_and(|log| log.contains("node serves"))
            .then_some(())
    });
}

fn a_second_install_finds_nothing_to_do(machine: &Machine) {
    let said = machine.run(&[PROGRAM, "install", "--yes"]);
    let words: Vec<_> = said.split_whitespace().collect();
    assert_eq!((words[0], words[1]), ("installed;", words[3]), "{said}");
}

fn what_drifted_is_mended(machine: &Machine) {
    machine.run(&["systemctl", "stop", UNITS[1], "seawall-sweep.timer"]);
    machine.run(&[
        "rm",
        "/etc/seawall/store-password",
        "/etc/logrotate.d/seawall",
    ]);
    machine.run(&["chmod", "0777", "/etc/seawall/seawall.toml"]);
    // It begins by dropping everybody's rules.
    machine.run(&["nft", "--file", "/etc/nftables.conf"]);
    let said = machine.run(&[PROGRAM, "install", "--yes"]);
    for line in [
        "made      /etc/seawall/store-password",
        "mended    /etc/seawall/seawall.toml",
        "made      /etc/logrotate.d/seawall",
        "did       make the database seawall and its owner",
        "did       put rules into nftables",
        "start     seawall-node@node2.service",
        "start     seawall-sweep.timer",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}:\n{said}");
    }
    check_firewall(machine);
    visit(machine, "");
    a_second_install_finds_nothing_to_do(machine);
}

fn a_hung_node_is_restarted(machine: &Machine) {
    let hung = main_pid(machine, UNITS[0]);
    machine.run(&["systemctl", "kill", "--signal=SIGSTOP", UNITS[0]]);
    until("systemd replaces the hung node", || {
        let is_new = !["0", &hung].contains(&main_pid(machine, UNITS[0]).as_str());
        is_new.then_some(())
    });
    both_are_up(machine);
}

/// Waits until the balancer has seen both nodes up.
fn both_are_up(machine: &Machine) {
    until("both nodes are up", || {
        let (_, csv) = get(machine, 8404, "/stats;csv", "")?;
        let states = ["node1", "node2"].map(|node| column(&csv, node, 17));
        (states == ["UP", "UP"]).then_some(())
    });
}

/// A column of HAProxy's CSV.
fn column(csv: &str, server: &str, index: usize) -> String {
    let mut lines = csv.lines();
    let line = lines.find(|line| line.starts_with(&format!("seawall,{server},")));
    let column = line.and_then(|line| line.split(',').nth(index));
    column.unwrap_or_default().to_owned()
}

/// Nodes one after the other and the balancer, under load.
fn restarts_fail_no_request(machine: &Machine) {
    let mut bench = machine.beside(env!("CARGO_BIN_EXE_seawall"));
    bench.args([
        "bench",
        "http://127.0.0.1/session-test/",
        "--json",
        "--duration",
        "20s",
    ]);
    bench
        .args(["--sessions", "16", "--connections", "8"])
        .stdout(Stdio::piped());
    let bench = bench.spawn().unwrap();
    let requests = |node: &str| -> u64 {
        let answer = get(machine, 8404, "/stats;csv", "");
        let count = answer.map(|(_, csv)| column(&csv, node, 7));
        count.and_then(|count| count.parse().ok()).unwrap_or(0)
    };
    let before = requests("node1");
    until("the load is on", || {
        (requests("node1") > before + 100).then_some(())
    });
    for unit in [UNITS[0], UNITS[1], UNITS[4]] {
        machine.run(&["systemctl", "restart", unit]);
        both_are_up(machine);
    }
    let output = bench.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert!(output.status.success(), "{report}{}", machine.log());
    assert!(
        report["errors"].as_object().unwrap().is_empty(),
        "requests failed: {report}{}",
        machine.log()
    );
}
