//! The balancer: its own view of each server, and how many of its answers were errors lately.

use std::net::SocketAddr;

use super::{ANSWER_LIMIT, Finding, Level};
use crate::reports::{self, BalancerReport, Recent, ServerReport};

/// The share of answers with status 500 and more.
const ERRORS_WARNING_PERCENT: u64 = 1;
const ERRORS_CRITICAL_PERCENT: u64 = 10;

/// A share of so few answers says little: at most a warning.
const FEW_REQUESTS: u64 = 100;

pub(super) async fn check(stats: Option<SocketAddr>) -> Vec<Finding> {
    let Some(address) = stats else {
        return Vec::new();
    };
    match reports::balancer(address, ANSWER_LIMIT).await {
        Ok(report) => vec![servers(address, &report), errors(&report.recent)],
        Err(reason) => vec![Finding::critical(
            "balancer",
            format!("{address}: {reason}"),
        )],
    }
}

/// Critical when no server is up.
fn servers(address: SocketAddr, report: &BalancerReport) -> Finding {
    let count = report.servers.len();
    let is_up = |server: &&ServerReport| server.state == "UP" && !server.suspect;
    let up = report.servers.iter().filter(is_up).count();
    let level = match up {
        0 => Level::Critical,
        up if up < count => Level::Warning,
        _ => Level::Ok,
    };
    let version = &report.version;
    let mut detail = format!("{address}: version {version}, {up} of {count} servers up");
    for server in report.servers.iter().filter(|server| !is_up(server)) {
        let ServerReport { name, state, .. } = server;
        let state = if server.suspect { "suspect" } else { state };
        detail += &format!("; {name} {state} for {} s", server.since_seconds);
    }
    Finding::new("balancer", level, detail)
}

fn errors(recent: &Recent) -> Finding {
    let Recent {
        seconds,
        requests,
        errors,
    } = *recent;
    let percent = |errors: u64| errors.saturating_mul(100);
    let exceeds = |limit: u64| errors > 0 && percent(errors) >= requests.saturating_mul(limit);
    let level = if exceeds(ERRORS_CRITICAL_PERCENT) && requests >= FEW_REQUESTS {
        Level::Critical
    } else if exceeds(ERRORS_WARNING_PERCENT) {
        Level::Warning
    } else {
        Level::Ok
    };
    let detail =
        format!("{errors} of {requests} answers of the last {seconds} s had status 500 or more");
    Finding::new("errors", level, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_judged_by_their_share() {
        let level = |requests, errors| {
            let recent = Recent {
                seconds: 300,
                requests,
                errors,
            };
            super::errors(&recent).level
        };
        assert_eq!(level(0, 0), Level::Ok);
        assert_eq!(level(1_000, 9), Level::Ok);
        assert_eq!(level(1_000, 10), Level::Warning);
        assert_eq!(level(1_000, 100), Level::Critical);
        assert_eq!(level(3, 1), Level::Warning, "too few to be sure");
        assert_eq!(level(0, 3), Level::Warning, "the requests are under way");
    }
}
