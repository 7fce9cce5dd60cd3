//! The cluster, reckoned from two samples. Pure.

use std::time::Duration;

use seawall_balancer::quantile;
use serde::Serialize;

use super::{
    sample::Sample,
    table::{Column, Tone, render},
};
use crate::{
    config::{NodePlace, Settings},
    output::plain,
    reports::{BalancerReport, NodeAnswer, ServerReport},
    store_access,
};

/// What `status --json` prints. Rates are per second and latencies in ms, both of the time between
/// two looks; what cannot be told is null.
#[derive(Debug, Serialize)]
pub(super) struct Overview {
    /// The time between the two looks.
    interval_ms: u64,
    /// Null when there is none.
    balancer: Option<BalancerRow>,
    nodes: Vec<NodeRow>,
    /// Null without nodes.
    store: Option<StoreRow>,
}

#[derive(Debug, Serialize)]
struct BalancerRow {
    address: String,
    state: &'static str,
    problem: Option<String>,
    version: Option<String>,
    uptime_seconds: Option<u64>,
    memory_bytes: Option<u64>,
    requests_per_second: Option<f64>,
    errors_per_second: Option<f64>,
}

#[derive(Debug, Serialize)]
struct NodeRow {
    name: String,
    address: String,
    /// `up`, `draining`, `store away`, or `no answer`.
    state: &'static str,
    problem: Option<String>,
    /// What the balancer thinks of it, in HAProxy's words; null when it does not know it.
    balancer_state: Option<String>,
    sessions: Option<u64>,
    in_flight: Option<u64>,
    requests_per_second: Option<f64>,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    memory_bytes: Option<u64>,
    version: Option<String>,
    uptime_seconds: Option<u64>,
}

#[derive(Debug, Serialize)]
struct StoreRow {
    kind: &'static str,
    url: String,
    state: &'static str,
    problem: Option<String>,
    sessions: Option<u64>,
}

impl Overview {
    pub(super) fn new(
        settings: &Settings,
        before: &Sample,
        after: &Sample,
        store: Option<Result<u64, String>>,
    ) -> Self {
        let interval = after.at.saturating_duration_since(before.at);
        let nodes = settings.nodes.iter().enumerate().map(|(index, place)| {
            NodeRow::new(
                place,
                interval,
                before
                    .nodes
                    .get(index)
                    .and_then(|answer| answer.as_ref().ok()),
                after.nodes.get(index),
                server(&before.balancer, &place.name),
                server(&after.balancer, &place.name),
            )
        });
        Self {
            interval_ms: u64::try_from(interval.as_millis()).unwrap_or(u64::MAX),
            balancer: after
                .balancer
                .as_ref()
                .map(|report| BalancerRow::new(settings, interval, before, report)),
            nodes: nodes.collect(),
            store: store.map(|counted| StoreRow::new(settings, counted)),
        }
    }
}

fn split<T>(result: Result<T, String>) -> (Option<T>, Option<String>) {
    match result {
        Ok(value) => (Some(value), None),
        Err(problem) => (None, Some(problem)),
    }
}

fn server<'a>(
    report: &'a Option<Result<BalancerReport, String>>,
    name: &str,
) -> Option<&'a ServerReport> {
    let servers = &report.as_ref()?.as_ref().ok()?.servers;
    servers.iter().find(|server| server.name == name)
}

/// A counter's growth per second; `None` when one of the values is not known, or it began anew.
fn rate(before: Option<u64>, after: Option<u64>, interval: Duration) -> Option<f64> {
    let grown = after?.checked_sub(before?)?;
    let seconds = interval.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = grown as f64 / seconds;
    (seconds > 0.0).then_some(rate)
}

/// The time within which the share `q` of the answers between two looks came, in ms.
fn latency(before: &ServerReport, after: &ServerReport, q: f64) -> Option<f64> {
    let pairs = before.latency.counts.iter().zip(&after.latency.counts);
    let grown: Option<Vec<_>> = pairs
        .map(|(before, after)| after.checked_sub(*before))
        .collect();
    let time = quantile(&after.latency.bounds_us, &grown?, q)?;
    Some(time.as_secs_f64() * 1_000.0)
}

impl BalancerRow {
    fn new(
        settings: &Settings,
        interval: Duration,
        before: &Sample,
        report: &Result<BalancerReport, String>,
    ) -> Self {
        let known = report.as_ref().ok();
        // The same process both times, else its counters began anew.
        let earlier = before
            .balancer
            .as_ref()
            .and_then(|report| report.as_ref().ok());
        let earlier = earlier.filter(|before| known.is_some_and(|now| now.pid == before.pid));
        let rate_of =
            |of: fn(&BalancerReport) -> u64| rate(earlier.map(of), known.map(of), interval);
        Self {
            address: settings.balancer.stats.to_string(),
            state: if known.is_some() { "up" } else { "no answer" },
            problem: report.as_ref().err().cloned(),
            version: known.map(|report| report.version.clone()),
            uptime_seconds: known.map(|report| report.uptime_seconds),
            memory_bytes: known.and_then(|report| report.memory_bytes),
            requests_per_second: rate_of(|report| report.requests),
            errors_per_second: rate_of(|report| report.errors),
        }
    }
}

