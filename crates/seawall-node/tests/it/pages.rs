//! Pages: sessions, parameters, errors.

use std::time::Duration;

use crate::support::{TestNode, body, header, status};

const COUNT: &str = "{{ session.increment(\"count\") }}";

fn cookie(answer: &str) -> &str {
    let cookie = header(answer, "set-cookie").unwrap();
    cookie.split(';').next().unwrap()
}

#[test]
fn a_page_has_a_session_and_its_session_goes_on() {
    let node = TestNode::start(&[("shop/count.html.j2", COUNT)]);
    let first = node.get("/shop/count.html");
    assert_eq!(body(&first), "1");
    let head = format!(
        "GET /shop/count.html HTTP/1.1\r\nCookie: {}",
        cookie(&first)
    );
    let second = node.send(&head, "");
    assert_eq!(body(&second), "2");
    assert_eq!(header(&second, "set-cookie"), None, "the cookie is right");
}

#[test]
fn sessions_of_two_applications_are_apart() {
    let node = TestNode::start(&[("a/c.html.j2", COUNT), ("b/c.html.j2", COUNT)]);
    let first = node.get("/a/c.html");
    assert!(header(&first, "set-cookie").unwrap().contains("Path=/a"));
    let other = format!("GET /b/c.html HTTP/1.1\r\nCookie: {}", cookie(&first));
    assert_eq!(body(&node.send(&other, "")), "1");
}

#[test]
fn applications_that_share_an_id_have_contents_of_their_own() {
    let end = "{{ session.invalidate() }}";
    let files = [
        ("a/c.html.j2", COUNT),
        ("b/c.html.j2", COUNT),
        ("b/end.html.j2", end),
    ];
    let node = TestNode::start_with(&files, |config| config.sessions.shared_id = true);
    let first = node.get("/a/c.html");
    assert!(header(&first, "set-cookie").unwrap().contains("Path=/;"));
    let visit = |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nCookie: {}", cookie(&first));
        node.send(&head, "")
    };
    let other = visit("/b/c.html");
    assert_eq!((body(&other), header(&other, "set-cookie")), ("1", None));
    assert_eq!(body(&visit("/a/c.html")), "2");
    visit("/b/end.html");
    let after = visit("/a/c.html");
    assert_eq!(body(&after), "1");
    assert_ne!(cookie(&after), cookie(&first));
}

#[test]
fn sessions_of_named_hosts_are_apart() {
    let files = [("shop/c.html.j2", COUNT)];
    for shared in [false, true] {
        let node = TestNode::start_with(&files, |config| {
            config.virtual_hosts = vec!["one.example".into(), "two.example".into()];
            config.sessions.shared_id = shared;
        });
        let visit = |host: &str, cookie: &str| {
            let head = format!("GET /shop/c.html HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}");
            node.send(&head, "")
        };
        let first = visit("one.example", "");
        assert_eq!(body(&visit("One.Example:8000", cookie(&first))), "2");
        for other in ["two.example", "localhost", "three.example"] {
            let answer = visit(other, cookie(&first));
            assert_eq!(body(&answer), "1", "{other} shared: {shared}");
            assert_ne!(cookie(&answer), cookie(&first));
        }
        let unnamed = visit("localhost", "");
        assert_eq!(body(&visit("three.example", cookie(&unnamed))), "2");
    }
}

#[test]
fn the_host_of_an_absolute_target_counts_and_two_hosts_are_refused() {
    let node = TestNode::start(&[("shop/p.html.j2", "{{ request.host }}")]);
    let head = "GET http://one.example:81/shop/p.html HTTP/1.1\r\nHost: two.example";
    assert_eq!(body(&node.send(head, "")), "one.example:81");
    for hosts in ["one.example\r\nHost: two.example", "one example"] {
        let head = format!("GET /shop/p.html HTTP/1.1\r\nHost: {hosts}");
        assert_eq!(status(&node.send(&head, "")), 400, "{hosts}");
    }
}

