//! `seawall up`, from its start to its end.

use std::{collections::BTreeSet, fs::File, thread, time::Duration};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
};
use seawall_testing::{TestPostgres, free_port};

use crate::{
    cluster::{
        Cluster, MOST_NODES, get, ports_in_a_row, seawall, session_cookie, until, visit_count,
    },
    failover::rounds,
};

const PAGE: &str = "/session-test/";

#[test]
fn counts_go_on_over_alternating_nodes() {
    alternate(Cluster::start());
    let server = TestPostgres::start();
    alternate(Cluster::on(Some(&server.url())));
}

#[test]
fn nodes_with_a_store_each_are_warned_of() {
    let log = tempfile::NamedTempFile::new().unwrap();
    let cluster = Cluster::with(|up| {
        up.args(["--store", "memory:"])
            .stderr(log.reopen().unwrap());
    });
    let told = std::fs::read_to_string(log.path()).unwrap();
    assert!(told.contains("a store of its own"), "{told}");
    drop(cluster);
}

#[test]
fn the_balancer_reaches_the_nodes_by_unix_sockets() {
    let cluster = Cluster::start();
    let (_, health) = get(cluster.stats, "/health", "").unwrap();
    assert_eq!(health.matches("unix:").count(), 2, "{health}");
    assert!(cluster.end(), "it ended with an error");
}

fn alternate(cluster: Cluster) {
    let (head, page) = get(cluster.front, PAGE, "").unwrap();
    assert_eq!(visit_count(&page), Some(1));
    let mut cookie = session_cookie(&head).unwrap();
    for visit in 2..=21_u16 {
        let (head, page) = get(cluster.node_port + visit % 2, PAGE, &cookie).unwrap();
        assert_eq!(visit_count(&page), Some(u64::from(visit)));
        cookie = session_cookie(&head).unwrap_or(cookie);
    }
    assert!(cluster.end(), "it ended with an error");
}

#[test]
fn concurrent_visits_of_one_session_lose_none() {
    visit_together(&Cluster::start());
    let server = TestPostgres::start();
    visit_together(&Cluster::on(Some(&server.url())));
}

/// Eight clients of one session, 500 visits each, alternating over the node ports.
fn visit_together(cluster: &Cluster) {
    let (head, _) = get(cluster.front, PAGE, "").unwrap();
    let cookie = session_cookie(&head).unwrap();
    let client = |offset: u16| {
        let visit = |turn: u16| get(cluster.node_port + (turn + offset) % 2, PAGE, &cookie);
        let counts = (0..500).map(|turn| visit_count(&visit(turn).unwrap().1).unwrap());
        counts.collect::<Vec<_>>()
    };
    let counts: Vec<u64> = thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|offset| scope.spawn(move || client(offset)))
            .collect();
        let counts = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap());
        counts.collect()
    });
    let shown = BTreeSet::from_iter(counts);
    assert_eq!(
        shown,
        (2..=4_001).collect(),
        "a count is missing or was shown twice"
    );
}

#[test]
fn four_nodes_start_at_once_on_an_empty_database() {
    let server = TestPostgres::start();
    for round in 0..rounds() {
        let url = server.create_database(&format!("empty{round}"));
        let log = tempfile::NamedTempFile::new().unwrap();
        let cluster = Cluster::with(|up| {
            up.args(["--nodes", &MOST_NODES.to_string()])
                .env("SEAWALL_STORE_URL", url)
                .stderr(File::create(log.path()).unwrap());
        });
        for node in 0..MOST_NODES {
            let (head, page) = get(cluster.node_port + node, PAGE, "").unwrap();
            assert_eq!(visit_count(&page), Some(1), "round {round}: {head}");
        }
        assert!(cluster.end());
        let log = std::fs::read_to_string(log.path()).unwrap();
        let is_bad = |line: &&str| line.contains(" ERROR ") || line.contains(" WARN ");
        assert_eq!(log.lines().find(is_bad), None, "round {round}");
    }
}

#[test]
fn what_a_client_stores_is_escaped() {
    let cluster = Cluster::start();
    let path = format!("{PAGE}?message=%3Cscript%3Ealert(1)%3C/script%3E");
    let (_, page) = get(cluster.front, &path, "").unwrap();
    assert!(page.contains("&lt;script&gt;"), "{page}");
    assert!(!page.contains("<script>"), "{page}");
}

