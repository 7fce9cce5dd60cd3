//! Prometheus' text format: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::{fmt::Write, sync::atomic::Ordering::Relaxed};

use seawall_net::process_metrics;

use crate::{balancer::Shared, health::Status, latency::BOUNDS, server::Server};

/// A metric of each server: name, kind, help, and its value.
type Metric = (&'static str, &'static str, &'static str, fn(&Server) -> u64);

const METRICS: [Metric; 12] = [
    ("up", "gauge", "Whether the server takes traffic.", |s| {
        u64::from(s.status() == Status::Up)
    }),
    (
        "draining",
        "gauge",
        "Whether the server takes no new requests.",
        |s| u64::from(s.is_draining()),
    ),
    (
        "requests_in_flight",
        "gauge",
        "Requests that wait for their answer.",
        |s| s.in_flight.load(Relaxed) as u64,
    ),
    (
        "requests_total",
        "counter",
        "Requests sent to the server.",
        |s| s.counters.requests.load(Relaxed),
    ),
    (
        "response_bytes_total",
        "counter",
        "Bytes of answers, without their heads.",
        |s| s.counters.bytes_out.load(Relaxed),
    ),
    (
        "connection_errors_total",
        "counter",
        "Requests that the server did not take.",
        |s| s.counters.connect_errors.load(Relaxed),
    ),
    (
        "response_errors_total",
        "counter",
        "Requests that the server broke off.",
        |s| s.counters.response_errors.load(Relaxed),
    ),
    (
        "retry_warnings_total",
        "counter",
        "Requests that had to be tried again.",
        |s| s.counters.retries.load(Relaxed),
    ),
    (
        "redispatch_warnings_total",
        "counter",
        "Requests that came from another server.",
        |s| s.counters.redispatches.load(Relaxed),
    ),
    (
        "check_failures_total",
        "counter",
        "Checks that failed.",
        |s| s.counters.failed_checks.load(Relaxed),
    ),
    (
        "check_down_total",
        "counter",
        "How often the server went down.",
        |s| s.counters.downs.load(Relaxed),
    ),
    (
        "check_duration_microseconds",
        "gauge",
        "How long the last check took.",
        |s| s.counters.check_micros.load(Relaxed),
    ),
];

const RESPONSES: &str = "seawall_balancer_server_http_responses_total";
const LATENCY: &str = "seawall_balancer_server_response_seconds";

pub(super) fn text(shared: &Shared) -> String {
    let mut text = process_metrics();
    let requests = shared.requests.load(Relaxed);
    let (refused, failed) = (shared.refused.load(Relaxed), shared.failed.load(Relaxed));
    let uptime = shared.started.elapsed().as_secs();
    for (name, kind, help, value) in [
        (
            "http_requests_total",
            "counter",
            "Requests from clients.",
            requests,
        ),
        (
            "request_errors_total",
            "counter",
            "Requests that clients sent wrongly, or not to their end.",
            refused,
        ),
        (
            "client_aborts_total",
            "counter",
            "Requests whose clients left before they had an answer.",
            shared.aborts.load(Relaxed),
        ),
        (
            "failed_requests_total",
            "counter",
            "Requests for which no server had an answer.",
            failed,
        ),
        ("uptime_seconds", "gauge", "Time since the start.", uptime),
    ] {
        head(&mut text, &format!("seawall_balancer_{name}"), kind, help);
        let _ = writeln!(text, "seawall_balancer_{name} {value}");
    }
    for (name, kind, help, value) in METRICS {
        let name = format!("seawall_balancer_server_{name}");
        head(&mut text, &name, kind, help);
        for server in &shared.servers {
            let _ = writeln!(
                text,
                "{name}{{server=\"{}\"}} {}",
                server.config.name,
                value(server)
            );
        }
    }
    head(
        &mut text,
        RESPONSES,
        "counter",
        "Answers by class of status.",
    );
    for server in &shared.servers {
        for (class, count) in (1..).zip(&server.counters.responses) {
            let (name, count) = (&server.config.name, count.load(Relaxed));
            let _ = writeln!(
                text,
                "{RESPONSES}{{server=\"{name}\",code=\"{class}xx\"}} {count}"
            );
        }
    }
    latency(&mut text, shared);
    text
}

fn latency(text: &mut String, shared: &Shared) {
    let help = "From sending a request to the head of its answer.";
    head(text, LATENCY, "histogram", help);
    for server in &shared.servers {
        let (name, latency) = (&server.config.name, &server.counters.latency);
        let (bounded, all) = latency.cumulated();
        for (bound, count) in BOUNDS.iter().zip(bounded) {
            let bound = *bound as f64 / 1e6;
            let _ = writeln!(
                text,
                "{LATENCY}_bucket{{server=\"{name}\",le=\"{bound}\"}} {count}"
            );
        }
        let seconds = latency.micros() as f64 / 1e6;
        let _ = writeln!(
            text,
            "{LATENCY}_bucket{{server=\"{name}\",le=\"+Inf\"}} {all}\n\
             {LATENCY}_sum{{server=\"{name}\"}} {seconds}\n\
             {LATENCY}_count{{server=\"{name}\"}} {all}"
        );
    }
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}
