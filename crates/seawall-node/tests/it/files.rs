//! Static files, and what must not be served.

use std::time::{Duration, Instant};

use crate::support::{TestNode, body, header, status};

#[test]
fn a_file_is_served_as_it_is() {
    let node = TestNode::start(&[("shop/style.css", "a {}"), ("ROOT/robots.txt", "none")]);
    let answer = node.get("/shop/style.css");
    assert_eq!((status(&answer), body(&answer)), (200, "a {}"));
    assert_eq!(
        header(&answer, "content-type"),
        Some("text/css; charset=utf-8")
    );
    assert_eq!(body(&node.get("/robots.txt")), "none");
    assert_eq!(header(&answer, "set-cookie"), None, "files have no session");
}

#[test]
fn a_large_file_is_sent_a_piece_at_a_time() {
    let node = TestNode::start(&[("shop/index.html", "hello")]);
    let length = (80 << 20) + 1;
    let file = std::fs::File::create(node.folder().join("shop/disk.img")).unwrap();
    file.set_len(length).unwrap();
    let announced = length.to_string();
    // It may be found while it is still empty.
    node.until("/shop/disk.img", |answer| {
        header(answer, "content-length") == Some(&*announced)
    });
    let head = node.send("HEAD /shop/disk.img HTTP/1.1", "");
    assert_eq!(header(&head, "content-length"), Some(&*announced));
    assert_eq!(body(&node.get("/shop/disk.img")).len() as u64, length);
}

#[test]
fn an_unchanged_file_is_not_sent_again() {
    let node = TestNode::start(&[("shop/style.css", "a {}")]);
    let answer = node.get("/shop/style.css");
    let tag = header(&answer, "etag").unwrap();
    let head = format!("GET /shop/style.css HTTP/1.1\r\nIf-None-Match: {tag}");
    let answer = node.send(&head, "");
    assert_eq!((status(&answer), body(&answer)), (304, ""));
}

#[test]
fn the_session_test_page_has_its_style_beside_it() {
    let node = TestNode::start(&[]);
    let page = node.get("/session-test/");
    assert!(body(&page).contains("href=\"style.css\""), "{page}");
    let style = node.get("/session-test/style.css");
    assert_eq!(
        header(&style, "content-type"),
        Some("text/css; charset=utf-8")
    );
    assert!(body(&style).contains("var(--node)"), "{style}");
    let tag = header(&style, "etag").unwrap();
    let head = format!("GET /session-test/style.css HTTP/1.1\r\nIf-None-Match: {tag}");
    assert_eq!(status(&node.send(&head, "")), 304);
}

#[test]
fn nothing_outside_the_applications_is_served() {
    let node = TestNode::start(&[
        ("shop/page.html.j2", "{{ 1 + 1 }}"),
        ("shop/.secret", "hush"),
        ("shop/.git/config", "hush"),
        (".hidden/file", "hush"),
        ("loose", "hush"),
    ]);
    for path in [
        "/shop/.secret",
        "/shop/.git/config",
        "/.hidden/file",
        "/loose",
        "/shop/page.html.j2",
        "/../../etc/passwd",
        "/shop/../../../etc/passwd",
        "/shop/%2e%2e/%2e%2e/etc/passwd",
        "/shop/..%2f..%2fetc/passwd",
        "/shop//etc/passwd",
        "/shop/\\..\\..\\etc\\passwd",
        "/shop/style.css%00.html",
        "/nothing",
    ] {
        let answer = node.get(path);
        assert!([400, 404].contains(&status(&answer)), "{path}: {answer}");
        assert!(!answer.contains("hush") && !answer.contains("root:"));
    }
}

#[test]
fn a_link_out_of_the_folder_is_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "hush").unwrap();
    let node = TestNode::start(&[("shop/index.html", "hello")]);
    let link = node.folder().join("shop/link");
    std::os::unix::fs::symlink(outside.path().join("secret"), link).unwrap();
    node.write("shop/later.html", "later");
    node.until("/shop/later.html", |answer| status(answer) == 200);
    assert_eq!(status(&node.get("/shop/link")), 404);
}

#[test]
fn an_application_without_its_slash_moves_there() {
    let node = TestNode::start(&[("shop/index.html", "hello")]);
    let answer = node.get("/shop?a=1");
    assert_eq!(status(&answer), 308);
    assert_eq!(header(&answer, "location"), Some("/shop/?a=1"));
    assert_eq!(body(&node.get("/shop/")), "hello");
}

#[test]
fn files_come_change_and_go_while_the_node_runs() {
    let node = TestNode::start(&[("shop/a.txt", "old")]);
    assert_eq!(body(&node.get("/shop/a.txt")), "old");
    node.write("shop/a.txt", "newer");
    node.until("/shop/a.txt", |answer| body(answer) == "newer");
    node.write("blog/b.txt", "hello");
    node.until("/blog/b.txt", |answer| body(answer) == "hello");
    node.remove("shop/a.txt");
    node.until("/shop/a.txt", |answer| status(answer) == 404);
}

/// A page that takes more than a second to compile on this machine, and how long it takes.
fn long_page() -> (String, Duration) {
    let mut page = "{% if false %}{{ 1 }}{% endif %}".repeat(10_000);
    loop {
        let begun = Instant::now();
        let mut environment = minijinja::Environment::new();
        environment.add_template("page", &page).unwrap();
        if begun.elapsed() > Duration::from_secs(1) {
            return (page, begun.elapsed());
        }
        page = page.repeat(2);
    }
}

#[test]
fn no_request_waits_while_applications_are_deployed_again() {
    let (page, takes) = long_page();
    let node = TestNode::start_with(&[("shop/a.txt", "a")], |config| config.workers = 1);
    assert_eq!(body(&node.get("/shop/a.txt")), "a");
    node.write("shop/page.html.j2", &page);
    node.write("shop/b.txt", "b");
    let (begun, mut longest) = (Instant::now(), Duration::ZERO);
    loop {
        let asked = Instant::now();
        let answer = node.get("/shop/b.txt");
        longest = longest.max(asked.elapsed());
        if status(&answer) == 200 {
            break;
        }
        assert!(begun.elapsed() < takes * 60, "{answer}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(longest < takes / 2, "{longest:?} of {takes:?}");
}
