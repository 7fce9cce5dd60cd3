//! The balancers alone: the CPU time of one thread for the same work, in front of the same nodes.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use seawall_testing::free_port;

use super::{
    http,
    load::{PAGE, Visitors},
    process::{Process, cpu_nanos},
    recipe::haproxy_configuration,
    table::{self, median},
};
use crate::command::program;

const START_LIMIT: Duration = Duration::from_secs(30);
const CONNECTIONS: u32 = 64;

/// One balancer with its visitors.
#[derive(Debug)]
struct Candidate {
    name: &'static str,
    process: Process,
    visitors: Visitors,
}

impl Candidate {
    /// CPU time in µs a request.
    fn cost(&self, duration: Duration) -> Result<f64> {
        let before = cpu_nanos(self.process.id());
        let measured = self.visitors.visit(CONNECTIONS, duration)?;
        let nanos = cpu_nanos(self.process.id()) - before;
        Ok(nanos as f64 / 1e3 / measured.requests as f64)
    }
}

/// Compares `seawall balance` with HAProxy: sticky by the recipe's `prefix`, checks on.
pub(crate) fn compare(seawall: &Path, rounds: u32, duration: Duration) -> Result<()> {
    let ports = [free_port(), free_port()];
    let _nodes = [
        start_node(seawall, "jetty1", ports[0])?,
        start_node(seawall, "jetty2", ports[1])?,
    ];
    let candidates = [haproxy(ports)?, own(seawall, ports)?];
    let mut costs = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        for (candidate, costs) in candidates.iter().zip(&mut costs) {
            println!(
                "balancer alone, round {round} of {rounds}: {}",
                candidate.name
            );
            costs.push(candidate.cost(duration)?);
        }
    }
    let [base, other] = costs.map(median);
    let rows = [
        vec![candidates[0].name.to_owned(), format!("{base:.1}")],
        vec![candidates[1].name.to_owned(), format!("{other:.1}")],
        vec!["**ratio**".to_owned(), format!("**{:.2}**", other / base)],
    ];
    let title = format!("The balancer alone, one thread, {CONNECTIONS} connections");
    table::print(&title, &["balancer", "CPU µs/request"], &rows);
    Ok(())
}

/// A node whose sessions are in its memory: only the balancers are measured.
fn start_node(seawall: &Path, name: &str, port: u16) -> Result<Process> {
    let mut node = program(&seawall.display().to_string(), &["node"]);
    node.args(["--name", name, "--listen", &format!("127.0.0.1:{port}")]);
    node.args(["--store", "memory:", "--workers", "1"]);
    let process = Process::start(&mut node, &super::folder()?.join("seawall.log"))?;
    http::wait_for(port, PAGE, START_LIMIT)?;
    Ok(process)
}

fn haproxy(nodes: [u16; 2]) -> Result<Candidate> {
    let front = free_port();
    let configuration = haproxy_configuration("nbthread 1", front, free_port(), nodes)?;
    let file = super::folder()?.join("haproxy-alone.cfg");
    fs::write(&file, configuration.replace("check.txt", ""))?;
    let file = file.display().to_string();
    let mut haproxy = program("haproxy", &["-db", "-f", &file]);
    let process = Process::start(&mut haproxy, &super::folder()?.join("haproxy.log"))?;
    candidate("HAProxy", process, front)
}

fn own(seawall: &Path, nodes: [u16; 2]) -> Result<Candidate> {
    let (front, stats) = (free_port(), free_port());
    let mut balance = program(&seawall.display().to_string(), &["balance"]);
    balance.args(["--http", &format!("127.0.0.1:{front}")]);
    balance.args(["--stats", &format!("127.0.0.1:{stats}")]);
    balance.args(["--stick", "prefix", "--workers", "1"]);
    for (index, port) in nodes.iter().enumerate() {
        let server = format!("jetty{}=127.0.0.1:{port}", index + 1);
        balance.args(["--server", &server]);
    }
    let process = Process::start(&mut balance, &super::folder()?.join("seawall.log"))?;
    candidate("Seawall", process, front)
}

fn candidate(name: &'static str, process: Process, front: u16) -> Result<Candidate> {
    let started = Instant::now();
    http::wait_for(front, PAGE, START_LIMIT)?;
    let visitors = Visitors::new(&format!("{name}-alone"), front)?;
    println!(
        "{name} is ready after {:.1} s",
        started.elapsed().as_secs_f64()
    );
    Ok(Candidate {
        name,
        process,
        visitors,
    })
}
