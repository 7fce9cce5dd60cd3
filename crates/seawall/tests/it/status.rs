//! `seawall status`.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    cluster::{get, seawall, until},
    site::Site,
};

fn status(site: &Site) -> Value {
    let output = site.run(&["status", "--json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Ends with the test.
struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn load(site: &Site) -> Load {
    let mut command = seawall();
    let page = format!("http://127.0.0.1:{}/session-test/", site.front);
    command.args([
        "bench",
        &page,
        "--duration",
        "60s",
        "--rate",
        "100",
        "--sessions",
        "16",
    ]);
    command.stdout(Stdio::null());
    Load(command.spawn().unwrap())
}

#[test]
fn the_cluster_is_seen_at_a_glance() {
    let mut site = Site::start(2, "");
    let load = load(&site);
    let (first, second) = until("both nodes are at work", || {
        let status = status(&site);
        let [first, second] = [0, 1].map(|index| status["nodes"][index].clone());
        let busy = |node: &Value| node["p99_ms"].as_f64().is_some_and(|ms| ms > 0.0);
        (busy(&first) && busy(&second)).then_some((first, second))
    });
    for node in [&first, &second] {
        assert_eq!(
            (&node["state"], &node["balancer_state"]),
            (&"up".into(), &"UP".into())
        );
        let rate = node["requests_per_second"].as_f64().unwrap();
        assert!((1.0..200.0).contains(&rate), "{node}");
        assert!(node["memory_bytes"].as_u64().unwrap() > 1 << 20, "{node}");
        assert_eq!(node["version"], env!("CARGO_PKG_VERSION"));
    }
    drop(load);
    assert!(site.run(&["drain", "node1"]).status.success());
    site.nodes[1].take().unwrap().stop();
    let text = String::from_utf8(site.run(&["status"]).stdout).unwrap();
    let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(line("node1 ").contains("draining"), "{text}");
    assert!(line("node2 ").contains("no answer"), "{text}");
    assert!(line("node2: ").contains("refused"), "{text}");
    assert!(line("store (SQLite)").contains("up"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours into a pipe: {text}");
}

#[test]
fn parts_that_cannot_be_seen_are_said_and_waited_for_no_longer_than_needed() {
    let site = Site::plan(2, "[store]\nurl = \"postgres://sea@127.0.0.1:1/none\"");
    let status = status(&site);
    assert_eq!(status["balancer"]["state"], "no answer");
    assert_eq!(status["nodes"][1]["state"], "no answer");
    assert_eq!(status["nodes"][1]["requests_per_second"], Value::Null);
    assert_eq!(status["store"]["state"], "no answer");
    let problem = status["store"]["problem"].as_str().unwrap();
    assert!(problem.contains("refused"), "{status}");
}

#[test]
fn a_configuration_that_cannot_be_used_is_exit_code_1() {
    let site = Site::plan(1, "[stroe]");
    assert_eq!(site.run(&["status"]).status.code(), Some(1));
}

#[test]
fn it_goes_on_until_it_is_told_to_end() {
    let site = Site::start(1, "");
    let mut command = site.seawall(&["status", "--watch", "--json"]);
    let mut watching = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["nodes"][0]["state"], "up");
        get(site.front, "/", "").unwrap();
    }
    let pid = Pid::from_raw(i32::try_from(watching.id()).unwrap());
    kill(pid, Signal::SIGINT).unwrap();
    assert!(watching.wait().unwrap().success());
}
