//! Seawall's side: `seawall up` with two nodes.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use seawall_testing::free_port;

use super::{
    http,
    load::PAGE,
    process::{Process, family},
};
use crate::command::program;

const START_LIMIT: Duration = Duration::from_secs(30);

/// A cluster by `seawall up`.
#[derive(Debug)]
pub(crate) struct Seawall {
    program: PathBuf,
    store: String,
    data: PathBuf,
    pub(crate) front: u16,
    stats: u16,
    node_port: u16,
}

impl Seawall {
    pub(crate) fn new(program: PathBuf, name: &str, store: &str) -> Result<Self> {
        Ok(Self {
            program,
            store: store.to_owned(),
            data: super::folder()?.join(name),
            front: free_port(),
            stats: free_port(),
            node_port: pair_of_free_ports(),
        })
    }

    /// Starts the cluster, and says how long it took until a page came through the balancer.
    pub(crate) fn start(&self) -> Result<(Process, Duration)> {
        let mut up = program(&self.program.display().to_string(), &["up"]);
        up.args(["--http", &format!("127.0.0.1:{}", self.front)]);
        up.args(["--stats", &format!("127.0.0.1:{}", self.stats)]);
        up.args(["--node-port", &self.node_port.to_string()]);
        up.arg("--data").arg(&self.data);
        up.env("SEAWALL_STORE_URL", &self.store);
        let process = Process::start(&mut up, &super::folder()?.join("seawall.log"))?;
        let took = http::wait_for(self.front, PAGE, START_LIMIT)?;
        for port in [self.node_port, self.node_port + 1] {
            http::wait_for(port, PAGE, START_LIMIT)?;
        }
        Ok((process, took))
    }

    /// The ids of the processes whose command line has the word: `node` or `balance`.
    pub(crate) fn children(up: &Process, word: &str) -> Vec<u32> {
        let has_word = |id: &u32| {
            let words = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            words
                .split(|byte| *byte == 0)
                .any(|given| given == word.as_bytes())
        };
        family(up.id()).into_iter().filter(has_word).collect()
    }
}

/// The first of two ports in a row that nobody listens on.
fn pair_of_free_ports() -> u16 {
    loop {
        let first = free_port();
        let second = first.checked_add(1);
        if second.is_some_and(|port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
}
