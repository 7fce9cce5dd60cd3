//! One configuration for several machines. Each has a loopback address of its own here.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use seawall_testing::{TestPostgres, free_port};
use tempfile::TempDir;

use crate::cluster::{get, seawall, session_cookie, until, visit_count};

const PAGE: &str = "/session-test/";

/// A process that ends with the test.
struct Machine(Child);

impl Machine {
    fn start(command: &mut Command) -> Self {
        Self(command.stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `seawall.toml` as all machines have it.
fn write_configuration(folder: &TempDir, node_port: u16) -> std::path::PathBuf {
    let file = folder.path().join("seawall.toml");
    let node = |index: u16| {
        format!("[[node]]\nname = \"app{index}\"\naddress = \"127.0.0.{index}:{node_port}\"\n")
    };
    fs::write(&file, node(2) + &node(3)).unwrap();
    file
}

fn node(file: &Path, name: &str, store: &str) -> Machine {
    let mut command = seawall();
    command.args(["node", "--name", name, "--config"]).arg(file);
    Machine::start(command.env("SEAWALL_STORE_URL", store))
}

/// A balancer that finds its servers in the configuration, and its port.
fn balancer(file: &Path) -> (Machine, u16) {
    let (http, stats) = (free_port(), free_port());
    let mut command = seawall();
    command.args(["balance", "--http", &format!("127.0.0.1:{http}")]);
    command.args(["--stats", &format!("127.0.0.1:{stats}"), "--config"]);
    let machine = Machine::start(command.arg(file));
    until("the balancer has both nodes", || {
        let (_, health) = get(stats, "/health", "")?;
        (health.matches("\"UP\"").count() == 2).then_some(())
    });
    (machine, http)
}

#[test]
fn two_balancers_side_by_side_keep_clients_with_nodes_of_other_machines() {
    let database = TestPostgres::start();
    let folder = tempfile::tempdir().unwrap();
    let file = write_configuration(&folder, free_port());
    let _nodes = ["app2", "app3"].map(|name| node(&file, name, &database.url()));
    let balancers = [balancer(&file), balancer(&file)];
    let (head, _) = get(balancers[0].1, PAGE, "").unwrap();
    let cookie = session_cookie(&head).unwrap();
    for visit in 2..=11 {
        let (_, port) = balancers[visit % 2];
        let (head, page) = get(port, PAGE, &cookie).unwrap();
        assert_eq!(visit_count(&page), Some(visit as u64));
        // The node that the cookie names has answered: it gives no other.
        assert_eq!(session_cookie(&head), None);
    }
}

#[test]
fn a_node_that_the_configuration_does_not_have_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = write_configuration(&folder, free_port());
    let mut command = seawall();
    command.args(["node", "--name", "app9", "--config"]);
    let output = command.arg(&file).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("app2, app3"), "{error}");
}

#[test]
fn up_refuses_nodes_of_other_machines() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seawall.toml");
    let node = "[[node]]\nname = \"app1\"\naddress = \"192.0.2.1:8080\"\n";
    fs::write(&file, node).unwrap();
    let output = seawall().args(["up", "--config"]).arg(&file).output();
    let error = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(error.contains("seawall node --name"), "{error}");
}
