//! Nodes and balancers that are broken.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
};

use nix::{sys::signal::Signal, unistd::Uid};
use seawall_testing::find_program;
use serde_json::json;

use super::{Found, assert_found, found, running};
use crate::{
    cluster::{get, until},
    health::servers,
    site::{Service, Site},
};

fn healthy() -> Site {
    let site = running("");
    site.until_all_are_up();
    site
}

fn until_down(site: &Site) {
    until("the balancer finds it down", || {
        let servers = site.servers();
        let is_down = servers.iter().any(|server| server["state"] == "DOWN");
        is_down.then_some(())
    });
}

#[test]
fn nodes_that_do_not_serve_are_diagnosed() {
    let mut site = healthy();
    let node = site.nodes[1].take().unwrap();
    node.signal(Signal::SIGSTOP);
    until_down(&site);
    assert_found(&site, &[], &["node-hangs"]);
    node.signal(Signal::SIGCONT);
    node.stop();
    let found = assert_found(&site, &[], &["node-down"]);
    assert!(found[0].mend.contains("seawall-node@node2"), "{found:?}");

    // Somebody else has the node's port by now.
    let mut web = Command::new(find_program(&["python3"]));
    let port = site.ports[1].to_string();
    web.args(["-m", "http.server", "--bind", "127.0.0.1", &port])
        .current_dir(site.folder.path());
    let web = Service::start(&mut web, &site.path("web.log"));
    until("it answers", || get(site.ports[1], "/", ""));
    let found = assert_found(&site, &[], &["port-taken"]);
    assert!(found[0].mend.contains(&port), "{found:?}");
    drop(web);

    let listen = format!("127.0.0.1:{}", site.ports[1]);
    let mut twin = site.seawall(&["node", "--name", "node1", "--listen", &listen]);
    let twin = Service::start(&mut twin, &site.path("twin.log"));
    until("the twin answers", || get(site.ports[1], "/", ""));
    let found = assert_found(&site, &[], &["names-not-unique"]);
    assert!(found[0].mend.contains("--name node2"), "{found:?}");
    drop(twin);
}

