//! What to run.

use std::time::Duration;

use http::{Method, Uri};

const SESSION_LIMIT: usize = 1_000_000;
const CONNECTION_LIMIT: usize = 10_000;

/// Which target a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// A random one of the targets, with the session's cookie: a cluster without stickiness.
    Random,
    /// The first target, which is expected to keep a client with its node.
    Sticky,
}

/// What to run.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// Addresses of the page; more than one only with [`Route::Random`].
    pub targets: Vec<Uri>,
    /// Which target a request goes to.
    pub route: Route,
    /// How the page is asked for: GET, or POST, which no proxy may send twice.
    pub method: Method,
    /// How many sessions.
    pub sessions: usize,
    /// How many connections, each with one request at a time.
    pub connections: usize,
    /// How many connections may use one session at a time. Above 1 the answers may come in any
    /// order, and each must show another count.
    pub shared: usize,
    /// For how long.
    pub duration: Duration,
    /// Requests per second in all; `None` for as many as the cluster answers.
    pub rate: Option<u32>,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Where the random choices start.
    pub seed: u64,
}

impl BenchOptions {
    /// Sticky load on one page, with defaults: 64 sessions, 16 connections, 10 s.
    #[must_use]
    pub fn new(target: Uri) -> Self {
        Self {
            targets: vec![target],
            route: Route::Sticky,
            method: Method::GET,
            sessions: 64,
            connections: 16,
            shared: 1,
            duration: Duration::from_secs(10),
            rate: None,
            timeout: Duration::from_secs(10),
            seed: 1,
        }
    }

    /// Checks what would make the run meaningless.
    ///
    /// # Errors
    /// [`BenchError::Options`] with what to change.
    pub fn validate(&self) -> Result<(), BenchError> {
        let wrong = |text: String| Err(BenchError::Options(text));
        for target in &self.targets {
            if target.scheme_str() != Some("http") || target.host().is_none() {
                return wrong(format!(
                    "{target}: give an address such as http://localhost:8000/"
                ));
            }
        }
        if self.targets.is_empty() {
            return wrong("no target: give the address of a session-test page".to_owned());
        }
        if self.route == Route::Sticky && self.targets.len() > 1 {
            return wrong("several targets need --route random".to_owned());
        }
        if !(1..=SESSION_LIMIT).contains(&self.sessions) {
            return wrong(format!("--sessions: from 1 to {SESSION_LIMIT}"));
        }
        if !(1..=CONNECTION_LIMIT).contains(&self.connections) {
            return wrong(format!("--connections: from 1 to {CONNECTION_LIMIT}"));
        }
        if self.shared == 0 {
            return wrong("--shared: at least 1".to_owned());
        }
        if self.sessions.saturating_mul(self.shared) < self.connections {
            return wrong(format!(
                "{} connections need at least as many sessions: raise --sessions, or let \
                 connections share sessions with --shared",
                self.connections
            ));
        }
        if self.rate == Some(0) || self.duration.is_zero() || self.timeout.is_zero() {
            return wrong("rate, duration and timeout must be above zero".to_owned());
        }
        Ok(())
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The options make no sense.
    #[error("{0}")]
    Options(String),
    /// Before the load, not every session could be made.
    #[error("{target}: {reason}; is this the address of a session-test page?")]
    Page {
        /// The address.
        target: String,
        /// What came instead.
        reason: String,
    },
    /// A host name is not known.
    #[error("{host}: {reason}")]
    Resolve {
        /// The host.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// It was stopped before the load.
    #[error("stopped before there was a report")]
    Stopped,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> BenchOptions {
        BenchOptions::new("http://127.0.0.1:8000/session-test/".parse().unwrap())
    }

    #[test]
    fn options_that_make_no_sense_are_explained() {
        assert!(options().validate().is_ok());
        let check = |options: BenchOptions, word: &str| {
            let text = options.validate().unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        };
        check(
            BenchOptions {
                sessions: 4,
                ..options()
            },
            "--shared",
        );
        check(
            BenchOptions {
                rate: Some(0),
                ..options()
            },
            "above zero",
        );
        check(
            BenchOptions {
                targets: vec![],
                ..options()
            },
            "no target",
        );
        check(
            BenchOptions::new("https://localhost/".parse().unwrap()),
            "http://",
        );
        let two = vec![options().targets[0].clone(); 2];
        check(
            BenchOptions {
                targets: two,
                ..options()
            },
            "--route random",
        );
    }
}
