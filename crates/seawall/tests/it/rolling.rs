//! Nodes that are restarted one after the other, and replaced by another binary, under load: no
//! request fails, not even one that may not be sent twice, and no update is lost.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use seawall_testing::TestPostgres;
use serde_json::Value;

use crate::{
    cluster::{seawall, until},
    site::Site,
};

const SECONDS: u32 = 20;
const SESSIONS: &str = "24";
const RATE: &str = "250";

/// Loads with GET and with POST, through the balancer.
struct Loads([Child; 2]);

impl Loads {
    fn start(site: &Site) -> Self {
        let load = |more: &[&str]| {
            let mut command = seawall();
            let page = format!("http://127.0.0.1:{}/session-test/", site.front);
            command.args(["bench", &page, "--json"]).args(more);
            command.args(["--duration", &format!("{SECONDS}s"), "--rate", RATE]);
            command.args(["--sessions", SESSIONS, "--connections", "8"]);
            command.stdout(Stdio::piped()).spawn().unwrap()
        };
        let before = requests(site);
        let loads = Self([load(&[]), load(&["--post"])]);
        until("the loads are on", || {
            (requests(site) > before + 200).then_some(())
        });
        loads
    }

    /// Both verdicts are good, and nothing failed. The loads must still have been on.
    fn end_well(self, site: &Site) {
        let mut loads = self.0;
        let is_over = |load: &mut Child| load.try_wait().unwrap().is_some();
        let too_soon = loads.iter_mut().any(is_over);
        assert!(!too_soon, "a load was over too soon\n{}", site.log());
        for load in loads {
            let output = load.wait_with_output().unwrap();
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert!(output.status.success(), "the verdict is bad: {report}");
            let failed = report["errors"].as_object().unwrap();
            assert!(failed.is_empty(), "{report}\n{}", site.log());
            assert_eq!(
                report["verdict"]["extra"], 0,
                "one was done twice: {report}"
            );
        }
    }
}

fn requests(site: &Site) -> u64 {
    let counts = site.servers().into_iter();
    counts
        .map(|server| server["requests"].as_u64().unwrap())
        .sum()
}

/// Stops a node, and starts it again from `program`.
fn restart(site: &mut Site, index: usize, program: &Path) {
    let before = site.node(index)["pid"].clone();
    site.nodes[index].take().unwrap().stop();
    site.start_node(index, program);
    site.until_all_are_up();
    assert_ne!(site.node(index)["pid"], before);
}

/// The same program at another place, as after an upgrade.
fn another_binary(site: &Site) -> PathBuf {
    let copy = site.path("seawall-new");
    fs::copy(env!("CARGO_BIN_EXE_seawall"), &copy).unwrap();
    copy
}

fn roll(store: &str, before_each: impl Fn(&Site, usize)) {
    let mut site = Site::start(2, &format!("[store]\nurl = \"{store}\""));
    let new = another_binary(&site);
    let loads = Loads::start(&site);
    for index in 0..2 {
        before_each(&site, index);
        restart(&mut site, index, &new);
    }
    loads.end_well(&site);
}

#[test]
fn nodes_are_restarted_without_a_failed_request() {
    let database = TestPostgres::start();
    roll(&database.url(), |_, _| ());
}

#[test]
fn nodes_that_were_drained_are_restarted_without_a_failed_request() {
    roll("", |site, index| {
        let name = format!("node{}", index + 1);
        let output = site.run(&["drain", &name, "--wait"]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(said.contains("safe to stop"), "{said}");
        let node = site.node(index);
        assert_eq!(
            (&node["draining"], &node["in_flight"]),
            (&true.into(), &0.into())
        );
        // The load goes on, and none of it comes here.
        let others = requests(site);
        until("others are asked", || {
            (requests(site) > others + 100).then_some(())
        });
        assert_eq!(site.node(index)["requests"], node["requests"]);
    });
}
