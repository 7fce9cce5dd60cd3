//! What the balancer's access log says of requests that never were any.

use std::{
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
};

use crate::{
    cluster::until,
    site::{Service, Site},
};

#[test]
fn requests_that_the_parser_refuses_are_logged() {
    let mut site = Site::plan(1, "");
    let file = site.path("seawall.toml");
    let text = fs::read_to_string(&file).unwrap();
    let all = text.replace("[balancer]\n", "[balancer]\naccess_log = \"all\"\n");
    fs::write(&file, all).unwrap();
    site.start_balancer();
    let mut client = until("the balancer answers", || {
        TcpStream::connect(("127.0.0.1", site.front)).ok()
    });
    client.write_all(b"nonsense\r\n\r\n").unwrap();
    until("it is logged", || {
        let line = "client=127.0.0.1 method=\"-\" path=\"-\" status=400 server=\"-\"";
        site.log().contains(line).then_some(())
    });
}

#[test]
fn a_client_that_leaves_is_logged() {
    let site = Site::plan(1, "");
    let config = format!(
        "[nodes]\ncount = 0\n[balancer]\naccess_log = \"all\"\nhttp = \"127.0.0.1:{}\"\nstats = \
         \"127.0.0.1:{}\"\n",
        site.front, site.stats
    );
    fs::write(site.path("seawall.toml"), config).unwrap();
    // Nobody accepts there, so nobody answers.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut balance = site.seawall(&["balance"]);
    let mute = format!("mute={}", server.local_addr().unwrap());
    balance.args(["--server", &mute]);
    let log = site.path("balancer.log");
    let _balancer = Service::start(&mut balance, &log);
    let mut client = until("the balancer answers", || {
        TcpStream::connect(("127.0.0.1", site.front)).ok()
    });
    let request = b"GET /cart?token=hush HTTP/1.1\r\nHost: test\r\n\r\n";
    client.write_all(request).unwrap();
    drop(client);
    until("it is logged", || {
        let line = "client=127.0.0.1 method=GET path=\"/cart\" status=499 server=\"-\"";
        let told = fs::read_to_string(&log).unwrap();
        told.contains(line).then_some(())
    });
}
