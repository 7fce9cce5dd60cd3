//! `seawall drain` and `seawall ready`.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    process::Output,
};

use crate::{
    cluster::{Cluster, LIMIT, get, seawall, session_cookie, until, visit_count},
    site::Site,
};

fn told(output: &Output) -> String {
    let text = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8(text).unwrap()
}

fn expect(output: &Output, code: i32, words: &str) {
    let text = told(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(words), "{text}");
}

#[test]
fn sessions_go_on_elsewhere_and_come_back() {
    let site = Site::start(2, "");
    let (head, page) = get(site.front, "/session-test/", "").unwrap();
    let cookie = session_cookie(&head).unwrap();
    assert_eq!(visit_count(&page), Some(1));
    let (_, name) = cookie.rsplit_once('.').unwrap();
    expect(&site.run(&["drain", name, "--wait"]), 0, "safe to stop");
    let (head, page) = get(site.front, "/session-test/", &cookie).unwrap();
    assert_eq!(visit_count(&page), Some(2), "{head}");
    assert_ne!(session_cookie(&head), None, "another node has it now");
    expect(&site.run(&["ready", name]), 0, "takes traffic again");
    site.until_all_are_up();
}

#[test]
fn the_last_node_is_drained_only_by_force() {
    let site = Site::start(2, "");
    expect(&site.run(&["drain", "node1"]), 0, "node1 drains");
    expect(&site.run(&["drain", "node2"]), 1, "node2 is the last node");
    assert_eq!(site.node(1)["draining"], false);
    expect(&site.run(&["drain", "node2", "--force"]), 0, "node2 drains");
    let (head, _) = get(site.front, "/session-test/", "").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200"),
        "nobody gets an error: {head}"
    );
}

#[test]
fn what_is_in_flight_is_waited_for() {
    let site = Site::start(2, "");
    // A form whose end does not come: the request is under way at its node.
    let mut slow = TcpStream::connect(("127.0.0.1", site.front)).unwrap();
    slow.set_read_timeout(Some(LIMIT)).unwrap();
    let head = "POST /session-test/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=";
    slow.write_all(head.as_bytes()).unwrap();
    let busy = until("it is under way", || {
        (0..2).find(|index| site.node(*index)["in_flight"] == 1)
    });
    let name = format!("node{}", busy + 1);
    let output = site.run(&["drain", &name, "--wait", "--timeout", "1s"]);
    expect(&output, 3, "in flight");
    slow.write_all(b"b").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    expect(&site.run(&["drain", &name, "--wait"]), 0, "safe to stop");
}

#[test]
fn without_a_balancer_a_quiet_time_is_enough() {
    let mut site = Site::start(2, "[balancer.check]\ninterval = \"500ms\"");
    site.balancer.take().unwrap().stop();
    let output = site.run(&["drain", "node1", "--wait"]);
    expect(&output, 0, "not every balancer could be asked");
}

#[test]
fn what_goes_wrong_is_said() {
    let site = Site::start(2, "");
    expect(&site.run(&["drain", "node9"]), 1, "node1, node2");
    fs::write(site.path("admin.token"), "another token, but long").unwrap();
    expect(&site.run(&["drain", "node1"]), 1, "visible ASCII");
    fs::write(site.path("admin.token"), "another-token-of-another-cluster").unwrap();
    let output = site.run(&["drain", "node1"]);
    expect(&output, 1, "does not accept this admin token");
    assert!(!told(&output).contains("another-token"), "a secret");
    fs::remove_file(site.path("admin.token")).unwrap();
    expect(&site.run(&["drain", "node1"]), 1, "--token-file");
    assert_eq!(site.node(0)["draining"], false);
}

#[test]
fn a_cluster_of_up_has_a_token() {
    let cluster = Cluster::start();
    let token = cluster.folder.path().join("seawall-data/admin.token");
    let mode = fs::metadata(&token).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let file = cluster.folder.path().join("seawall.toml");
    let text = format!(
        "[nodes]\nport = {}\n[balancer]\nstats = \"127.0.0.1:{}\"\n",
        cluster.node_port, cluster.stats
    );
    fs::write(file, text).unwrap();
    let mut drain = seawall();
    drain.current_dir(cluster.folder.path());
    let output = drain.args(["drain", "node2", "--wait"]).output().unwrap();
    expect(&output, 0, "safe to stop");
    let (head, _) = get(cluster.front, "/.seawall/health", "").unwrap();
    assert!(head.starts_with("HTTP/1.1 404"), "not for clients: {head}");
}
