//! A cluster whose PostgreSQL goes away, with `on_outage = "serve-cached"`.

use std::fs;

use seawall_testing::TestPostgres;

use crate::cluster::{Cluster, get, session_cookie, until};

const CONFIG: &str = "[store]\non_outage = \"serve-cached\"\npatience = \"2s\"\n\
                      [nodes]\nwebapps = \"webapps\"\n";

#[test]
fn pages_that_only_read_are_answered_while_the_store_is_away() {
    let mut server = TestPostgres::start();
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("webapps/shop");
    fs::create_dir_all(&shop).unwrap();
    fs::write(shop.join("read.html.j2"), "{{ session.count }}").unwrap();
    let count = "{{ session.increment(\"count\") }}";
    fs::write(shop.join("count.html.j2"), count).unwrap();
    fs::write(folder.path().join("seawall.toml"), CONFIG).unwrap();
    let cluster = Cluster::with(|up| {
        up.current_dir(folder.path())
            .env("SEAWALL_STORE_URL", server.url());
    });
    let (head, _) = get(cluster.front, "/shop/count.html", "").unwrap();
    let cookie = session_cookie(&head).unwrap();
    let visit = |path: &str| get(cluster.front, path, &cookie).unwrap();
    assert_eq!(visit("/shop/read.html").1, "1");

    server.kill();
    let (head, page) = visit("/shop/read.html");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("seawall-session: unverified"), "{head}");
    assert_eq!(page, "1");
    let (head, _) = visit("/shop/count.html");
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert!(head.contains("retry-after: "), "{head}");
    let node = [0, 1].map(|index| {
        let metrics = get(cluster.node_port + index, "/.seawall/metrics", "");
        metrics.unwrap().1
    });
    let reads = "seawall_session_unverified_reads_total{application=\"shop\"} 1\n";
    assert!(
        node.iter().any(|metrics| metrics.contains(reads)),
        "{node:?}"
    );
    assert!(
        node.iter()
            .all(|metrics| metrics.contains("seawall_store_up 0"))
    );

    server.start_again();
    until("sessions are verified again", || {
        let (head, _) = visit("/shop/read.html");
        (!head.contains("unverified")).then_some(())
    });
    until("writes are taken", || {
        visit("/shop/count.html")
            .0
            .starts_with("HTTP/1.1 200")
            .then_some(())
    });
}
