//! `check`, `health` and what is said to somebody who calls the program wrongly.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    path::Path,
    process::Stdio,
};

use seawall_testing::TestMariaDb;
use serde_json::Value;

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
fn as_many_workers_as_there_can_be_are_from_one_up() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["node", "balance"] {
        for count in ["0", "1025", "many"] {
            let mut call = seawall();
            call.current_dir(folder.path())
                .args([command, "--workers", count]);
            // One that serves in spite of it ends by itself.
            let output = call.arg("--parent-pipe").output().unwrap();
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{error}");
            let is_told = error.contains("--workers") && error.contains("from 1 to 1024");
            assert!(is_told, "{error}");
        }
    }
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

#[test]
fn check_says_what_nodes_and_balancers_would_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seawall.toml");
    for (text, key) in [
        ("store.url = \"postgres://u@h:99999/d\"", "store.url: "),
        ("store.url = \"mysql://u@h/d?foo=bar\"", "store.url: "),
        (
            "nodes.webapps = \"/nope\"",
            "nodes.webapps: /nope: No such file",
        ),
        ("admin.token_file = \"/nope\"", "admin.token_file: "),
        (
            "balancer.stats = \"0.0.0.0:8000\"",
            "balancer.stats on 0.0.0.0:8000",
        ),
        ("nodes.port = 8404", "node1 would listen on 127.0.0.1:8404"),
    ] {
        fs::write(&file, text).unwrap();
        let output = seawall().arg("check").arg(&file).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn a_store_that_no_file_names_is_not_blamed_on_one() {
    let folder = tempfile::tempdir().unwrap();
    let error = |option: Option<&str>, variable: Option<&str>| {
        let mut command = seawall();
        command
            .current_dir(folder.path())
            .args(["sessions", "sweep"]);
        command.args(option.map(|url| ["--store", url]).iter().flatten());
        command.envs(variable.map(|url| ("SEAWALL_STORE_URL", url)));
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let (wrong, other) = ("oracle://u:hush@h", "memory:");
    for (told, name) in [
        (error(Some(wrong), None), "--store: "),
        (error(Some(wrong), Some(other)), "--store: "),
        (error(None, Some(wrong)), "SEAWALL_STORE_URL: "),
    ] {
        assert!(told.starts_with(&format!("seawall: {name}")), "{told}");
        assert!(!told.contains("seawall.toml"), "{told}");
        assert!(!told.contains("hush"), "{told}");
    }
}

#[test]
fn check_looks_where_the_others_look() {
    let folder = tempfile::tempdir().unwrap();
    let check = |variable: Option<&str>| {
        let mut command = seawall();
        command.current_dir(folder.path()).arg("check");
        command.env_remove("SEAWALL_CONFIG");
        if let Some(file) = variable {
            command.env("SEAWALL_CONFIG", file);
        }
        let output = command.output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    if !Path::new("/etc/seawall/seawall.toml").exists() {
        assert!(check(None).contains("name the file"), "{}", check(None));
    }
    fs::write(folder.path().join("other.toml"), "").unwrap();
    assert_eq!(check(Some("other.toml")), "other.toml: ok\n");
    fs::write(folder.path().join("seawall.toml"), "").unwrap();
    assert_eq!(check(None), "seawall.toml: ok\n");
}

/// Monitoring takes exit code 1 for a warning.
#[test]
fn health_without_a_configuration_is_critical() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seawall.toml");
    let health = |options: &[&str]| {
        let mut command = seawall();
        command
            .current_dir(folder.path())
            .args(["health", "--json"]);
        let output = command.args(options).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        output.stdout
    };
    let assert_critical = |options: &[&str], words: &str| {
        let report: Value = serde_json::from_slice(&health(options)).unwrap();
        let detail = report["checks"][0]["detail"].as_str().unwrap();
        assert_eq!(report["level"], "critical");
        assert!(detail.contains(words), "{detail}");
    };
    assert_critical(&["--config", "missing.toml"], "name another file");
    fs::write(&file, "[stroe]\n").unwrap();
    assert_critical(&[], "did you mean `store`");
    fs::write(
        &file,
        "[store]\nurl = \"redis://h\"\npassword_file = \"/no\"\n",
    )
    .unwrap();
    assert_critical(&[], "store.password_file: /no: No such file");
    // A file that cannot be read, not even by root.
    fs::remove_file(&file).unwrap();
    symlink(&file, &file).unwrap();
    assert_critical(&[], "seawall.toml: Too many levels of symbolic links");
    assert!(health(&["--log", "a=b=c"]).is_empty());
}

#[test]
fn answers_that_nobody_reads_are_no_failure_and_lost_ones_are() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("seawall.toml"), "").unwrap();
    let run = |words: &[&str], stdout: Stdio| {
        let mut command = seawall();
        command.current_dir(folder.path()).args(words);
        command.stdout(stdout).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), error)
    };
    let unread = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for words in [&["check"][..], &["completions", "bash"]] {
        assert_eq!(run(words, unread()), (Some(0), String::new()));
        let (code, error) = run(words, full());
        assert_eq!(code, Some(1), "{error}");
        assert!(
            error.starts_with("seawall: standard output: No space"),
            "{error}"
        );
    }
    assert_eq!(run(&["health"], unread()).0, Some(2));
    assert_eq!(run(&["health"], full()).0, Some(2));
}

#[test]
fn a_status_that_nobody_watches_any_more_ends() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = seawall();
    command
        .current_dir(folder.path())
        .args(["status", "--watch", "--json"]);
    let mut status = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(status.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    drop(output);
    assert!(status.wait().unwrap().success());
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
