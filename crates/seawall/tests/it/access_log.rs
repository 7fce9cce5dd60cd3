//! What the balancer's access log says of requests that never were any.

use std::{fs, io::Write, net::TcpStream};

use crate::{cluster::until, site::Site};

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