/// It is at hand for anybody who finds it.
#[test]
fn the_session_test_page_stores_no_more_than_its_form_takes() {
    let node = TestNode::start_with(&[], |config| config.form_limit = 1 << 20);
    let form = format!("message={}", "x".repeat(5_000));
    let head = format!(
        "POST /session-test/ HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}",
        form.len()
    );
    let page = node.send(&head, &form);
    let stored = body(&page).matches('x').count();
    assert!((1_000..1_100).contains(&stored), "{stored}");
}

#[test]
fn the_clients_address_comes_from_a_trusted_proxy_only() {
    let files = [("shop/p.html.j2", "{{ request.remote }}")];
    let visit = |node: &TestNode| {
        let head = "GET /shop/p.html HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.7";
        body(&node.send(head, "")).to_owned()
    };
    assert_eq!(visit(&TestNode::start(&files)), "192.0.2.7");
    let distrusting = TestNode::start_with(&files, |config| {
        config.trusted_proxies = ["192.0.2.0/24".parse().unwrap()].into_iter().collect();
    });
    assert_eq!(visit(&distrusting), "127.0.0.1");
}

#[test]
fn a_form_that_does_not_come_is_not_waited_for() {
    let page = [("shop/p.html.j2", "")];
    let node = TestNode::start_with(&page, |config| {
        config.limits.idle_timeout = Duration::from_millis(300);
    });
    let head = "POST /shop/p.html HTTP/1.1\r\nContent-Length: 100";
    let answer = node.send(head, "a=1");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn forms_are_read_and_escaped() {
    let node = TestNode::start(&[("shop/p.html.j2", "{{ request.params.name }}")]);
    let form = "name=%3Cb%3E+x";
    let head = format!(
        "POST /shop/p.html HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}",
        form.len()
    );
    assert_eq!(body(&node.send(&head, form)), "&lt;b&gt; x");
    assert_eq!(body(&node.get("/shop/p.html?name=%22")), "&quot;");
}

#[test]
fn a_form_over_the_limit_is_refused() {
    let node = TestNode::start(&[("shop/p.html.j2", COUNT)]);
    let form = "a=".to_owned() + &"b".repeat(2_000);
    let head = format!(
        "POST /shop/p.html HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}",
        form.len()
    );
    assert_eq!(status(&node.send(&head, &form)), 413);
    let head = "POST /shop/p.html HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2";
    assert_eq!(status(&node.send(head, "{}")), 415);
}

#[test]
fn a_page_that_fails_says_so_and_changes_nothing() {
    let broken = "{{ session.increment(\"count\") }}{% if request.params.fail %}\
                  {{ nothing() }}{% endif %}";
    let node = TestNode::start(&[("shop/p.html.j2", broken)]);
    let first = node.get("/shop/p.html");
    let visit = |query: &str| {
        let head = format!(
            "GET /shop/p.html{query} HTTP/1.1\r\nCookie: {}",
            cookie(&first)
        );
        node.send(&head, "")
    };
    let failed = visit("?fail=1");
    assert_eq!(status(&failed), 500);
    assert!(!failed.contains("nothing()"), "the source is not shown");
    assert_eq!(body(&visit("")), "2");
}

#[test]
fn a_page_that_takes_too_long_fails() {
    let endless = "{% for i in range(100000) %}{% for j in range(100000) %}{{ j }}{% endfor %}\
                   {% endfor %}";
    let node = TestNode::start(&[("shop/p.html.j2", endless)]);
    assert_eq!(status(&node.get("/shop/p.html")), 500);
    let long = "{% for i in range(100000) %}{{ i }} {% endfor %}";
    node.write("shop/p.html.j2", long);
    node.until("/shop/p.html", |answer| body(answer).ends_with(" 99999 "));
}

#[test]
fn a_count_that_is_full_is_an_error() {
    let full = "{{ session.set(\"count\", 9223372036854775806) }}{{ session.increment(\"count\") }}\
                {% if request.params.more %}{{ session.increment(\"count\") }}{% endif %}";
    let node = TestNode::start(&[("shop/p.html.j2", full)]);
    assert_eq!(body(&node.get("/shop/p.html")), "9223372036854775807");
    assert_eq!(status(&node.get("/shop/p.html?more=1")), 500);
}

#[test]
fn a_page_that_sets_too_much_fails_and_changes_nothing() {
    let name = "n".repeat(256);
    let page = format!(
        "{{{{ session.increment(\"count\") }}}}\
         {{% if request.params.long %}}{{{{ session.set(\"{name}\", 1) }}}}{{% endif %}}"
    );
    let node = TestNode::start(&[("shop/p.html.j2", &page)]);
    let first = node.get("/shop/p.html");
    let visit = |query: &str| {
        let head = format!(
            "GET /shop/p.html{query} HTTP/1.1\r\nCookie: {}",
            cookie(&first)
        );
        node.send(&head, "")
    };
    assert_eq!(status(&visit("?long=1")), 500);
    assert_eq!(body(&visit("")), "2");
}

#[test]
fn a_page_that_cannot_be_read_is_named_and_the_others_stay() {
    let node = TestNode::start(&[
        ("shop/bad.html.j2", "{% if %}"),
        ("shop/good.html.j2", COUNT),
    ]);
    assert_eq!(status(&node.get("/shop/good.html")), 200);
    assert_eq!(status(&node.get("/shop/bad.html")), 500);
    node.write("shop/bad.html.j2", "mended");
    node.until("/shop/bad.html", |answer| body(answer) == "mended");
}

#[test]
fn head_has_no_body_and_other_methods_are_refused() {
    let node = TestNode::start(&[("shop/p.html.j2", "hello")]);
    let answer = node.send("HEAD /shop/p.html HTTP/1.1", "");
    assert_eq!((status(&answer), body(&answer)), (200, ""));
    assert_eq!(header(&answer, "content-length"), Some("5"));
    let answer = node.send("DELETE /shop/p.html HTTP/1.1", "");
    assert_eq!(status(&answer), 405);
    assert_eq!(header(&answer, "allow"), Some("GET, HEAD, POST"));
}

#[test]
fn neither_the_index_nor_the_health_report_makes_a_session() {
    let node = TestNode::start(&[]);
    for path in ["/", "/.seawall/health"] {
        let answer = node.get(path);
        assert_eq!(status(&answer), 200, "{answer}");
        assert_eq!(header(&answer, "set-cookie"), None);
    }
    let health = node.get("/.seawall/health");
    for field in [
        "node",
        "pid",
        "version",
        "sessions",
        "in_flight",
        "store",
        "draining",
    ] {
        assert!(body(&health).contains(&format!("\"{field}\":")), "{health}");
    }
}

#[test]
fn an_id_in_the_path_is_no_session() {
    let node = TestNode::start(&[("shop/count.html.j2", COUNT)]);
    let first = node.get("/shop/count.html");
    let (_, value) = cookie(&first).split_once('=').unwrap();
    let answer = node.get(&format!("/shop/count.html;jsessionid={value}"));
    assert!(status(&answer) == 404 || body(&answer) == "1", "{answer}");
}

#[test]
fn an_application_whose_name_is_no_address_is_not_deployed() {
    let node = TestNode::start(&[("sh op/a.txt", "a"), ("shop/a.txt", "a")]);
    assert_eq!(status(&node.get("/sh%20op/a.txt")), 404);
    assert_eq!(status(&node.get("/shop/a.txt")), 200);
}

#[test]
fn an_application_whose_name_is_too_long_is_not_deployed_and_the_others_are() {
    let (long, longest) = ("x".repeat(60), "y".repeat(59));
    let files = [&long, &longest].map(|name| format!("{name}/count.html.j2"));
    let node = TestNode::start(&[
        (&files[0], COUNT),
        (&files[1], COUNT),
        ("shop/count.html.j2", COUNT),
    ]);
    for (name, expected) in [("shop", 200), (&*longest, 200), (&*long, 404)] {
        let answer = node.get(&format!("/{name}/count.html"));
        assert_eq!(status(&answer), expected, "{name}");
    }
}
