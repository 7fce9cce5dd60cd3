//! A balancer for a test, and clients that speak to it byte by byte.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use seawall_balancer::{Balancer, BalancerConfig, ServerConfig, StickyMode};
use seawall_net::Shutdown;

use crate::server::Upstream;

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Running {
    pub(crate) port: u16,
    pub(crate) stats: u16,
    shutdown: Shutdown,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// A balancer in front of servers named `node1`, `node2`, …, once they have been checked.
    pub(crate) fn start(servers: &[&Upstream], sticky: StickyMode) -> Self {
        let running = Self::unchecked(servers, sticky, |_| ());
        running.until_state("UP", servers.len());
        running
    }

    pub(crate) fn unchecked(
        servers: &[&Upstream],
        sticky: StickyMode,
        change: impl FnOnce(&mut BalancerConfig),
    ) -> Self {
        let any = "127.0.0.1:0".parse().unwrap();
        let servers = (1..).zip(servers).map(|(number, server)| ServerConfig {
            name: format!("node{number}").into(),
            address: server.address().into(),
            weight: 1,
        });
        let mut config = BalancerConfig::new(any, any, servers.collect());
        config.sticky = sticky;
        config.check.fast_interval = Duration::from_millis(10);
        config.timeouts.hung = Duration::from_millis(400);
        change(&mut config);
        let balancer = Balancer::bind(config).unwrap();
        let (port, stats) = (balancer.local_addr().port(), balancer.stats_addr().port());
        let shutdown = Shutdown::new();
        let end = shutdown.clone();
        let thread = std::thread::spawn(move || balancer.run(end).unwrap());
        Self {
            port,
            stats,
            shutdown,
            thread: Some(thread),
        }
    }

    pub(crate) fn until_state(&self, state: &str, count: usize) {
        let deadline = Instant::now() + LIMIT;
        while get(self.stats, "/health", "")
            .1
            .matches(&format!("\"state\":\"{state}\""))
            .count()
            != count
        {
            assert!(Instant::now() < deadline, "never {count} servers {state}");
        }
    }

    /// Waits until no server is suspect.
    pub(crate) fn until_well(&self) {
        let deadline = Instant::now() + LIMIT;
        while get(self.stats, "/health", "")
            .1
            .contains("\"suspect\":true")
        {
            assert!(Instant::now() < deadline, "a server stays suspect");
        }
    }

    /// Asks it to end; it is waited for when it is dropped.
    pub(crate) fn end(&self) {
        self.shutdown.trigger();
    }

    pub(crate) fn get(&self, cookie: &str) -> (String, String) {
        get(self.port, "/", cookie)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.trigger();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends bytes and gives all that comes back until the other side closes.
pub(crate) fn exchange(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A connection that is reset ends the answer too.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Head and body of the answer to a GET request.
pub(crate) fn get(port: u16, path: &str, cookie: &str) -> (String, String) {
    let cookie = if cookie.is_empty() {
        String::new()
    } else {
        format!("Cookie: {cookie}\r\n")
    };
    let answer = exchange(
        port,
        &format!("GET {path} HTTP/1.1\r\nHost: test\r\n{cookie}Connection: close\r\n\r\n"),
    );
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    (head.to_owned(), body.to_owned())
}

pub(crate) fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0)
}
