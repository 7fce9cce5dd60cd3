//! What a node counts, in Prometheus' text format:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>. `docs/metrics.md` explains it.

use std::{
    fmt::{self, Write},
    sync::Arc,
};

use http::{Response, StatusCode};
use seawall_net::process_metrics;
use seawall_session::{SessionStatistics, Sweeper};
use seawall_store::{
    Batcher, StoreStatistics,
    statistics::{HistogramSnapshot, LaneStatistics},
};

use crate::{
    health::Health,
    respond::{self, Body},
};

pub(crate) const METRICS_PATH: &str = "/.seawall/metrics";

/// Where the figures come from, beside the applications.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) batcher: Batcher,
    pub(crate) sweeper: Arc<Sweeper>,
}

/// All figures at one moment.
#[derive(Debug)]
pub(crate) struct Snapshot<'a> {
    node: NodeStatistics,
    store: StoreStatistics,
    /// By the name of the application's folder.
    sessions: Vec<(&'a str, SessionStatistics)>,
}

#[derive(Debug)]
struct NodeStatistics {
    in_flight: u64,
    expired: u64,
    store_is_up: bool,
}

impl Sources {
    pub(crate) fn snapshot<'a>(
        &self,
        health: &Health,
        sessions: Vec<(&'a str, SessionStatistics)>,
    ) -> Snapshot<'a> {
        let store = self.batcher.statistics();
        Snapshot {
            node: NodeStatistics {
                in_flight: health.in_flight(),
                expired: self.sweeper.expired(),
                // The one knows at once that it is away, the other also that it refuses to work.
                store_is_up: store.is_up && health.store_is_up(),
            },
            store,
            sessions,
        }
    }
}

