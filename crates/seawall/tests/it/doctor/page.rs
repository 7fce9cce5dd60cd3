//! Clients that lose their cookie, their session or their node.

use std::{fs, path::Path};

use seawall_testing::free_port;

use super::{assert_found, examine, running, wait_for_page};
use crate::{
    proxies::start_nginx,
    site::{Service, Site},
};

#[test]
fn a_secure_cookie_over_http_is_diagnosed() {
    let site = running("session.cookie.secure = true\n");
    site.until_all_are_up();
    let page = format!("http://127.0.0.1:{}/session-test/", site.front);
    let found = assert_found(&site, &["--page", &page], &["cookie-dropped"]);
    assert!(
        found[0].seen.contains("Secure, and the page is http"),
        "{found:?}"
    );
}

/// A proxy in front speaks TLS; the balancer is asked in its place.
#[test]
fn a_secure_cookie_over_https_is_well() {
    let site = running("session.cookie.secure = true\n");
    site.until_all_are_up();
    assert_found(&site, &[], &[]);
    let page = "https://shop.example/session-test/";
    assert_found(&site, &["--page", page], &[]);
}

#[test]
fn a_page_that_is_not_seen_is_not_called_well() {
    let site = running("");
    site.until_all_are_up();
    for (page, why) in [
        (format!("http://127.0.0.1:{}/nowhere", site.front), "404"),
        (format!("http://127.0.0.1:{}/", free_port()), "refused"),
        (
            format!("http://127.0.0.1:{}/", site.front),
            "sets no cookie",
        ),
    ] {
        let output = site.run(&["doctor", "--page", &page]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(
            text.contains("the page was not looked at") && text.contains(why),
            "{text}"
        );
    }
}

/// nginx that serves the page under another path, without telling the cookie.
fn nginx(site: &Site) -> (Service, u16) {
    let (port, front) = (free_port(), site.front);
    let text = format!(
        "events {{}}\nhttp {{\nserver {{ listen 127.0.0.1:{port};\n\
         location /shop/ {{ proxy_pass http://127.0.0.1:{front}/session-test/; }}\n}} }}\n"
    );
    (start_nginx(site, &text, port), port)
}

#[test]
fn a_cookie_for_another_path_is_diagnosed() {
    let site = running("");
    site.until_all_are_up();
    let (_proxy, port) = nginx(&site);
    let page = format!("http://127.0.0.1:{port}/shop/");
    let found = assert_found(&site, &["--page", &page], &["cookie-dropped"]);
    assert!(
        found[0]
            .seen
            .contains("the cookie is for the path /session-test"),
        "{found:?}"
    );
}

#[test]
fn a_balancer_that_does_not_know_the_nodes_names_is_diagnosed() {
    let mut site = Site::plan(2, "");
    for index in 0..2 {
        site.start_node(index, Path::new(env!("CARGO_BIN_EXE_seawall")));
    }
    let mut balancer = site.seawall(&["balance"]);
    for (name, port) in ["a", "b"].iter().zip(&site.ports) {
        balancer.args(["--server", &format!("{name}=127.0.0.1:{port}")]);
    }
    let _balancer = Service::start(&mut balancer, &site.path("balancer.log"));
    wait_for_page(&site);
    site.until_all_are_up();
    let found = assert_found(&site, &[], &["not-sticky", "not-sticky"]);
    assert!(
        found[0].seen.contains("the balancer knows only a, b"),
        "{found:?}"
    );
    assert!(
        found[1].seen.contains("one client was moved from node"),
        "{found:?}"
    );
}

#[test]
fn nodes_that_do_not_share_their_store_are_diagnosed() {
    let mut site = Site::plan(2, "");
    let file = site.path("seawall.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        text.replace("[balancer]\n", "[balancer]\nstick = \"none\"\n"),
    )
    .unwrap();
    site.start_node(0, Path::new(env!("CARGO_BIN_EXE_seawall")));
    let url = format!("sqlite:{}", site.path("other.db").display());
    let mut other = site.seawall(&["node", "--name", "node2", "--store", &url]);
    let _other = Service::start(&mut other, &site.path("node2.log"));
    site.start_balancer();
    site.until_all_are_up();
    let found = examine(&site, &[]);
    let cases: Vec<_> = found.iter().map(|found| &*found.case).collect();
    assert_eq!(
        cases,
        ["configuration-not-in-use", "session-lost"],
        "{found:#?}"
    );
    assert!(
        found[0]
            .seen
            .contains("node2 has other settings of [store]"),
        "{found:?}"
    );
}
