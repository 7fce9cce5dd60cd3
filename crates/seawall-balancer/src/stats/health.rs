//! The report at `/health`, in JSON: what the balancer thinks of its servers, and what it counted.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use seawall_net::resident_memory;
use serde_json::{Value, json};

use super::state;
use crate::{
    balancer::Shared,
    latency::{BOUNDS, quantile},
    recent::{Counts, Recent},
    server::Server,
};

/// The whole report. Times are in the unit that their name ends with; counters count since the
/// start, those under `recent` for so many seconds.
pub(super) fn health(shared: &Shared, recent: &Recent) -> String {
    let counts = counts(shared);
    let (time, lately) = recent.until(Instant::now(), counts);
    let servers: Vec<_> = shared.servers.iter().map(|server| of(server)).collect();
    let report = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime_seconds": shared.started.elapsed().as_secs(),
        "memory_bytes": resident_memory(),
        "requests": counts.requests,
        "errors": counts.errors,
        "recent": {
            "seconds": time.as_secs(),
            "requests": lately.requests,
            "errors": lately.errors,
        },
        "stick": shared.config.sticky.word(),
        "cookie": &*shared.config.cookie,
        "check_path": &*shared.config.check.path,
        "servers": servers,
    });
    report.to_string()
}

/// What clients have asked for, and how often they got status 500 or more.
pub(crate) fn counts(shared: &Shared) -> Counts {
    let of_server = |server: &Server| server.counters.responses[4].load(Relaxed);
    let of_servers: u64 = shared.servers.iter().map(|server| of_server(server)).sum();
    Counts {
        requests: shared.requests.load(Relaxed),
        errors: of_servers + shared.failed.load(Relaxed),
    }
}

fn of(server: &Server) -> Value {
    let counters = &server.counters;
    let latency = counters.latency.counts();
    let millis = |q| quantile(&BOUNDS, &latency, q).map(as_millis);
    json!({
        "name": &*server.config.name,
        "address": server.config.address.to_string(),
        "weight": server.config.weight,
        "state": state(server),
        "suspect": server.is_suspect(),
        "check_code": check_code(server),
        "draining": server.is_draining(),
        "store_away": server.is_store_away(),
        "since_seconds": server.unchanged_for().as_secs(),
        "in_flight": server.in_flight.load(Relaxed),
        "requests": counters.requests.load(Relaxed),
        "responses_5xx": counters.responses[4].load(Relaxed),
        "connect_errors": counters.connect_errors.load(Relaxed),
        "response_errors": counters.response_errors.load(Relaxed),
        "p50_ms": millis(0.5),
        "p99_ms": millis(0.99),
        "latency": { "bounds_us": BOUNDS, "counts": latency },
    })
}

/// The status that answered the last check; `None` when there was no answer.
fn check_code(server: &Server) -> Option<u64> {
    Some(server.counters.check_code.load(Relaxed)).filter(|code| *code != 0)
}

fn as_millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
