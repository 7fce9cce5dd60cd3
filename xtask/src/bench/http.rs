//! Just enough HTTP to see whether a server answers, and to get sessions.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// So many good answers in a row, with pauses, make five seconds: more than two of HAProxy's checks.
const STEADY: u32 = 50;
const STEADY_PAUSE: Duration = Duration::from_millis(100);

/// The head and the body of the answer to a GET request on a connection of its own.
pub(crate) fn get(port: u16, path: &str, cookie: &str) -> Result<(String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let cookie = match cookie {
        "" => String::new(),
        cookie => format!("Cookie: {cookie}\r\n"),
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{cookie}Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no whole answer")?;
    Ok((head.to_owned(), body.to_owned()))
}

/// Waits until a path answers 200, and says how long that took.
pub(crate) fn wait_for(port: u16, path: &str, limit: Duration) -> Result<Duration> {
    let started = Instant::now();
    loop {
        let answer = get(port, path, "");
        if answer.is_ok_and(|(head, _)| head.starts_with("HTTP/1.1 200")) {
            return Ok(started.elapsed());
        }
        if started.elapsed() > limit {
            bail!("port {port}: {path} did not answer 200 within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until a path has answered 200 for some seconds: HAProxy sends requests to nodes that it
/// has not checked yet, and takes some checks to find out.
pub(crate) fn wait_until_steady(port: u16, path: &str, limit: Duration) -> Result<()> {
    let started = Instant::now();
    let mut good = 0;
    while good < STEADY {
        let answer = get(port, path, "");
        let is_good = answer.is_ok_and(|(head, _)| head.starts_with("HTTP/1.1 200"));
        good = if is_good { good + 1 } else { 0 };
        ensure!(
            started.elapsed() < limit,
            "port {port}: {path} did not become steady within {limit:?}"
        );
        std::thread::sleep(STEADY_PAUSE);
    }
    Ok(())
}

/// The session cookie that a new visitor gets.
pub(crate) fn new_session(port: u16, path: &str) -> Result<String> {
    let (head, _) = get(port, path, "")?;
    let cookie = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        (name.eq_ignore_ascii_case("set-cookie")).then(|| value.split(';').next())?
    });
    let cookie = cookie.with_context(|| format!("port {port}: no session in the answer {head}"))?;
    Ok(cookie.to_owned())
}
