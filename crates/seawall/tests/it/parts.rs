//! Clusters of which only a part is Seawall's: nodes behind another balancer, a balancer in front of
//! other servers. What is not there is not missed.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use crate::{
    cluster::{get, until},
    doctor::assert_found,
    site::{Service, Site},
};

fn json(output: &Output) -> Value {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn until_well(site: &Site) {
    until("all is well", || {
        let health = site.run(&["health"]);
        (health.status.code() == Some(0)).then_some(())
    });
}

fn failure(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn nodes_behind_another_balancer_are_well_without_ours() {
    let mut site = Site::plan(2, "");
    let file = site.path("seawall.toml");
    let text = fs::read_to_string(&file).unwrap();
    let without = text.replace("[balancer]\n", "[balancer]\nenabled = false\n");
    fs::write(&file, without).unwrap();
    for index in 0..2 {
        site.start_node(index, Path::new(env!("CARGO_BIN_EXE_seawall")));
    }
    until_well(&site);
    assert_found(&site, &[], &[]);
    let status = json(&site.run(&["status", "--json"]));
    assert_eq!(status["balancer"], Value::Null);
    assert_eq!(status["store"]["state"], "up");
    let drained = site.run(&["drain", "node1", "--wait"]);
    let text = String::from_utf8_lossy(&drained.stdout);
    assert!(
        text.contains("not every balancer could be asked"),
        "{drained:?}"
    );
    let error = failure(&mut site.seawall(&["balance"]));
    assert!(error.contains("balancer.enabled is false"), "{error}");
    let error = failure(&mut site.seawall(&["up"]));
    assert!(error.contains("balancer.enabled"), "{error}");
}

#[test]
fn a_balancer_in_front_of_other_servers_is_well_without_nodes() {
    let mut site = Site::start(2, "");
    site.balancer.take().unwrap().stop();
    let balancer = format!(
        "[nodes]\ncount = 0\n[balancer]\nhttp = \"127.0.0.1:{}\"\nstats = \"127.0.0.1:{}\"\n",
        site.front, site.stats
    );
    fs::write(site.path("seawall.toml"), balancer).unwrap();
    let mut balance = site.seawall(&["balance"]);
    for (number, port) in (1..).zip(&site.ports) {
        balance.args(["--server", &format!("node{number}=127.0.0.1:{port}")]);
    }
    let _balancer = Service::start(&mut balance, &site.path("balancer.log"));
    until("the balancer answers", || get(site.stats, "/health", ""));
    site.until_all_are_up();
    until_well(&site);
    assert_found(&site, &[], &[]);
    let page = format!("http://127.0.0.1:{}/session-test/", site.front);
    assert_found(&site, &["--page", &page], &[]);
    let status = json(&site.run(&["status", "--json"]));
    assert_eq!(
        (&status["store"], &status["nodes"]),
        (&Value::Null, &Value::from([(); 0]))
    );
    assert_eq!(status["balancer"]["state"], "up");
    let error = failure(&mut site.seawall(&["up"]));
    assert!(error.contains("nodes.count"), "{error}");
    let error = failure(&mut site.seawall(&["node"]));
    assert!(error.contains("nodes.count is 0"), "{error}");
}
