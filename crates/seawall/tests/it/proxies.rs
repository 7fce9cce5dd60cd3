//! Nodes behind other balancers, with the configurations that `examples/` offers, and nothing in them
//! changed but addresses.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use nix::sys::signal::Signal;
use seawall_testing::{find_program, free_port};

use crate::{
    cluster::{LIMIT, get, session_cookie, until, visit_count},
    site::{Service, Site},
};

const PAGE: &str = "/session-test/";

/// A configuration of `examples/` with its addresses replaced by those of servers here.
fn example(site: &Site, name: &str, listen: (&str, &str), servers: [u16; 2]) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut text = fs::read_to_string(folder.join(name)).unwrap();
    let server = |index: usize| format!("127.0.0.1:{}", servers[index]);
    for (from, to) in [
        ("192.0.2.11:8080", server(0)),
        ("192.0.2.12:8080", server(1)),
        (listen.0, listen.1.to_owned()),
    ] {
        assert!(text.contains(from), "{name} has no {from}");
        text = text.replace(from, &to);
    }
    let file = site.path(name);
    fs::write(&file, text).unwrap();
    file
}

/// Something that stands before two servers, and its port.
type Proxy = fn(&Site, [u16; 2]) -> (Service, u16);

fn haproxy(site: &Site, servers: [u16; 2]) -> (Service, u16) {
    let port = free_port();
    let listen = format!("bind 127.0.0.1:{port}");
    let file = example(site, "haproxy.cfg", ("bind :80", &listen), servers);
    let mut command = Command::new(find_program(&["haproxy"]));
    command.arg("-db").arg("-f").arg(file);
    let proxy = Service::start(&mut command, &site.path("haproxy.log"));
    until("HAProxy answers", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    (proxy, port)
}

fn nginx(site: &Site, servers: [u16; 2]) -> (Service, u16) {
    let port = free_port();
    let listen = format!("listen 127.0.0.1:{port};");
    let file = example(site, "nginx.conf", ("listen 80;", &listen), servers);
    let text = fs::read_to_string(file).unwrap();
    (start_nginx(site, &text, port), port)
}

/// Starts nginx with a configuration that listens on that port.
pub(crate) fn start_nginx(site: &Site, text: &str, port: u16) -> Service {
    // Where it keeps things is the distribution's choice, and root's.
    let folder = site.folder.path().display();
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let mut http = "http {\naccess_log off;\n".to_owned();
    for kind in kinds {
        http += &format!("{kind}_temp_path {folder}/{kind};\n");
    }
    let file = site.path("nginx.conf");
    fs::write(&file, text.replace("http {\n", &http)).unwrap();
    let mut command = Command::new(find_program(&["nginx"]));
    let globals = format!("daemon off; master_process off; pid {folder}/nginx.pid;");
    command
        .arg("-c")
        .arg(file)
        .args(["-e", "stderr", "-g", &globals]);
    let proxy = Service::start(&mut command, &site.path("nginx.log"));
    until("nginx answers", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    proxy
}

/// Two nodes, and no balancer of ours.
fn two_nodes() -> Site {
    let mut site = Site::plan(2, "");
    for index in 0..2 {
        site.start_node(index, Path::new(env!("CARGO_BIN_EXE_seawall")));
        until("the node is well", || {
            (site.node(index)["store"] == "up").then_some(())
        });
    }
    site
}

/// Which node a session cookie names.
fn named(cookie: &str) -> usize {
    match cookie.rsplit_once('.').unwrap().1 {
        "node1" => 0,
        "node2" => 1,
        other => panic!("what is {other}?"),
    }
}

/// A new client of each node: its cookie.
fn clients(port: u16) -> [String; 2] {
    let mut found = [None, None];
    until("both nodes get clients", || {
        let (head, _) = get(port, PAGE, "")?;
        let cookie = session_cookie(&head)?;
        let node = named(&cookie);
        found[node] = Some(cookie);
        found.iter().all(Option::is_some).then_some(())
    });
    found.map(Option::unwrap)
}

/// Visits a page that must be there, and go on counting.
fn visit(port: u16, cookie: &mut String, count: u64) {
    let (head, page) = get(port, PAGE, cookie).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(visit_count(&page), Some(count));
    if let Some(new) = session_cookie(&head) {
        *cookie = new;
    }
}

fn serves_a_cluster(proxy: Proxy) {
    let mut site = two_nodes();
    let (_proxy, port) = proxy(&site, [site.ports[0], site.ports[1]]);
    let mut cookies = clients(port);
    for (index, cookie) in cookies.iter_mut().enumerate() {
        for count in 2..=10 {
            visit(port, cookie, count);
            assert_eq!(named(cookie), index, "the client stays with its node");
        }
    }
    for path in ["/.seawall/health", "/.seawall/drain"] {
        let (head, _) = get(port, path, "").unwrap();
        assert!(head.starts_with("HTTP/1.1 404"), "{path}: {head}");
    }
    let killed = site.nodes[1].take().unwrap();
    killed.signal(Signal::SIGKILL);
    drop(killed);
    for count in 11..=30 {
        for cookie in &mut cookies {
            visit(port, cookie, count);
        }
    }
    assert_eq!(named(&cookies[1]), 0, "its client has moved");
}

#[test]
fn haproxy_keeps_clients_with_their_node_until_it_dies() {
    serves_a_cluster(haproxy);
}

#[test]
fn nginx_keeps_clients_with_their_node_until_it_dies() {
    serves_a_cluster(nginx);
}

#[test]
fn haproxy_sees_a_node_that_drains_and_one_that_is_asked_to_end() {
    let mut site = two_nodes();
    let (_proxy, port) = haproxy(&site, [site.ports[0], site.ports[1]]);
    let mut cookies = clients(port);
    let output = site.run(&["drain", "node1", "--wait"]);
    assert!(output.status.success(), "{output:?}");
    let mut count = 2;
    visit(port, &mut cookies[0], count);
    assert_eq!(
        named(&cookies[0]),
        1,
        "safe to stop means that nobody is sent there"
    );
    let output = site.run(&["ready", "node1"]);
    assert!(output.status.success(), "{output:?}");
    until("new clients come", || {
        let (head, _) = get(port, PAGE, "")?;
        (named(&session_cookie(&head)?) == 0).then_some(())
    });
    // All the time while the other node ends, there are answers.
    let ending = site.nodes[1].take().unwrap();
    let ended = thread::spawn(move || ending.stop());
    while !ended.is_finished() {
        count += 1;
        visit(port, &mut cookies[0], count);
    }
    ended.join().unwrap();
}

/// Answers with the request that it got, and as a node that is well.
fn mirror() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            let mut request = [0; 4_096];
            let length = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]);
            let body = format!("\"draining\":false\n{}", request.to_lowercase());
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n");
            let _ = write!(stream, "{head}Connection: close\r\n\r\n{body}");
        }
    });
    port
}

