//! The end of a node.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    sync::Arc,
};

use seawall_store::{
    BoxFuture, Commit, CommitOutcome, Expired, Lookup, Read as StoreRead, ReadOutcome, SessionKey,
    SessionStore, SessionSummary, StoreError, Timestamp, memory::MemoryStore,
};

use crate::support::{TestNode, status};

#[test]
fn a_request_that_has_begun_gets_its_answer() {
    let node = TestNode::start(&[("shop/p.html.j2", "{{ request.params.name }}")]);
    let mut stream = node.connect();
    write!(
        stream,
        "POST /shop/p.html HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 8\r\n\r\nname"
    )
    .unwrap();
    node.until("/.seawall/health", |health| {
        health.contains("\"in_flight\":1")
    });
    node.shutdown.trigger();
    stream.write_all(b"=abc").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(status(&answer), 200);
    assert!(answer.ends_with("abc"), "{answer}");
    let address = node.address;
    assert!(node.end());
    assert!(TcpStream::connect(address).is_err());
}

/// The workers share what the first one has made, so it must not end before them.
#[test]
fn requests_on_all_threads_get_their_answers() {
    for _ in 0..4 {
        let node = TestNode::start(&[]);
        let mut streams: Vec<_> = (0..8).map(|_| begin_to_visit(&node)).collect();
        node.until("/.seawall/health", |health| {
            health.contains("\"in_flight\":8")
        });
        node.at_once.trigger();
        for stream in &mut streams {
            stream.write_all(b"b").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(status(&answer), 200, "{answer}");
        }
        assert!(node.end());
    }
}

/// A visit of a page with a session; the last byte of its form has not been sent.
fn begin_to_visit(node: &TestNode) -> TcpStream {
    let mut stream = node.connect();
    write!(
        stream,
        "POST /session-test/ HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na="
    )
    .unwrap();
    stream
}

#[test]
fn an_idle_connection_does_not_hold_the_node_up() {
    let node = TestNode::start(&[]);
    let mut stream = node.connect();
    write!(stream, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert!(node.end());
}

#[test]
fn a_node_serves_on_its_unix_socket_and_takes_it_away_at_the_end() {
    let node = TestNode::start(&[("shop/p.html.j2", "{{ request.remote }}")]);
    let path = node.socket();
    for _ in 0..4 {
        let mut stream = UnixStream::connect(&path).unwrap();
        write!(
            stream,
            "GET /shop/p.html HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(status(&answer), 200);
        assert!(answer.ends_with("127.0.0.1"), "{answer}");
    }
    assert!(node.end());
    assert!(!path.exists());
}

/// A store with a bug.
#[derive(Debug, Default)]
struct Panicking(MemoryStore);

impl SessionStore for Panicking {
    fn description(&self) -> &str {
        "panicking"
    }

    fn read<'a>(
        &'a self,
        _: &'a [StoreRead],
    ) -> BoxFuture<'a, Result<Vec<ReadOutcome>, StoreError>> {
        Box::pin(async { panic!("on purpose") })
    }

    fn commit<'a>(
        &'a self,
        commits: &'a [Commit],
    ) -> BoxFuture<'a, Result<Vec<CommitOutcome>, StoreError>> {
        self.0.commit(commits)
    }

    fn claim_expired(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Expired>, StoreError>> {
        self.0.claim_expired(now, limit)
    }

    fn locate<'a>(
        &'a self,
        lookups: &'a [Lookup],
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<Option<SessionKey>>, StoreError>> {
        self.0.locate(lookups, now)
    }

    fn list_by_principal<'a>(
        &'a self,
        principal: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<SessionSummary>, StoreError>> {
        self.0.list_by_principal(principal, now)
    }

    fn count(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.0.count()
    }
}

/// Else the process would live on and serve nobody, and nothing would start another one.
#[test]
fn a_node_that_lost_the_way_to_its_store_ends() {
    let node = TestNode::start_with(&[], |config| config.store = Arc::new(Panicking::default()));
    let error = node.ended().unwrap_err().to_string();
    assert!(error.contains("panicked"), "{error}");
}
