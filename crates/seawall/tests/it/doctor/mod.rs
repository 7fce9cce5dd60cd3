//! `seawall doctor` against clusters that are broken on purpose: it finds that failure by name, and
//! nothing in a healthy cluster.

mod machine;
mod nodes;
mod page;
mod stores;

use std::{fmt::Write as _, fs, path::Path, process::Command};

use seawall_testing::TestPostgres;
use serde_json::Value;

use crate::{
    cluster::{get, until},
    site::Site,
};

/// A failure that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) case: String,
    pub(crate) seen: String,
    pub(crate) mend: String,
}

/// What `doctor` finds, with more options or none.
pub(crate) fn examine(site: &Site, options: &[&str]) -> Vec<Found> {
    let mut command = site.seawall(&["doctor", "--json"]);
    command.args(options);
    found(&mut command)
}

fn found(command: &mut Command) -> Vec<Found> {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let report = serde_json::from_str::<Value>(&text);
    let report = report.unwrap_or_else(|_| {
        let error = String::from_utf8_lossy(&output.stderr);
        panic!("no report: {text} {error}")
    });
    let diagnoses = report["diagnoses"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let diagnoses: Vec<_> = diagnoses
        .map(|found| Found {
            case: text(&found["case"]),
            seen: text(&found["seen"]),
            mend: text(&found["mend"]),
        })
        .collect();
    let code = i32::from(!diagnoses.is_empty());
    assert_eq!(output.status.code(), Some(code), "{diagnoses:?}");
    diagnoses
}

/// Asserts that these failures are found and no others, and that each says how to mend it.
#[track_caller]
pub(crate) fn assert_found(site: &Site, options: &[&str], expected: &[&str]) -> Vec<Found> {
    let found = examine(site, options);
    let cases: Vec<_> = found.iter().map(|found| &*found.case).collect();
    assert_eq!(cases, expected, "{found:#?}\n{}", site.log());
    for Found { mend, seen, .. } in &found {
        assert!(!mend.contains('$') && !seen.is_empty(), "{mend} {seen}");
    }
    found
}

/// A site whose nodes and balancer run, whether the balancer takes the nodes or not.
pub(crate) fn running(more: &str) -> Site {
    let mut site = Site::plan(2, more);
    for index in 0..2 {
        site.start_node(index, Path::new(env!("CARGO_BIN_EXE_seawall")));
        until("the node is well", || {
            (site.node(index)["store"] == "up").then_some(())
        });
    }
    site.start_balancer();
    site
}

#[test]
fn a_healthy_cluster_gets_no_diagnosis() {
    let postgres = TestPostgres::start();
    let on_postgres = format!("[store]\nurl = \"{}\"", postgres.url());
    for (more, stick) in [
        ("", "route"),
        ("", "insert"),
        ("", "prefix"),
        ("", "none"),
        (&*on_postgres, "route"),
    ] {
        let mut site = Site::plan(2, more);
        let file = site.path("seawall.toml");
        let text = fs::read_to_string(&file).unwrap();
        let stick = format!("[balancer]\nstick = \"{stick}\"\n");
        fs::write(&file, text.replace("[balancer]\n", &stick)).unwrap();
        for index in 0..2 {
            site.start_node(index, Path::new(env!("CARGO_BIN_EXE_seawall")));
        }
        site.start_balancer();
        site.until_all_are_up();
        assert_found(&site, &[], &[]);
    }
    assert_eq!(postgres.query("SELECT count(*) FROM jettysessions"), "0");
}

/// Each failure that users can read about is provoked by a test here.
#[test]
fn every_case_is_provoked() {
    let page = include_str!("../../../../../docs/troubleshooting.md");
    let tests = [
        include_str!("machine.rs"),
        include_str!("nodes.rs"),
        include_str!("page.rs"),
        include_str!("stores.rs"),
    ]
    .concat();
    let cases: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    assert!(cases.len() >= 29, "{cases:?}");
    for case in cases {
        assert!(
            tests.contains(&format!("\"{case}\"")),
            "no test provokes {case}"
        );
    }
}

#[test]
fn what_is_found_is_told_in_words() {
    let mut site = running("");
    site.until_all_are_up();
    let output = site.run(&["doctor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("nothing found"), "{text}");
    site.nodes[1].take().unwrap().stop();
    let output = site.run(&["doctor"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut expected = String::from("node-down: A node does not run\n");
    write!(expected, "  seen   node2 at 127.0.0.1:{}: ", site.ports[1]).unwrap();
    assert!(text.starts_with(&expected), "{text}");
    for part in [
        "\n  cause  ",
        "\n  mend   `journalctl -u seawall-node@node2",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let output = site.run(&["doctor", "--page", "ftp://shop.example/"]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("write http://HOST/PATH or https://HOST/PATH"),
        "{error}"
    );
}

/// A page of the balancer, for a test that needs it to be there.
pub(crate) fn wait_for_page(site: &Site) {
    until("the page is there", || {
        let (head, _) = get(site.front, "/session-test/", "")?;
        head.contains(" 200 ").then_some(())
    });
}
