//! A server as all workers see it: its state and its counters, all atomics.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU8, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{config::ServerConfig, health::Status, latency::Latency, pick::Tier};

/// A server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) config: ServerConfig,
    status: AtomicU8,
    /// It refused or hung, and has not been checked since.
    suspect: AtomicBool,
    /// It asked for no new requests.
    draining: AtomicBool,
    /// It says that its session store does not answer.
    store_away: AtomicBool,
    started: Instant,
    /// When it last answered anything, and when its status, and what it says of its store, last
    /// changed, in ms after `started`.
    answered_ms: AtomicU64,
    changed_ms: AtomicU64,
    store_changed_ms: AtomicU64,
    pub(crate) in_flight: AtomicUsize,
    /// Wakes the checker.
    pub(crate) check_now: Notify,
    pub(crate) counters: Counters,
}

/// What is counted for a server.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) in_flight_max: AtomicUsize,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) connect_errors: AtomicU64,
    pub(crate) response_errors: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) redispatches: AtomicU64,
    pub(crate) failed_checks: AtomicU64,
    pub(crate) downs: AtomicU64,
    pub(crate) check_micros: AtomicU64,
    pub(crate) check_code: AtomicU64,
    pub(crate) check_passed: AtomicBool,
    /// From sending a request to the head of its answer.
    pub(crate) latency: Latency,
    /// Responses by class: 1xx to 5xx.
    pub(crate) responses: [AtomicU64; 5],
}

/// Counts one up.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

impl Server {
    pub(crate) fn new(config: ServerConfig) -> Self {
        Self {
            config,
            status: AtomicU8::new(Status::Unknown as u8),
            suspect: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            store_away: AtomicBool::new(false),
            started: Instant::now(),
            answered_ms: AtomicU64::new(0),
            changed_ms: AtomicU64::new(0),
            store_changed_ms: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            check_now: Notify::new(),
            counters: Counters::default(),
        }
    }

    pub(crate) fn status(&self) -> Status {
        match self.status.load(SeqCst) {
            status if status == Status::Up as u8 => Status::Up,
            status if status == Status::Down as u8 => Status::Down,
            _ => Status::Unknown,
        }
    }

    pub(crate) fn set_status(&self, status: Status) {
        self.status.store(status as u8, SeqCst);
        self.changed_ms.store(self.clock_ms(), Relaxed);
        if status == Status::Down {
            count(&self.counters.downs);
        }
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect.load(SeqCst)
    }

    /// How willingly it is used.
    pub(crate) fn tier(&self, has_worse_store: bool) -> Tier {
        match self.status() {
            Status::Down => Tier::Down,
            Status::Unknown => Tier::Unknown,
            Status::Up if self.is_suspect() => Tier::Suspect,
            Status::Up if has_worse_store => Tier::StoreAway,
            Status::Up if self.is_draining() => Tier::Draining,
            Status::Up => Tier::Good,
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    pub(crate) fn set_draining(&self, draining: bool) {
        if self.draining.swap(draining, SeqCst) != draining {
            tracing::info!(server = %self.config.name, draining, "drain");
        }
    }

    /// Takes note of what the server says of its session store; one that says nothing has no trouble.
    pub(crate) fn set_store_away(&self, away: bool) {
        // The server's own log tells of it.
        if self.store_away.swap(away, SeqCst) != away {
            self.store_changed_ms.store(self.clock_ms(), Relaxed);
        }
    }

    pub(crate) fn is_store_away(&self) -> bool {
        self.store_away.load(Relaxed)
    }

    /// Whether its session store has been away, and that of another server has answered, for as long
    /// as it takes to be `sure`. A store that is away for all, or back, is found out by one server
    /// after the other, and that is no reason to move clients. Nor is a server that has just come up,
    /// and does not know yet.
    pub(crate) fn has_worse_store(&self, others: &[Arc<Self>], sure: Duration) -> bool {
        self.is_store_away()
            && self.store_unchanged_for() > sure
            && others.iter().any(|other| {
                other.status() == Status::Up
                    && other.unchanged_for() > sure
                    && !other.is_store_away()
                    && other.store_unchanged_for() > sure
            })
    }

    fn store_unchanged_for(&self) -> Duration {
        self.since(&self.store_changed_ms)
    }

    /// Takes note of an answer in which the server said that it drains, without waiting for the next
    /// check, which is asked for now.
    pub(crate) fn announced_drain(&self) {
        if !self.is_draining() {
            self.set_draining(true);
            self.check_now.notify_one();
        }
    }

    /// Keeps requests away until the next good check, which is asked for now.
    pub(crate) fn suspect(&self) {
        if !self.suspect.swap(true, SeqCst) {
            tracing::warn!(server = %self.config.name, "server refuses or hangs, checking it");
        }
        self.check_now.notify_one();
    }

    pub(crate) fn clear_suspicion(&self) {
        self.suspect.store(false, SeqCst);
    }

    /// Takes note of a part of an answer's body.
    pub(crate) fn came(&self, part: &Bytes) {
        self.counters
            .bytes_out
            .fetch_add(part.len() as u64, Relaxed);
    }

    /// Takes note of a request that the server has lost.
    pub(crate) fn lost(&self) {
        count(&self.counters.response_errors);
        self.suspect();
    }

    fn clock_ms(&self) -> u64 {
        self.millis(Instant::now())
    }

    fn millis(&self, time: Instant) -> u64 {
        let since = time.saturating_duration_since(self.started);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes note that the server answered something.
    pub(crate) fn answered(&self, now: Instant) {
        self.answered_ms.store(self.millis(now), Relaxed);
    }

    /// Whether the server has answered anybody since then.
    pub(crate) fn answered_since(&self, then: Instant) -> bool {
        self.answered_ms.load(Relaxed) > self.millis(then)
    }

    /// How long the status has been what it is.
    pub(crate) fn unchanged_for(&self) -> Duration {
        self.since(&self.changed_ms)
    }

    fn since(&self, time: &AtomicU64) -> Duration {
        Duration::from_millis(self.clock_ms().saturating_sub(time.load(Relaxed)))
    }
}
