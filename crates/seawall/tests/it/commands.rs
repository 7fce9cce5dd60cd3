//! `check`, `health` and what is said to somebody who calls the program wrongly.

use std::{fs, path::Path};

use seawall_testing::TestMariaDb;

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

/// The password that a real database wants comes from where systemd puts credentials.
#[test]
fn a_password_may_be_a_credential() {
    let mariadb = TestMariaDb::start();
    mariadb.query(
        "CREATE USER app@'%' IDENTIFIED BY 'right'; CREATE DATABASE web; \
         GRANT ALL ON web.* TO app@'%'",
    );
    let folder = tempfile::tempdir().unwrap();
    let (file, credentials) = (folder.path().join("seawall.toml"), folder.path());
    let text = format!(
        "[store]\nurl = \"mysql://app@127.0.0.1:{}/web\"\npassword_file = \"credential:db\"\n",
        mariadb.port()
    );
    fs::write(&file, text).unwrap();
    let swept = |credentials: Option<&Path>| {
        let mut command = seawall();
        command.args(["sessions", "sweep", "--config"]).arg(&file);
        command.env_remove("CREDENTIALS_DIRECTORY");
        if let Some(folder) = credentials {
            command.env("CREDENTIALS_DIRECTORY", folder);
        }
        let output = command.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        (output.status.success(), error)
    };
    let (done, error) = swept(None);
    assert!(!done && error.contains("LoadCredential="), "{error}");
    fs::write(credentials.join("db"), "wrong\n").unwrap();
    let (done, error) = swept(Some(credentials));
    assert!(!done && error.contains("Access denied"), "{error}");
    fs::write(credentials.join("db"), "right\n").unwrap();
    let (done, error) = swept(Some(credentials));
    assert!(done, "{error}");
    let checked = seawall().arg("check").arg(&file).output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
}
