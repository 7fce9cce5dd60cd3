//! A cluster as systemd runs it: one configuration, and each node and the balancer a process of its
//! own.

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use seawall_testing::free_port;
use serde_json::Value;
use tempfile::TempDir;

use crate::cluster::{get, seawall, until};

/// A process that ends with the test.
pub(crate) struct Service(Child);

impl Service {
    /// Starts a process that logs to the end of a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log);
        let command = command.stdin(Stdio::null()).stderr(log.unwrap());
        Self(command.spawn().unwrap())
    }

    /// As [`start`](Self::start), with another standard input and output.
    pub(crate) fn start_on(command: &mut Command, input: Stdio, output: Stdio, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log);
        let command = command.stdin(input).stdout(output).stderr(log.unwrap());
        Self(command.spawn().unwrap())
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) {
        self.0.wait().unwrap();
    }

    /// Asks the process to end, as systemd does, and waits until it has ended well.
    pub(crate) fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) struct Site {
    pub(crate) folder: TempDir,
    pub(crate) ports: Vec<u16>,
    pub(crate) front: u16,
    pub(crate) stats: u16,
    pub(crate) nodes: Vec<Option<Service>>,
    pub(crate) balancer: Option<Service>,
}

pub(crate) const ADMIN_TOKEN: &str = "0123456789abcdef0123456789abcdef";

impl Site {
    /// A configuration for so many nodes, and none of its processes. `more` stands at its beginning.
    pub(crate) fn plan(nodes: usize, more: &str) -> Self {
        let site = Self {
            folder: TempDir::with_prefix("seawall-site-").unwrap(),
            ports: (0..nodes).map(|_| free_port()).collect(),
            front: free_port(),
            stats: free_port(),
            nodes: (0..nodes).map(|_| None).collect(),
            balancer: None,
        };
        fs::write(site.path("admin.token"), ADMIN_TOKEN).unwrap();
        site.configure(&site.ports, more);
        site
    }

    /// Writes the configuration.
    pub(crate) fn configure(&self, ports: &[u16], more: &str) {
        let (front, stats) = (self.front, self.stats);
        let data = self.folder.path().display();
        let mut text = format!(
            "data = \"{data}\"\n{more}\n[balancer]\nhttp = \"127.0.0.1:{front}\"\n\
             stats = \"127.0.0.1:{stats}\"\n"
        );
        for (number, port) in (1..).zip(ports) {
            writeln!(
                text,
                "[[node]]\nname = \"node{number}\"\naddress = \"127.0.0.1:{port}\""
            )
            .unwrap();
        }
        fs::write(self.path("seawall.toml"), text).unwrap();
    }

    /// All of it, once the balancer has all nodes.
    pub(crate) fn start(nodes: usize, more: &str) -> Self {
        let mut site = Self::plan(nodes, more);
        for index in 0..nodes {
            site.start_node(index, Path::new(env!("CARGO_BIN_EXE_seawall")));
        }
        site.start_balancer();
        site.until_all_are_up();
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command with this site's configuration.
    pub(crate) fn seawall(&self, words: &[&str]) -> Command {
        let mut command = seawall();
        command.args(words).arg("--config");
        command.arg(self.path("seawall.toml"));
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.seawall(words).output().unwrap()
    }

    pub(crate) fn start_node(&mut self, index: usize, program: &Path) {
        let mut command = Command::new(program);
        command
            .args(["node", "--name", &format!("node{}", index + 1), "--config"])
            .arg(self.path("seawall.toml"))
            .env_remove("SEAWALL_STORE_URL");
        let log = self.path(&format!("node{}.log", index + 1));
        self.nodes[index] = Some(Service::start(&mut command, &log));
        until("the node answers", || get(self.ports[index], "/", ""));
    }

    pub(crate) fn start_balancer(&mut self) {
        let mut command = self.seawall(&["balance"]);
        let log = self.path("balancer.log");
        self.balancer = Some(Service::start(&mut command, &log));
        until("the balancer answers", || get(self.stats, "/health", ""));
    }

    pub(crate) fn until_all_are_up(&self) {
        until("the balancer has all nodes", || {
            let servers = self.servers();
            let is_up = |server: &Value| server["state"] == "UP" && server["suspect"] == false;
            servers.iter().all(is_up).then_some(())
        });
    }

    /// What the balancer says of its servers.
    pub(crate) fn servers(&self) -> Vec<Value> {
        let (_, body) = get(self.stats, "/health", "").unwrap();
        let report: Value = serde_json::from_str(&body).unwrap();
        report["servers"].as_array().unwrap().clone()
    }

    /// What all processes logged, for a test that fails.
    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "log") {
                writeln!(text, "── {}", path.display()).unwrap();
                text += &fs::read_to_string(path).unwrap();
            }
        }
        text
    }

    /// What a node says of itself.
    pub(crate) fn node(&self, index: usize) -> Value {
        let (_, body) = get(self.ports[index], "/.seawall/health", "").unwrap();
        serde_json::from_str(&body).unwrap()
    }
}