#[test]
fn forged_foreign_and_huge_cookies_get_a_fresh_session() {
    let cluster = Cluster::start();
    let huge = format!("JSESSIONID={}", "A".repeat(8_000));
    let foreign = "JSESSIONID=node0abcdef.node1";
    let forged = "JSESSIONID=AAAAAAAAAAAAAAAAAAAAAA.node1";
    for cookie in [&huge, foreign, forged, "JSESSIONID=", "JSESSIONID=../../x"] {
        let (head, page) = get(cluster.front, PAGE, cookie).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(visit_count(&page), Some(1));
        assert_ne!(session_cookie(&head).unwrap(), cookie);
    }
}

/// The nodes stay until the balancer, however long it takes, has given its last answer.
#[test]
fn the_end_of_a_cluster_fails_no_request() {
    let cluster = Cluster::start();
    let nodes = [0, 1].map(|index| cluster.node_pid(index));
    let mut children = cluster.children().into_iter();
    let balancer = children.find(|child| !nodes.contains(child)).unwrap();
    kill(balancer, Signal::SIGSTOP).unwrap();
    let front = cluster.front;
    let client = thread::spawn(move || get(front, PAGE, "").unwrap().0);
    thread::sleep(Duration::from_millis(200));
    kill(cluster.supervisor_pid(), Signal::SIGTERM).unwrap();
    // Longer than a node waits for a request that may be on its way.
    thread::sleep(Duration::from_millis(1_500));
    kill(balancer, Signal::SIGCONT).unwrap();
    let head = client.join().unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(cluster.end(), "it ended with an error");
}

#[test]
fn no_child_outlives_its_supervisor() {
    let mut cluster = Cluster::start();
    let nodes = [0, 1].map(|index| cluster.node_pid(index));
    kill(cluster.supervisor_pid(), Signal::SIGKILL).unwrap();
    cluster.reap();
    for node in nodes {
        until("the node ends", || {
            (kill(node, None) == Err(Errno::ESRCH)).then_some(())
        });
    }
}

#[test]
fn a_data_folder_has_one_cluster_at_a_time() {
    let mut first = Cluster::start();
    let data = first.folder.path().join("seawall-data");
    let front = format!("127.0.0.1:{}", free_port());
    let stats = format!("127.0.0.1:{}", free_port());
    let mut second = seawall();
    second.args(["up", "--http", &front, "--stats", &stats, "--node-port"]);
    second.arg(ports_in_a_row().to_string());
    let output = second.arg("--data").arg(&data).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    let told = format!(
        "another `seawall up` (process {}) uses the data folder {}; stop it, or give --data another folder",
        first.supervisor_pid(),
        data.display()
    );
    assert!(error.contains(&told), "{error}");
    assert_eq!(output.stdout, b"", "it was started all the same");
    // Nothing that the first one leaves is in the way, not even nodes that have yet to end.
    kill(first.supervisor_pid(), Signal::SIGKILL).unwrap();
    first.reap();
    let third = Cluster::with(|up| {
        up.arg("--data").arg(&data);
    });
    assert!(third.end(), "it ended with an error");
}

#[test]
fn a_port_that_is_taken_is_said_before_anything_starts() {
    let cluster = Cluster::start();
    let data = cluster.folder.path().join("other");
    let output = seawall()
        .args([
            "up",
            "--node-port",
            &cluster.node_port.to_string(),
            "--data",
        ])
        .arg(&data)
        .output()
        .unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        error.contains("--node-port") && error.contains("node1"),
        "{error}"
    );
    assert!(!data.exists(), "nothing was started");
}

#[test]
fn nodes_share_a_postgresql_database_and_wait_for_it() {
    let mut server = TestPostgres::start();
    let url = server.url().replace("seawall@", "seawall:hush@");
    let cluster = Cluster::with(|up| {
        up.env("SEAWALL_STORE_URL", url);
    });
    let (head, _) = get(cluster.front, PAGE, "").unwrap();
    let cookie = session_cookie(&head).unwrap();
    let arguments = std::fs::read(format!("/proc/{}/cmdline", cluster.node_pid(0))).unwrap();
    assert!(
        !String::from_utf8_lossy(&arguments).contains("hush"),
        "a password for all to see"
    );
    server.kill();
    let (head, page) = get(cluster.node_port, PAGE, &cookie).unwrap();
    assert!(
        head.starts_with("HTTP/1.1 503") && head.contains("retry-after"),
        "{head}"
    );
    assert!(page.contains("not available"), "{page}");
    server.start_again();
    until("service returns", || {
        let (_, page) = get(cluster.front, PAGE, &cookie)?;
        visit_count(&page).filter(|count| *count >= 2)
    });
}
