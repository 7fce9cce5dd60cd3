//! `seawall bench`: what it takes, what it reports, and what the verdict is about.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Output, Stdio},
    sync::mpsc,
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::cluster::{Cluster, get, seawall, until};

/// A page for one session on one connection: each third request fails, and is not counted.
fn failing_page() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        let (mut requests, mut visits) = (0, 0);
        for client in listener.incoming() {
            // The client's end of a connection is no failure of the page.
            let _ = answer(&client.unwrap(), &mut requests, &mut visits);
        }
    });
    address
}

fn answer(mut client: &TcpStream, requests: &mut u64, visits: &mut u64) -> std::io::Result<()> {
    for line in BufReader::new(client.try_clone()?).lines() {
        if !line?.is_empty() {
            continue;
        }
        *requests += 1;
        let status = match requests.is_multiple_of(3) {
            true => "503 Service Unavailable",
            false => {
                *visits += 1;
                "200 OK"
            }
        };
        let page = format!("<p><b>Visit Count:</b> {visits}</p>");
        let length = page.len();
        write!(
            client,
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{page}"
        )?;
    }
    Ok(())
}

fn bench(page: &str, more: &[&str]) -> Output {
    let mut command = seawall();
    command.args(["bench", page, "--sessions", "1", "--connections", "1"]);
    command.args(["--duration", "300ms"]).args(more);
    command.output().unwrap()
}

#[test]
fn failures_do_not_count_in_the_verdict_and_the_report_says_so() {
    let output = bench(&format!("http://{}/", failing_page()), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let (_, verdict) = text.split_once("verdict ").unwrap();
    assert!(verdict.trim().starts_with("good"), "{text}");
    assert!(verdict.contains("failed requests do not count"), "{text}");
    // Without a scheme it is http.
    let output = bench(&failing_page(), &["--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["verdict"]["word"], "good", "{report}");
    assert_eq!(report["verdict"]["lost_updates"], 0, "{report}");
}

#[test]
fn an_address_of_https_is_called_what_it_is() {
    for addresses in [
        &["https://localhost/"][..],
        &["localhost:8000/", "--targets", "https://localhost/"],
    ] {
        let output = bench(addresses[0], &addresses[1..]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains("https is not supported"), "{error}");
    }
}

#[test]
fn ctrl_c_ends_the_load_early_and_reports_as_usual() {
    let cluster = Cluster::start();
    let page = format!("http://127.0.0.1:{}/session-test/", cluster.front);
    for more in [&[][..], &["--json"]] {
        let before = requests(&cluster);
        let mut command = seawall();
        command
            .args(["bench", &page, "--duration", "10m"])
            .args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let load = command.spawn().unwrap();
        // More than it takes to make the sessions.
        until("the load is on", || {
            (requests(&cluster) > before + 500).then_some(())
        });
        interrupt(&load);
        let output = load.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{text}");
        if more.is_empty() {
            assert!(text.contains("latency         p50"), "{text}");
            assert!(text.contains("verdict         good"), "{text}");
            continue;
        }
        let report: Value = serde_json::from_str(&text).unwrap();
        assert!(report["requests"].as_u64().unwrap() > 0, "{report}");
        assert!(report["latency_ms"]["p99"].as_f64().unwrap() > 0.0);
        assert!(report["seconds"].as_f64().unwrap() < 600.0, "{report}");
        assert_eq!(report["verdict"]["word"], "good", "{report}");
        assert_eq!(report["verdict"]["unchecked"], 0, "{report}");
    }
}

#[test]
fn ctrl_c_before_the_load_or_a_second_one_ends_without_a_report() {
    // The first request makes the session.
    for answered in [0, 1] {
        let (page, asked) = page_that_hangs(answered);
        let mut command = seawall();
        command.args(["bench", &page, "--duration", "10m", "--timeout", "10m"]);
        command.args(["--sessions", "1", "--connections", "1"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut load = command.spawn().unwrap();
        until("a request hangs", || asked.try_recv().ok());
        // Again and again, since two that come at once may be taken for one.
        until("it ends", || {
            interrupt(&load);
            load.try_wait().unwrap()
        });
        let output = load.wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{error}");
        assert!(error.contains("before there was a report"), "{error}");
        assert_eq!(error.contains("The load ends"), answered > 0, "{error}");
        assert_eq!(output.stdout, b"", "{error}");
    }
}

/// A page that answers so many requests, and says when it has got the one that it never answers.
fn page_that_hangs(answered: u64) -> (String, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (hangs, asked) = mpsc::channel();
    thread::spawn(move || {
        let mut requests = 0;
        // One for making the session, one for the load.
        for client in listener.incoming() {
            let mut client = client.unwrap();
            for line in BufReader::new(client.try_clone().unwrap()).lines() {
                if !line.is_ok_and(|line| line.is_empty()) {
                    continue;
                }
                requests += 1;
                if requests > answered {
                    // Nobody waits for it any more when the test has ended.
                    let _ = hangs.send(());
                    continue;
                }
                let page = "<p><b>Visit Count:</b> 1</p>";
                let length = page.len();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
                write!(client, "{head}{page}").unwrap();
            }
        }
    });
    (address, asked)
}

fn interrupt(process: &Child) {
    let id = Pid::from_raw(i32::try_from(process.id()).unwrap());
    kill(id, Signal::SIGINT).unwrap();
}

fn requests(cluster: &Cluster) -> u64 {
    let (_, body) = get(cluster.stats, "/health", "").unwrap();
    let report: Value = serde_json::from_str(&body).unwrap();
    report["requests"].as_u64().unwrap()
}
