//! The statistics page.

use std::{fmt::Write, sync::atomic::Ordering::Relaxed};

use super::state;
use crate::{balancer::Shared, server::Server};

const STYLE: &str = ":root { color-scheme: light dark; } \
    body { font: .95rem/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 70rem; \
    padding: 0 1rem; } \
    table { border-collapse: collapse; width: 100%; } \
    th, td { padding: .35rem .6rem; text-align: right; border-bottom: 1px solid #8884; } \
    th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; } \
    .state { border-radius: .3rem; color: #fff; padding: .1rem .5rem; } \
    .UP { background: #1a7f37; } .DOWN { background: #b3261e; } .DRAIN { background: #1f5fa8; } \
    .no { background: #6b6b6b; } .suspect { background: #9a6700; }";

/// Refreshes itself every 30 s.
pub(super) fn page(shared: &Shared) -> String {
    let mut rows = String::new();
    for server in &shared.servers {
        row(&mut rows, server);
    }
    let requests = shared.requests.load(Relaxed);
    let uptime = shared.started.elapsed().as_secs();
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta http-equiv=\"refresh\" content=\"30\"><title>Seawall balancer</title>\
         <style>{STYLE}</style></head><body><h1>Balancer</h1>\
         <p>Seawall {version}, up for {uptime} s, {requests} requests. \
         <a href=\"/stats;csv\">CSV</a> · <a href=\"/metrics\">metrics</a></p>\
         <table><thead><tr><th>Server</th><th>State</th><th>For</th><th>Weight</th>\
         <th>In flight</th><th>Requests</th><th>2xx</th><th>3xx</th><th>4xx</th><th>5xx</th>\
         <th>Not taken</th><th>Broken off</th><th>Moved here</th><th>Check</th></tr></thead>\
         <tbody>{rows}</tbody></table></body></html>\n"
    )
}

fn row(rows: &mut String, server: &Server) {
    let counters = &server.counters;
    let state = state(server);
    // The class of `no check` is its first word.
    let class = if server.is_suspect() {
        "suspect"
    } else {
        state
    };
    let _ = write!(
        rows,
        "<tr><td>{} <small>{}</small></td><td><span class=\"state {class}\">{state}</span></td>\
         <td>{} s</td><td>{}</td><td>{}</td><td>{}</td>",
        server.config.name,
        // A socket's path may hold anything.
        server
            .config
            .address
            .to_string()
            .replace('&', "&amp;")
            .replace('<', "&lt;"),
        server.unchanged_for().as_secs(),
        server.config.weight,
        server.in_flight.load(Relaxed),
        counters.requests.load(Relaxed),
    );
    for class in &counters.responses[1..] {
        let _ = write!(rows, "<td>{}</td>", class.load(Relaxed));
    }
    let _ = write!(
        rows,
        "<td>{}</td><td>{}</td><td>{}</td><td>{:.1} ms</td></tr>",
        counters.connect_errors.load(Relaxed),
        counters.response_errors.load(Relaxed),
        counters.redispatches.load(Relaxed),
        std::time::Duration::from_micros(counters.check_micros.load(Relaxed)).as_secs_f64()
            * 1_000.0,
    );
}