/// A program that takes connections at a port, and never answers.
fn squatter(site: &Site, port: u16) -> Service {
    let mut python = Command::new(find_program(&["python3"]));
    let script = format!(
        "import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(600)"
    );
    let squatter = Service::start(python.args(["-c", &script]), &site.path("squatter.log"));
    until("it listens", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    squatter
}

/// A silent program looks like a node that hangs.
#[test]
fn ports_that_silent_programs_have_taken_are_diagnosed() {
    let mut site = healthy();
    let assert_taken = |site: &Site, port: u16| {
        let found = assert_found(site, &[], &["port-taken"]);
        let (port, Found { seen, mend, .. }) = (format!("{port}"), &found[0]);
        assert!(seen.contains(&port) && seen.contains("python3"), "{seen}");
        assert!(mend.contains(&port), "{mend}");
    };
    site.nodes[1].take().unwrap().stop();
    let squatter_of_node = squatter(&site, site.ports[1]);
    until_down(&site);
    assert_taken(&site, site.ports[1]);
    drop(squatter_of_node);
    site.start_node(1, Path::new(env!("CARGO_BIN_EXE_seawall")));
    site.until_all_are_up();
    site.balancer.take().unwrap().stop();
    for port in [site.front, site.stats] {
        let squatter_of_balancer = squatter(&site, port);
        assert_taken(&site, port);
        drop(squatter_of_balancer);
    }
}

#[test]
fn a_node_that_has_lost_the_store_is_diagnosed() {
    let site = healthy();
    let (file, away) = (site.path("sessions.db"), site.path("away.db"));
    fs::rename(&file, &away).unwrap();
    until_without_store(&site);
    assert_found(&site, &[], &["store-file-missing"]);
    fs::copy(&away, &file).unwrap();
    let cases = ["node-without-store", "node-without-store"];
    let found = assert_found(&site, &[], &cases);
    assert!(found[1].mend.contains("seawall-node@node2"), "{found:?}");
    assert!(
        site.log().contains("the file was removed"),
        "{}",
        site.log()
    );
    let health = site.run(&["health"]);
    assert_eq!(health.status.code(), Some(2), "{health:?}");
}

fn until_without_store(site: &Site) {
    until("the nodes miss it", || {
        let is_down = |index| {
            let node = site.node(index);
            node["store"] == "down" && node["uptime_seconds"].as_u64().unwrap() >= 5
        };
        (is_down(0) && is_down(1)).then_some(())
    });
}

/// In a network of its own, from which no way leads anywhere, not even to this machine.
#[test]
fn machines_that_cannot_be_reached_are_diagnosed() {
    if !Uid::effective().is_root() {
        return;
    }
    let site = healthy();
    let alone = |options: &[&str]| {
        let mut doctor = Command::new("unshare");
        doctor.arg("--net").arg(env!("CARGO_BIN_EXE_seawall"));
        doctor.args(["doctor", "--json", "--config"]);
        let found = found(doctor.arg(site.path("seawall.toml")).args(options));
        let cases: Vec<_> = found.iter().map(|found| found.case.clone()).collect();
        (cases, found)
    };
    let (cases, found) = alone(&[]);
    assert_eq!(cases, ["machine-unreachable"; 3], "{found:#?}");
    assert!(found[0].seen.contains("node1 at 127.0.0.1"), "{found:?}");
    assert!(
        found[2].seen.contains("the balancer's statistics"),
        "{found:?}"
    );
    assert!(found[2].mend.contains("ping 127.0.0.1"), "{found:?}");
    for url in [
        "postgres://u@192.0.2.7/d",
        "mysql://u@192.0.2.7/d",
        "redis://192.0.2.7",
    ] {
        let (cases, found) = alone(&["--store", url]);
        assert_eq!(cases, ["machine-unreachable"; 4], "{found:#?}");
        assert!(found[0].mend.contains("ping 192.0.2.7"), "{found:?}");
    }
}

/// The site, with another server in node2's place.
fn with_node2_at(site: &Site, port: u16, expected: &[&str]) {
    let file = site.path("seawall.toml");
    let text = fs::read_to_string(&file).unwrap();
    let (from, to) = (site.ports[1].to_string(), port.to_string());
    fs::write(&file, text.replace(&from, &to)).unwrap();
    assert_found(site, &[], expected);
    fs::write(&file, text).unwrap();
}

/// The library that gives a process another time.
fn faketime() -> PathBuf {
    let found = fs::read_dir("/usr/lib")
        .unwrap()
        .flatten()
        .find_map(|entry| {
            let library = entry.path().join("faketime/libfaketime.so.1");
            library.is_file().then_some(library)
        });
    found.expect("libfaketime is not installed; run `cargo xtask setup`")
}

#[test]
fn nodes_that_differ_are_diagnosed() {
    let mut site = healthy();
    let newer = servers::altered(site.ports[1], |report| report["version"] = json!("9.9.9"));
    with_node2_at(&site, newer, &["versions-differ"]);

    let node = site.nodes[1].take().unwrap();
    node.stop();
    let config = site.path("seawall.toml");
    let mut ahead = site.seawall(&["node", "--name", "node2"]);
    ahead
        .env("LD_PRELOAD", faketime())
        .env("FAKETIME", "+90s")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let ahead = Service::start(&mut ahead, &site.path("ahead.log"));
    until("the node answers", || get(site.ports[1], "/", ""));
    site.until_all_are_up();
    let found = assert_found(&site, &[], &["clocks-apart"]);
    assert!(found[0].seen.contains("node2's clock"), "{found:?}");
    drop(ahead);
    site.start_node(1, Path::new(env!("CARGO_BIN_EXE_seawall")));
    site.until_all_are_up();

    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("session.idle_timeout = \"7m\"\n{text}")).unwrap();
    let cases = ["configuration-not-in-use", "configuration-not-in-use"];
    let found = assert_found(&site, &[], &cases);
    assert!(
        found[1]
            .seen
            .contains("node2 has other settings of [session]"),
        "{found:?}"
    );
    let sticking = text.replace("[balancer]\n", "[balancer]\nstick = \"insert\"\n");
    fs::write(&config, sticking).unwrap();
    let found = assert_found(&site, &[], &cases[..1]);
    assert!(found[0].seen.contains("balancer.stick"), "{found:?}");
    assert!(
        found[0].mend.contains("restart seawall-balancer"),
        "{found:?}"
    );
}

#[test]
fn balancers_that_do_not_serve_are_diagnosed() {
    let mut site = healthy();
    let balancer = site.balancer.take().unwrap();
    balancer.signal(Signal::SIGSTOP);
    let found = assert_found(&site, &[], &["balancer-hangs"]);
    assert!(
        found[0].mend.contains("restart seawall-balancer"),
        "{found:?}"
    );
    balancer.signal(Signal::SIGCONT);
    balancer.stop();
    assert_found(&site, &[], &["balancer-down"]);
    let stats = servers::saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let file = site.path("seawall.toml");
    let text = fs::read_to_string(&file).unwrap();
    let other = text.replace(&site.stats.to_string(), &stats.to_string());
    fs::write(&file, other).unwrap();
    let found = assert_found(&site, &[], &["port-taken"]);
    assert!(
        found[0].seen.contains("the balancer's statistics"),
        "{found:?}"
    );
}

#[test]
fn a_check_that_fails_is_diagnosed() {
    let site = running("[balancer.check]\npath = \"/nowhere/at/all\"\ninterval = \"200ms\"\n");
    until("both are down", || {
        let servers = site.servers();
        let is_down = |server: &serde_json::Value| server["state"] == "DOWN";
        servers.iter().all(is_down).then_some(())
    });
    let found = assert_found(&site, &[], &["check-fails", "check-fails"]);
    assert!(found[0].seen.contains("it answers 404"), "{found:?}");
    let mend = format!("http://127.0.0.1:{}/nowhere/at/all", site.ports[0]);
    assert!(found[0].mend.contains(&mend), "{found:?}");
}
