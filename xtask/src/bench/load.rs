//! Load by `wrk`, on sessions that exist already.

use std::{fmt::Write, fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::http;
use crate::command::{program, root};

/// So many sessions, whatever the number of connections: no session has two requests under way, so
/// no commit answers two requests.
const SESSIONS: usize = 1_024;

pub(crate) const PAGE: &str = "/session-test/";

/// What `wrk` measured; times in microseconds.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Measured {
    pub(crate) requests: u64,
    pub(crate) micros: u64,
    pub(crate) failed: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
}

impl Measured {
    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / (self.micros as f64 / 1e6)
    }
}

/// A page and the sessions that visit it.
#[derive(Debug)]
pub(crate) struct Visitors {
    port: u16,
    cookies: PathBuf,
}

impl Visitors {
    /// Makes the sessions and keeps their cookies in the file `name`.
    pub(crate) fn new(name: &str, port: u16) -> Result<Self> {
        let mut list = String::from("return {\n");
        for _ in 0..SESSIONS {
            let cookie = http::new_session(port, PAGE)?;
            writeln!(list, "  \"{cookie}\",")?;
        }
        list.push_str("}\n");
        let cookies = super::folder()?.join(format!("{name}-cookies.lua"));
        fs::write(&cookies, list)?;
        Ok(Self { port, cookies })
    }

    /// Puts load on the page.
    pub(crate) fn visit(&self, connections: u32, duration: Duration) -> Result<Measured> {
        let mut wrk = program("wrk", &["--threads", "1", "--timeout", "10s"]);
        wrk.args(["--connections", &connections.to_string()]);
        wrk.args(["--duration", &format!("{}s", duration.as_secs())]);
        wrk.arg("--script").arg(root().join("bench/wrk/visit.lua"));
        wrk.arg(format!("http://127.0.0.1:{}{PAGE}", self.port));
        wrk.arg("--").arg(&self.cookies);
        let output = wrk.output().context("wrk did not start")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.starts_with('{'));
        let line = line.with_context(|| format!("wrk printed no result:\n{text}"))?;
        let measured: Measured = serde_json::from_str(line)?;
        ensure!(
            measured.failed == 0,
            "{} of {} requests failed",
            measured.failed,
            measured.requests
        );
        Ok(measured)
    }
}