impl NodeRow {
    fn new(
        place: &NodePlace,
        interval: Duration,
        before: Option<&NodeAnswer>,
        after: Option<&Result<NodeAnswer, String>>,
        server_before: Option<&ServerReport>,
        server: Option<&ServerReport>,
    ) -> Self {
        let answer = after.and_then(|answer| answer.as_ref().ok());
        let report = answer.map(|answer| &answer.report);
        let before = before
            .map(|answer| &answer.report)
            .filter(|before| report.is_some_and(|now| now.pid == before.pid));
        let latency_of = |q| latency(server_before?, server?, q);
        Self {
            name: place.name.to_string(),
            address: place.address.to_string(),
            state: match report {
                None => "no answer",
                Some(report) if report.draining => "draining",
                Some(report) if report.store != "up" => "store away",
                Some(_) => "up",
            },
            problem: after.and_then(|answer| answer.as_ref().err().cloned()),
            balancer_state: server.map(|server| server.state.clone()),
            sessions: report.map(|report| report.sessions),
            in_flight: report.map(|report| report.in_flight),
            requests_per_second: rate(
                before.and_then(|report| report.requests),
                report.and_then(|report| report.requests),
                interval,
            ),
            p50_ms: latency_of(0.5),
            p99_ms: latency_of(0.99),
            memory_bytes: report.and_then(|report| report.memory_bytes),
            version: report.map(|report| report.version.clone()),
            uptime_seconds: report.and_then(|report| report.uptime_seconds),
        }
    }
}

const COLUMNS: [Column; 11] = [
    Column::left(""),
    Column::left("state"),
    Column::left("balancer"),
    Column::right("sessions"),
    Column::right("in flight"),
    Column::right("req/s"),
    Column::right("p50 ms"),
    Column::right("p99 ms"),
    Column::right("memory"),
    Column::left("version"),
    Column::left("since"),
];

impl Overview {
    /// The table for a terminal.
    pub(super) fn table(&self, colours: bool) -> String {
        let (balancer, store) = (self.balancer.iter(), self.store.iter());
        let rows = balancer.clone().map(BalancerRow::cells);
        let rows = rows.chain(self.nodes.iter().map(NodeRow::cells));
        let rows: Vec<_> = rows.chain(store.clone().map(StoreRow::cells)).collect();
        let mut text = render(&COLUMNS, &rows, tone, colours);
        let balancer = balancer.map(|balancer| ("balancer", &balancer.problem));
        let store = store.map(|store| ("store", &store.problem));
        let nodes = self.nodes.iter().map(|node| (&*node.name, &node.problem));
        for (name, problem) in balancer.chain(store).chain(nodes) {
            if let Some(problem) = problem {
                text += &format!("\n{name}: {}", plain(problem));
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let seconds = self.interval_ms as f64 / 1_000.0;
        text + &format!("\nrates and latencies of the last {seconds:.1} s")
    }
}

fn tone(state: &str) -> Tone {
    match state {
        "up" => Tone::Good,
        "no answer" => Tone::Bad,
        _ => Tone::Odd,
    }
}

fn shown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

fn decimals(value: Option<f64>, digits: usize) -> String {
    shown(value.map(|value| format!("{value:.digits$}")))
}

fn megabytes(bytes: Option<u64>) -> String {
    shown(bytes.map(|bytes| format!("{} MB", bytes >> 20)))
}

/// A time span in its two largest units.
fn span(seconds: Option<u64>) -> String {
    shown(seconds.map(|seconds| match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }))
}

fn nothing() -> String {
    String::new()
}

impl BalancerRow {
    fn cells(&self) -> Vec<String> {
        vec![
            "balancer".to_owned(),
            self.state.to_owned(),
            nothing(),
            nothing(),
            nothing(),
            decimals(self.requests_per_second, 0),
            nothing(),
            nothing(),
            megabytes(self.memory_bytes),
            shown(self.version.as_deref().map(plain)),
            span(self.uptime_seconds),
        ]
    }
}

impl NodeRow {
    fn cells(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.state.to_owned(),
            shown(self.balancer_state.as_deref().map(plain)),
            shown(self.sessions),
            shown(self.in_flight),
            decimals(self.requests_per_second, 0),
            decimals(self.p50_ms, 1),
            decimals(self.p99_ms, 1),
            megabytes(self.memory_bytes),
            shown(self.version.as_deref().map(plain)),
            span(self.uptime_seconds),
        ]
    }
}

impl StoreRow {
    fn new(settings: &Settings, counted: Result<u64, String>) -> Self {
        let (sessions, problem) = split(counted);
        Self {
            kind: store_access::kind(&settings.store),
            url: settings.store.to_string(),
            state: if problem.is_none() { "up" } else { "no answer" },
            problem,
            sessions,
        }
    }

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![
            format!("store ({})", self.kind),
            self.state.to_owned(),
            nothing(),
            shown(self.sessions),
        ];
        cells.resize(COLUMNS.len(), nothing());
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_needs_two_values_of_one_process() {
        let second = Duration::from_secs(2);
        assert_eq!(rate(Some(10), Some(30), second), Some(10.0));
        assert_eq!(rate(Some(30), Some(10), second), None, "it began anew");
        assert_eq!(rate(None, Some(10), second), None);
        assert_eq!(rate(Some(1), Some(2), Duration::ZERO), None);
    }

    #[test]
    fn spans_are_read_at_a_glance() {
        for (seconds, text) in [
            (59, "59s"),
            (61, "1m 1s"),
            (7_260, "2h 1m"),
            (90_000, "1d 1h"),
        ] {
            assert_eq!(span(Some(seconds)), text);
        }
        assert_eq!(span(None), "-");
    }
}
