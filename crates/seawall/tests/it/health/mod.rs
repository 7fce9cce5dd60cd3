//! `seawall health` against what can be broken: it ends in time, never says that all is well, and
//! names what is wrong.

pub(crate) mod servers;
pub(crate) mod stores;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use seawall_testing::{TestPostgres, free_port};
use serde_json::{Value, json};

use crate::{
    cluster::{get, seawall, until},
    site::{Service, Site},
};

/// What `health` promises, and what a busy machine adds.
const LIMIT: Duration = Duration::from_secs(13);

/// How many states are looked at at a time.
const AT_A_TIME: usize = 6;

/// A configuration, what `health` must find with it, and what has to live meanwhile.
pub(crate) struct State {
    name: &'static str,
    nodes: [u16; 2],
    stats: u16,
    store: String,
    data: PathBuf,
    /// What is wrong, and words of the finding.
    expected: (&'static str, &'static str),
}

impl State {
    /// The well state of a site.
    fn of(site: &Site, name: &'static str, what: &'static str, words: &'static str) -> Self {
        Self {
            name,
            nodes: [site.ports[0], site.ports[1]],
            stats: site.stats,
            store: String::new(),
            data: site.folder.path().to_owned(),
            expected: (what, words),
        }
    }

    fn node2(self, port: u16) -> Self {
        Self {
            nodes: [self.nodes[0], port],
            ..self
        }
    }

    fn stats(self, stats: u16) -> Self {
        Self { stats, ..self }
    }

    fn store(self, store: impl Into<String>) -> Self {
        Self {
            store: store.into(),
            ..self
        }
    }

    fn data(self, data: &Path) -> Self {
        Self {
            data: data.to_owned(),
            ..self
        }
    }

    fn configuration(&self) -> String {
        let Self { store, stats, .. } = self;
        let data = self.data.display();
        let mut text = format!(
            "data = \"{data}\"\n[store]\nurl = \"{store}\"\n[balancer]\nstats = \"127.0.0.1:{stats}\"\n"
        );
        for (number, port) in (1..).zip(self.nodes) {
            writeln!(
                text,
                "[[node]]\nname = \"node{number}\"\naddress = \"127.0.0.1:{port}\""
            )
            .unwrap();
        }
        text
    }

    /// The exit code and the report.
    fn look(&self, folder: &Path) -> (i32, Value) {
        let file = folder.join(format!("{}.toml", self.name.replace(' ', "-")));
        fs::write(&file, self.configuration()).unwrap();
        let mut health = seawall();
        health.args(["health", "--json", "--config"]).arg(file);
        let started = Instant::now();
        let output = health.output().unwrap();
        let took = started.elapsed();
        let name = self.name;
        assert!(took < LIMIT, "{name}: it took {took:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let report = serde_json::from_str(&text);
        let report = report.unwrap_or_else(|_| panic!("{name}: no report: {text}"));
        (output.status.code().unwrap(), report)
    }

    fn check(&self, folder: &Path) {
        let (code, report) = self.look(folder);
        let name = self.name;
        assert_ne!(code, 0, "{name}: all is well? {report}");
        let (what, words) = self.expected;
        let findings = report["checks"].as_array().unwrap().iter();
        let found = findings
            .filter(|finding| finding["what"] == what)
            .any(|finding| {
                let detail = finding["detail"].as_str().unwrap();
                finding["level"] != "ok" && detail.contains(words)
            });
        assert!(
            found,
            "{name}: no finding on {what} with {words:?}: {report}"
        );
    }
}

/// Checks all states, several at a time.
fn check_all(states: Vec<State>, folder: &Path) {
    let waiting = Mutex::new(states);
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(state) = { waiting.lock().unwrap().pop() } {
                    state.check(folder);
                }
            });
        }
    });
}

#[test]
fn broken_nodes_and_balancers_are_named() {
    let site = Site::start(2, "");
    let well = State::of(&site, "well", "", "");
    until("all is well", || {
        (well.look(site.folder.path()).0 == 0).then_some(())
    });
    let mut states = broken_nodes(&site);
    let (stopped, state) = stopped_node(&site);
    states.push(state);
    states.extend(broken_balancers(&site));
    let (balancers, more) = balancers_without_servers(&site);
    states.extend(more);
    let (_mount, more) = stores::full_disk(&site).unzip();
    states.extend(more);
    assert!(states.len() >= 20, "{}", states.len());
    check_all(states, site.folder.path());
    let (code, report) = well.look(site.folder.path());
    assert_eq!(code, 0, "nothing is left of it: {report}");
    drop((stopped, balancers));
}