fn tells_who_the_client_is(proxy: Proxy) {
    let site = Site::plan(2, "");
    let (_proxy, port) = proxy(&site, [mirror(), mirror()]);
    until("the mirror answers", || {
        let (_, body) = get(port, "/", "")?;
        body.contains("x-forwarded-for: 127.0.0.1\r\n")
            .then_some(())
    });
}

#[test]
fn haproxy_tells_the_node_who_the_client_is() {
    tells_who_the_client_is(haproxy);
}

#[test]
fn nginx_tells_the_node_who_the_client_is() {
    tells_who_the_client_is(nginx);
}

/// What `keepalived` says of a configuration. Its exit code is no use: where it may not do
/// everything, it ends itself by a signal.
fn complaints(file: &Path) -> String {
    let mut command = Command::new(find_program(&["keepalived"]));
    command.arg("--config-test").arg("--use-file").arg(file);
    let output = command.process_group(0).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}

#[test]
fn keepalived_takes_the_example() {
    let site = Site::plan(1, "");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/keepalived.conf");
    let text = fs::read_to_string(example).unwrap();
    let entries = fs::read_dir("/sys/class/net").unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let interface = names.into_iter().find(|name| name != "lo");
    let text = text.replace("eth0", interface.as_deref().unwrap_or("eth0"));
    let file = site.path("keepalived.conf");
    fs::write(&file, &text).unwrap();
    assert_eq!(complaints(&file), "");
    fs::write(&file, text.replace("priority", "prioriti")).unwrap();
    assert!(complaints(&file).contains("prioriti"), "it does look");
}
