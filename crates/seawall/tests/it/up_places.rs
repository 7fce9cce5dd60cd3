//! Where the parts of `seawall up` listen, as the file and the command line say.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::Stdio,
};

use crate::{
    cluster::{get, seawall, session_cookie, until},
    site::{Service, Site},
};

/// `seawall up` with the configuration of a site, once all its nodes take requests.
fn start(site: &Site) -> Service {
    let mut command = site.seawall(&["up"]);
    let log = site.path("up.log");
    let up = Service::start_on(&mut command, Stdio::null(), Stdio::null(), &log);
    until("the balancer answers", || get(site.stats, "/health", ""));
    site.until_all_are_up();
    up
}

#[test]
fn listed_nodes_have_their_weights_and_listen_where_the_list_says() {
    let site = Site::plan(2, "");
    let file = site.path("seawall.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    // The last node's.
    text += &format!("weight = 0\nlisten = \"0.0.0.0:{}\"\n", site.ports[1]);
    fs::write(&file, text).unwrap();
    let _up = start(&site);
    for _ in 0..10 {
        let (head, _) = get(site.front, "/session-test/", "").unwrap();
        let cookie = session_cookie(&head).unwrap();
        assert!(cookie.ends_with(".node1"), "{cookie}");
    }
    let reaches = |port| TcpStream::connect(("127.0.0.2", port)).is_ok();
    assert_eq!(
        [0, 1].map(|index| reaches(site.ports[index])),
        [false, true]
    );
}

/// What `up` says when it refuses, before it has made anything.
fn refusal(options: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = seawall();
    command.current_dir(folder.path()).arg("up").args(options);
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    let made = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(made, 0, "something was started: {error}");
    error
}

#[test]
fn a_port_that_two_parts_would_have_is_nobody_elses_fault() {
    for (options, parts) in [
        (["--http", "127.0.0.1:8081"], ["balancer.http", "node2"]),
        (["--stats", "0.0.0.0:8080"], ["balancer.stats", "node1"]),
        (["--node-port", "8000"], ["balancer.http", "node1"]),
    ] {
        let error = refusal(&options);
        let is_told = |word: &&str| error.contains(word);
        assert!(parts.iter().chain(&["--node-port"]).all(is_told), "{error}");
    }
}

#[test]
fn why_a_part_cannot_listen_is_said_as_it_is() {
    // An address for documents, which no machine has (RFC 5737).
    for option in ["--http", "--stats"] {
        let error = refusal(&[option, "192.0.2.1:80"]);
        assert!(error.contains(option), "{error}");
        assert!(error.contains("this machine has that address"), "{error}");
        assert!(!error.contains("uses the port"), "{error}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = refusal(&["--http", &taken.local_addr().unwrap().to_string()]);
    assert!(error.contains("another process already does"), "{error}");
}

#[test]
fn ports_that_nobody_could_find_are_refused() {
    for (options, told) in [
        (["--node-port", "0"], "port 0"),
        (["--node-port", "65535"], "65535"),
        (["--http", "127.0.0.1:0"], "--http: port 0"),
        (["--stats", "127.0.0.1:0"], "--stats: port 0"),
    ] {
        let error = refusal(&options);
        assert!(
            error.contains(options[0]) && error.contains(told),
            "{error}"
        );
    }
}

#[test]
fn more_nodes_than_a_machine_takes_are_refused() {
    let error = refusal(&["--nodes", "5000"]);
    assert!(error.contains("--nodes") && error.contains("64"), "{error}");
}
