//! Many clients that connect and do nothing.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use crate::{
    cluster::until,
    site::{Service, Site},
};

/// They use up what the balancer may open, and neither its servers nor who is there already suffer.
#[test]
fn idle_clients_take_no_server_away() {
    let mut site = Site::plan(2, "");
    for index in 0..2 {
        site.start_node(index, Path::new(env!("CARGO_BIN_EXE_seawall")));
    }
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 100 && exec \"$@\"", "sh"]);
    limited.arg(env!("CARGO_BIN_EXE_seawall"));
    limited.args(["balance", "--workers", "1", "--config"]);
    limited.arg(site.path("seawall.toml"));
    let log = site.path("balancer.log");
    site.balancer = Some(Service::start(&mut limited, &log));
    until("the balancer answers", || {
        TcpStream::connect(("127.0.0.1", site.stats)).ok()
    });
    site.until_all_are_up();
    let mut first = TcpStream::connect(("127.0.0.1", site.front)).unwrap();
    first
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    visit(&mut first);
    let idle: Vec<_> = (0..150)
        .filter_map(|_| TcpStream::connect(("127.0.0.1", site.front)).ok())
        .collect();
    // Enough for servers to be found down, if their checks failed.
    thread::sleep(Duration::from_secs(2));
    visit(&mut first);
    site.until_all_are_up();
    let log = site.log();
    assert!(!log.contains("server is down"), "{log}");
    drop(idle);
}

fn visit(client: &mut TcpStream) {
    client
        .write_all(b"GET /session-test/ HTTP/1.1\r\nHost: test\r\n\r\n")
        .unwrap();
    let mut start = [0; 12];
    client.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    let mut rest = vec![0; 64 * 1024];
    assert!(client.read(&mut rest).unwrap() > 0);
}