fn broken_nodes(site: &Site) -> Vec<State> {
    let state = |name, words, port| State::of(site, name, "node2", words).node2(port);
    let of = |name, what, words, port| State::of(site, name, what, words).node2(port);
    let node2 = site.ports[1];
    let later = |ms: i64| {
        move |report: &mut Value| {
            report["time_ms"] = json!(report["time_ms"].as_i64().unwrap() + ms);
        }
    };
    let another = servers::altered(site.ports[0], |_| ());
    let garbage = "\u{1b}[2J\0\u{7}\r\n\r\n";
    let page = "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n<h1>Welcome</h1>";
    let sick = "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}";
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{";
    let set = |name: &'static str, value: Value| {
        servers::altered(node2, move |report| report[name] = value.clone())
    };
    vec![
        state("node port closed", "refused", free_port()),
        state("node accepts and is silent", "no answer", servers::silent()),
        state("node closes", "", servers::closing()),
        state("node talks garbage", "", servers::saying(garbage)),
        state(
            "node is a web page",
            "is this a node",
            servers::saying(page),
        ),
        state("node answers 500", "500", servers::saying(sick)),
        state(
            "node cuts its answer off",
            "no answer",
            servers::saying(cut),
        ),
        state("node never stops talking", "", servers::endless()),
        state("node talks slowly", "no answer", servers::slow()),
        state("node is another", "it says it is \"node1\"", another),
        state("node drains", "drains", set("draining", json!(true))),
        of(
            "two versions",
            "versions",
            "9.9.9",
            set("version", json!("9.9.9")),
        ),
        of(
            "node without a clock",
            "clocks",
            "what time",
            set("time_ms", Value::Null),
        ),
        of(
            "clock ahead",
            "clocks",
            "node2",
            servers::altered(node2, later(9_000)),
        ),
        of(
            "clock behind",
            "clocks",
            "node2",
            servers::altered(node2, later(-600_000)),
        ),
    ]
}

/// A node that hangs: its socket takes connections.
fn stopped_node(site: &Site) -> (Service, State) {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let mut command = site.seawall(&["node", "--name", "node2", "--listen", &address]);
    let node = Service::start(&mut command, &site.path("more.log"));
    until("the node answers", || get(port, "/", ""));
    node.signal(Signal::SIGSTOP);
    let state = State::of(site, "node hangs", "node2", "no answer").node2(port);
    (node, state)
}

fn broken_balancers(site: &Site) -> Vec<State> {
    let state = |name, words, port| State::of(site, name, "balancer", words).stats(port);
    let is_this = "is this the statistics address";
    vec![
        state("balancer port closed", "refused", free_port()),
        state("balancer is silent", "no answer", servers::silent()),
        state("balancer is a node", is_this, site.ports[0]),
        state("balancer is the front", is_this, site.front),
        state("balancer never stops talking", "", servers::endless()),
        state("balancer talks slowly", "no answer", servers::slow()),
    ]
}

/// Balancers whose servers are down: one of two, or both.
fn balancers_without_servers(site: &Site) -> (Vec<Service>, Vec<State>) {
    let start = |servers: [u16; 2]| {
        let (front, stats) = (free_port(), free_port());
        let mut command = site.seawall(&["balance", "--http", &format!("127.0.0.1:{front}")]);
        command.args(["--stats", &format!("127.0.0.1:{stats}")]);
        for (number, port) in (1..).zip(servers) {
            command.args(["--server", &format!("node{number}=127.0.0.1:{port}")]);
        }
        let balancer = Service::start(&mut command, &site.path("more.log"));
        until("a server is down", || {
            let (_, report) = get(stats, "/health", "")?;
            report.contains("DOWN").then_some(())
        });
        (balancer, front, stats)
    };
    let (one, _, one_down) = start([site.ports[0], free_port()]);
    let (none, front, all_down) = start([free_port(), free_port()]);
    for _ in 0..120 {
        let (head, _) = get(front, "/session-test/", "").unwrap();
        assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    }
    let state = |name, what, words, stats| State::of(site, name, what, words).stats(stats);
    let states = vec![
        state("one server down", "balancer", "node2 DOWN", one_down),
        state(
            "all servers down",
            "balancer",
            "0 of 2 servers up",
            all_down,
        ),
        state("errors", "errors", "120 of 120 answers", all_down),
    ];
    (vec![one, none], states)
}

#[test]
fn broken_stores_are_named() {
    let site = Site::start(2, "");
    let broken = stores::broken(&site);
    check_all(broken.states, site.folder.path());
    drop(broken.servers);
}

#[test]
fn the_probe_leaves_nothing() {
    let database = TestPostgres::start();
    let site = Site::start(2, &format!("[store]\nurl = \"{}\"", database.url()));
    for _ in 0..3 {
        until("all is well", || {
            (site.run(&["health"]).status.code() == Some(0)).then_some(())
        });
    }
    assert_eq!(database.query("SELECT count(*) FROM jettysessions"), "0");
    let text = String::from_utf8(site.run(&["health"]).stdout).unwrap();
    assert!(text.starts_with("seawall ok: "), "{text}");
    assert!(text.contains("0 sessions; tables of version 1"), "{text}");
    for part in [
        "store probe",
        "node2",
        "versions",
        "clocks",
        "balancer",
        "errors",
        "disk",
    ] {
        let line = text.lines().find(|line| line.contains(part)).unwrap();
        assert!(line.starts_with("ok "), "{line}");
    }
    assert!(!text.contains('\u{1b}'), "no colours into a pipe");
}

/// Runs a program and says whether it succeeded.
fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let output = command.args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}
