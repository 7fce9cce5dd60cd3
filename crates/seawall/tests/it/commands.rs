//! `check`, `health` and what is said to somebody who calls the program wrongly.

use std::fs;

use crate::cluster::{Cluster, seawall};

#[test]
fn check_names_the_place_and_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seawall.toml");
    fs::write(&file, "[session]\nidle_timeout = \"30m\"\n").unwrap();
    assert!(
        seawall()
            .arg("check")
            .arg(&file)
            .output()
            .unwrap()
            .status
            .success()
    );
    fs::write(&file, "[session]\nidle_timout = \"30m\"\n").unwrap();
    let output = seawall().arg("check").arg(&file).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        error.contains(":2:1:") && error.contains("did you mean `idle_timeout`"),
        "{error}"
    );
}

#[test]
fn a_wrong_call_is_exit_code_2() {
    assert_eq!(
        seawall().arg("upp").output().unwrap().status.code(),
        Some(2)
    );
    let output = seawall()
        .args(["bench", "https://localhost/"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("http://")
    );
}

#[test]
fn health_is_well_only_when_all_is() {
    let cluster = Cluster::start();
    let file = cluster.folder.path().join("seawall.toml");
    let text = format!(
        "[nodes]\nport = {}\n[balancer]\nstats = \"127.0.0.1:{}\"\n",
        cluster.node_port, cluster.stats
    );
    fs::write(&file, text).unwrap();
    let health = || {
        let mut command = seawall();
        command
            .current_dir(cluster.folder.path())
            .arg("health")
            .arg("--config")
            .arg(&file);
        command.output().unwrap()
    };
    crate::cluster::until("all is well", || {
        (health().status.code() == Some(0)).then_some(())
    });
    let text = String::from_utf8(health().stdout).unwrap();
    for part in ["store", "node1", "node2", "balancer"] {
        assert!(text.contains(part), "{text}");
    }
    let lonely = tempfile::tempdir().unwrap();
    let output = seawall()
        .current_dir(lonely.path())
        .args(["health", "--json"])
        .output()
        .unwrap();
    assert_ne!(output.status.code(), Some(0), "nothing runs there");
}
