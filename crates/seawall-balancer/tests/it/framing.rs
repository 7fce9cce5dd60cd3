//! Requests that two readers could understand differently, and what must not pass.

use std::time::Instant;

use seawall_balancer::StickyMode;

use crate::{
    server::{Behaviour, Upstream},
    support::{LIMIT, Running, exchange, status},
};

fn one() -> (Upstream, Running) {
    let one = Upstream::start("one", Behaviour::Echoes);
    let balancer = Running::start(&[&one], StickyMode::Route);
    (one, balancer)
}

#[test]
fn ambiguous_requests_are_refused() {
    let (one, balancer) = one();
    for fields in [
        "Content-Length: 3\r\nContent-Length: 4",
        "Content-Length: 3, 4",
        "Content-Length: -1",
        "Content-Length: +3",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Host: other",
        "X-Folded: a\r\n b",
        "Bad Name: x",
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{fields}\r\n\r\n0\r\n\r\n"
        );
        let answer = exchange(balancer.port, &request);
        assert_eq!(status(&answer), 400, "{fields:?}: {answer:?}");
    }
    let coded = "POST / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
                 Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(status(&exchange(balancer.port, coded)), 501);
    let no_host = exchange(balancer.port, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(no_host.starts_with("HTTP/1.1 400"), "{no_host}");
    assert_eq!(
        one.requests(),
        [""; 0],
        "nothing of that reached the server"
    );
}

#[test]
fn the_client_is_named_and_fields_of_one_connection_are_not_passed_on() {
    let (one, balancer) = one();
    let answer = exchange(
        balancer.port,
        "GET / HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 192.0.2.1\r\nKeep-Alive: 5\r\n\
         X-Private: 1\r\nConnection: close, X-Private\r\n\r\n",
    );
    let request = one.requests().remove(0).to_lowercase();
    assert!(
        request.contains("x-forwarded-for: 192.0.2.1, 127.0.0.1\r\n"),
        "{request}"
    );
    assert!(request.contains("x-forwarded-proto: http\r\n"), "{request}");
    assert!(
        !request.contains("x-private") && !request.contains("keep-alive"),
        "{request}"
    );
    let (head, _) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!head.to_lowercase().contains("x-hop"), "{head}");
}

#[test]
fn a_body_arrives_whole() {
    let (one, balancer) = one();
    let answer = exchange(
        balancer.port,
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    );
    assert_eq!(status(&answer), 200);
    assert!(one.requests()[0].ends_with("\r\n\r\nhello"));
}

#[test]
fn a_body_in_chunks_arrives_whatever_the_method() {
    let (one, balancer) = one();
    for method in ["GET", "POST"] {
        let request = format!(
            "{method} / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
             5\r\nhello\r\n0\r\n\r\n"
        );
        let before = one.requests().len();
        exchange(balancer.port, &request);
        // That server takes the chunks for a request of its own.
        let deadline = Instant::now() + LIMIT;
        while one.requests().len() < before + 2 {
            assert!(Instant::now() < deadline, "{:?}", one.requests());
        }
        let arrived = one.requests().split_off(before);
        assert!(
            arrived[0].contains("transfer-encoding: chunked"),
            "{arrived:?}"
        );
        assert_eq!(arrived[1], "5\r\nhello\r\n0\r\n\r\n");
    }
}

#[test]
fn an_answer_with_two_lengths_is_settled_and_one_in_a_foreign_coding_is_not_passed_on() {
    let (one, balancer) = one();
    one.behave(Behaviour::Says(
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ));
    let (head, body) = balancer.get("");
    assert_eq!(status(&head), 200);
    assert!(!head.to_lowercase().contains("content-length: 5"), "{head}");
    assert!(body.contains("abc"), "{body}");
    one.behave(Behaviour::Says(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\nabcd",
    ));
    assert_eq!(status(&balancer.get("").0), 502);
}

#[test]
fn each_side_is_spoken_to_in_our_version() {
    let (one, balancer) = one();
    let old = exchange(balancer.port, "GET / HTTP/1.0\r\nHost: test\r\n\r\n");
    assert!(old.starts_with("HTTP/1.0 200"), "{old}");
    assert!(old.contains("GET / HTTP/1.1\r\n"), "{old}");
    // A request of the new version must name a host.
    let hostless = exchange(balancer.port, "GET / HTTP/1.0\r\n\r\n");
    assert!(hostless.contains("GET / HTTP/1.0\r\n"), "{hostless}");
    one.behave(Behaviour::Says("HTTP/1.0 200 OK\r\n\r\nhello"));
    let (head, body) = balancer.get("");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(body, "5\r\nhello\r\n0\r\n\r\n");
}
