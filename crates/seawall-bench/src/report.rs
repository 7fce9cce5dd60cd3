//! What a run found.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest latency that is told apart from longer ones.
const HOUR_MICROS: u64 = 3_600_000_000;

/// Whether the sessions were kept. See the [crate] for what the words mean.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Acknowledged visits that are missing at the end, or counts that were given out twice.
    pub lost_updates: u64,
    /// Answers with a count that the user had been told already.
    pub stale_reads: u64,
    /// Users that suddenly had another session.
    pub sessions_lost: u64,
    /// Visits that were counted though nobody was told.
    pub extra: u64,
    /// Sessions whose last count could not be had.
    pub unchecked: u64,
}

impl Verdict {
    /// Whether nothing was lost and nothing was stale, as far as it could be checked.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.lost_updates + self.stale_reads + self.sessions_lost + self.unchecked == 0
    }
}

/// Latencies, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// Half of the requests took less.
    pub p50: f64,
    /// One in a hundred took longer.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

/// What a run found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Answers that showed a count.
    pub requests: u64,
    /// Answers per second.
    pub requests_per_second: f64,
    /// From sending a request to its whole answer; at a fixed rate, from when it was due, so that
    /// waiting for a slow cluster counts (no coordinated omission).
    pub latency_ms: Latency,
    /// Requests that failed, by kind.
    pub errors: BTreeMap<String, u64>,
    /// The longest that any request took, failed ones included, in milliseconds.
    pub longest_wait_ms: f64,
    /// How often a user was served by another node than before.
    pub moves: u64,
    /// Whether the sessions were kept.
    pub verdict: Verdict,
    /// How many sessions took part.
    pub sessions: usize,
    /// How many connections there were.
    pub connections: usize,
    /// How long the load lasted, in seconds.
    pub seconds: f64,
    /// Where the random choices started.
    pub seed: u64,
}

impl Report {
    /// Whether no session was harmed. Failed requests are errors, not harm.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.verdict.is_good()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            latency_ms,
            verdict,
            ..
        } = self;
        writeln!(
            f,
            "requests        {} ({:.0}/s)",
            self.requests, self.requests_per_second
        )?;
        let Latency { p50, p99, max } = latency_ms;
        writeln!(
            f,
            "latency         p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms"
        )?;
        let failed: u64 = self.errors.values().sum();
        writeln!(f, "failed          {failed}")?;
        for (kind, count) in &self.errors {
            writeln!(f, "  {kind}: {count}")?;
        }
        writeln!(f, "longest wait    {:.0} ms", self.longest_wait_ms)?;
        writeln!(f, "moves           {}", self.moves)?;
        writeln!(f, "lost updates    {}", verdict.lost_updates)?;
        writeln!(f, "stale reads     {}", verdict.stale_reads)?;
        writeln!(f, "sessions lost   {}", verdict.sessions_lost)?;
        if verdict.unchecked > 0 {
            writeln!(
                f,
                "not checked     {} sessions gave no last count",
                verdict.unchecked
            )?;
        }
        if verdict.extra > 0 {
            writeln!(
                f,
                "extra visits    {} (counted, never acknowledged)",
                verdict.extra
            )?;
        }
        let word = if self.passed() { "good" } else { "BAD" };
        write!(f, "verdict         {word}")
    }
}

/// What is measured while the load runs.
#[derive(Debug)]
pub(crate) struct Tally {
    latency: Histogram<u64>,
    pub(crate) errors: BTreeMap<String, u64>,
    longest: Duration,
    pub(crate) verdict: Verdict,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let latency = Histogram::new_with_max(HOUR_MICROS, 3).expect("three digits are allowed");
        let (errors, longest, verdict) = (BTreeMap::new(), Duration::ZERO, Verdict::default());
        Self {
            latency,
            errors,
            longest,
            verdict,
        }
    }

    pub(crate) fn answered(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latency.saturating_record(micros.max(1));
        self.longest = self.longest.max(latency);
    }

    pub(crate) fn failed(&mut self, kind: String, waited: Duration) {
        *self.errors.entry(kind).or_default() += 1;
        self.longest = self.longest.max(waited);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.latency.len()
    }

    pub(crate) fn failures(&self) -> u64 {
        self.errors.values().sum()
    }

    pub(crate) fn latency(&self) -> Latency {
        let millis = |micros: u64| Duration::from_micros(micros).as_secs_f64() * 1_000.0;
        Latency {
            p50: millis(self.latency.value_at_quantile(0.5)),
            p99: millis(self.latency.value_at_quantile(0.99)),
            max: millis(self.latency.max()),
        }
    }

    pub(crate) fn longest_wait_ms(&self) -> f64 {
        self.longest.as_secs_f64() * 1_000.0
    }
}