/// Name, kind, help, and the value in what is counted.
type Metric<S> = (&'static str, &'static str, &'static str, fn(&S) -> u64);

const NODE: [Metric<NodeStatistics>; 3] = [
    (
        "seawall_requests_in_flight",
        "gauge",
        "Requests that wait for their answer.",
        |s| s.in_flight,
    ),
    (
        "seawall_sessions_expired_total",
        "counter",
        "Expired sessions that this node has deleted.",
        |s| s.expired,
    ),
    (
        "seawall_store_up",
        "gauge",
        "Whether the store does its work.",
        |s| u64::from(s.store_is_up),
    ),
];

/// With the label `application`.
const SESSIONS: [Metric<SessionStatistics>; 11] = [
    (
        "seawall_sessions_cached",
        "gauge",
        "Sessions of which the node holds a copy.",
        |s| s.cached_sessions,
    ),
    (
        "seawall_session_cache_bytes",
        "gauge",
        "What the copies take of session.cache_bytes.",
        |s| s.cache_bytes,
    ),
    (
        "seawall_session_cache_hits_total",
        "counter",
        "Requests that found a copy of their session.",
        |s| s.cache_hits,
    ),
    (
        "seawall_session_cache_misses_total",
        "counter",
        "Requests whose session was looked for in the store.",
        |s| s.cache_misses,
    ),
    (
        "seawall_session_cache_evictions_total",
        "counter",
        "Copies that made room for others.",
        |s| s.cache_evictions,
    ),
    (
        "seawall_sessions_created_total",
        "counter",
        "Sessions that came into being.",
        |s| s.created,
    ),
    (
        "seawall_sessions_invalidated_total",
        "counter",
        "Sessions that were ended.",
        |s| s.invalidated,
    ),
    (
        "seawall_sessions_rotated_total",
        "counter",
        "Sessions that got a new id.",
        |s| s.rotated,
    ),
    (
        "seawall_session_work_repeated_total",
        "counter",
        "How often a request's work was done again on a newer session.",
        |s| s.repeated,
    ),
    (
        "seawall_session_unverified_reads_total",
        "counter",
        "Requests that were answered from a copy while the store was away.",
        |s| s.unverified,
    ),
    (
        "seawall_sessions_unreadable_total",
        "counter",
        "Sessions in the store that could not be read.",
        |s| s.unreadable,
    ),
];

const STORE: [Metric<StoreStatistics>; 9] = [
    (
        "seawall_store_outages_total",
        "counter",
        "How often the store went away.",
        |s| s.outages,
    ),
    (
        "seawall_store_loads_total",
        "counter",
        "Sessions that were read without a copy to compare with.",
        |s| s.loads,
    ),
    (
        "seawall_store_validations_total",
        "counter",
        "Copies that were compared with the store.",
        |s| s.validations,
    ),
    (
        "seawall_store_conflicts_total",
        "counter",
        "Commits that another node's came before.",
        |s| s.conflicts,
    ),
    (
        "seawall_store_connections_total",
        "counter",
        "Connections made to the store's server.",
        |s| s.connections.opened,
    ),
    (
        "seawall_store_connections_lost_total",
        "counter",
        "Connections that broke, were given up, or were found dead.",
        |s| s.connections.lost,
    ),
    (
        "seawall_store_undone_total",
        "counter",
        "Statements sent again because the server undid them.",
        |s| s.connections.undone,
    ),
    (
        "seawall_store_unreadable_attributes_total",
        "counter",
        "Attributes that were skipped because they could not be read.",
        |s| s.unreadable.attributes,
    ),
    (
        "seawall_store_missing_keys_total",
        "counter",
        "Sessions that were encrypted with a key that is not in the key ring.",
        |s| s.unreadable.missing_keys,
    ),
];

/// With the label `lane`: reads or commits.
const LANES: [Metric<LaneStatistics>; 4] = [
    (
        "seawall_store_waiting",
        "gauge",
        "Requests that wait for the store; store.queue_limit bounds them.",
        |s| s.waiting,
    ),
    (
        "seawall_store_failures_total",
        "counter",
        "Tries that the store did not answer.",
        |s| s.failures,
    ),
    (
        "seawall_store_refused_total",
        "counter",
        "Requests that were refused because too many waited.",
        |s| s.refused,
    ),
    (
        "seawall_store_timed_out_total",
        "counter",
        "Requests that waited for their patience in vain.",
        |s| s.timed_out,
    ),
];

const COMMITS: &str = "seawall_store_commits_total";
const BATCH_SIZE: &str = "seawall_store_batch_size";
const ANSWER_SECONDS: &str = "seawall_store_answer_seconds";

/// Microseconds in a second.
const MICROS: f64 = 1e6;

pub(crate) fn respond(snapshot: &Snapshot<'_>) -> Response<Body> {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    respond::uncached(StatusCode::OK, content_type, text(snapshot))
}

fn text(snapshot: &Snapshot<'_>) -> String {
    let (mut text, store) = (process_metrics(), &snapshot.store);
    let lanes = [("reads", &store.reads), ("commits", &store.commits)];
    for (name, kind, help, value) in NODE {
        head(&mut text, name, kind, help);
        line(&mut text, name, "", value(&snapshot.node));
    }
    for (name, kind, help, value) in SESSIONS {
        head(&mut text, name, kind, help);
        for (application, sessions) in &snapshot.sessions {
            let label = label("application", application);
            line(&mut text, name, &label, value(sessions));
        }
    }
    for (name, kind, help, value) in STORE {
        head(&mut text, name, kind, help);
        line(&mut text, name, "", value(store));
    }
    for (name, kind, help, value) in LANES {
        head(&mut text, name, kind, help);
        for (lane, statistics) in lanes {
            line(&mut text, name, &label("lane", lane), value(statistics));
        }
    }
    commits(&mut text, store);
    let help = "How many requests went in each batch to the store.";
    head(&mut text, BATCH_SIZE, "histogram", help);
    for (lane, statistics) in lanes {
        histogram(&mut text, BATCH_SIZE, lane, &statistics.batch_sizes, 1.0);
    }
    let help = "How long the store took for each batch.";
    head(&mut text, ANSWER_SECONDS, "histogram", help);
    for (lane, statistics) in lanes {
        let answers = &statistics.answer_micros;
        histogram(&mut text, ANSWER_SECONDS, lane, answers, MICROS);
    }
    text
}

fn commits(text: &mut String, store: &StoreStatistics) {
    head(text, COMMITS, "counter", "Commits that took effect.");
    let committed = store.committed;
    for (kind, number) in [
        ("create", committed.creates),
        ("delete", committed.deletes),
        ("rename", committed.renames),
        ("touch", committed.touches),
        ("update", committed.updates),
    ] {
        line(text, COMMITS, &label("kind", kind), number);
    }
}

fn histogram(text: &mut String, name: &str, lane: &str, counted: &HistogramSnapshot, unit: f64) {
    let bucket = format!("{name}_bucket");
    for (bound, count) in counted.bounds.iter().zip(&counted.cumulated) {
        let bound = *bound as f64 / unit;
        line(
            text,
            &bucket,
            &format!("lane=\"{lane}\",le=\"{bound}\""),
            *count,
        );
    }
    let all = format!("lane=\"{lane}\",le=\"+Inf\"");
    line(text, &bucket, &all, counted.count);
    let (label, sum) = (label("lane", lane), counted.sum as f64 / unit);
    line(text, &format!("{name}_sum"), &label, sum);
    line(text, &format!("{name}_count"), &label, counted.count);
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, labels: &str, value: impl fmt::Display) {
    let _ = if labels.is_empty() {
        writeln!(text, "{name} {value}")
    } else {
        writeln!(text, "{name}{{{labels}}} {value}")
    };
}

/// A label; its value may be any name of a folder.
fn label(name: &str, value: &str) -> String {
    let escaped = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("{name}=\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `process_metrics` may tell.
    const PROCESS_METRICS: [&str; 4] = [
        "process_max_fds",
        "process_open_fds",
        "process_resident_memory_bytes",
        "seawall_memory_limit_bytes",
    ];

    #[test]
    fn the_documentation_lists_every_metric_with_its_kind() {
        let documentation = include_str!("../../../docs/metrics.md");
        let of =
            |metric: (&'static str, &'static str)| format!("| `{}` | {} |", metric.0, metric.1);
        let rows: Vec<String> = NODE
            .map(|metric| (metric.0, metric.1))
            .into_iter()
            .chain(SESSIONS.map(|metric| (metric.0, metric.1)))
            .chain(STORE.map(|metric| (metric.0, metric.1)))
            .chain(LANES.map(|metric| (metric.0, metric.1)))
            .chain([(COMMITS, "counter")])
            .chain([BATCH_SIZE, ANSWER_SECONDS].map(|name| (name, "histogram")))
            .chain(PROCESS_METRICS.map(|name| (name, "gauge")))
            .map(of)
            .collect();
        for row in &rows {
            assert!(documentation.contains(row), "docs/metrics.md lacks {row}");
        }
        let count = |row| documentation.matches(row).count();
        // The balancer's test looks after its own.
        let listed = count("| `seawall_") + count("| `process_") - count("| `seawall_balancer_");
        assert_eq!(
            listed,
            rows.len(),
            "docs/metrics.md lists what is not there"
        );
    }

    #[test]
    fn names_of_folders_are_escaped() {
        assert_eq!(label("a", "x\"\\\n"), r#"a="x\"\\\n""#);
    }
}
