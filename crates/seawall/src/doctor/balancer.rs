//! The balancer: whether it runs, what it thinks of the nodes, and whether it keeps clients with them.

use std::collections::BTreeSet;

use super::{case::Case, diagnosis::Diagnosis, facts::Facts, machine, nodes::listening};
use crate::{
    config::Settings,
    http_client::HttpError,
    reports::{BalancerReport, ReportError, ServerReport},
};

const UNIT: &str = "seawall-balancer";

pub(super) fn judge(settings: &Settings, facts: &Facts) -> Vec<Diagnosis> {
    let report = match &facts.balancer {
        None => return Vec::new(),
        Some(Ok(report)) => report,
        Some(Err(error)) => return vec![absence(settings, facts, error)],
    };
    let servers = report.servers.iter();
    let mut found: Vec<_> = servers
        .filter_map(|server| check(report, server, facts))
        .collect();
    found.extend(names(settings, report));
    found.extend(configuration(settings, report));
    found.extend(machine::files("the balancer", &facts.balancer_metrics).map(with_unit));
    found.extend(machine::memory("the balancer", &facts.balancer_metrics, 0).map(with_unit));
    found
}

fn with_unit(diagnosis: Diagnosis) -> Diagnosis {
    diagnosis.with("UNIT", UNIT)
}

fn absence(settings: &Settings, facts: &Facts, error: &ReportError) -> Diagnosis {
    let (stats, front) = (settings.balancer.stats, settings.balancer.listen);
    let (at_stats, at_front) = (facts.strangers.get(&stats), facts.strangers.get(&front));
    let (case, address) = match error {
        ReportError::Http(HttpError::Unreachable(_)) => (Case::MachineUnreachable, stats),
        // Without the one port it does not serve on the other either, even where systemd has it.
        ReportError::Http(_) if at_front.is_some() => (Case::PortTaken, front),
        ReportError::Http(HttpError::Refused(_)) => (Case::BalancerDown, stats),
        ReportError::Http(HttpError::Timeout(_)) if at_stats.is_none() => {
            (Case::BalancerHangs, stats)
        }
        _ => (Case::PortTaken, stats),
    };
    let seen = match case {
        Case::PortTaken if address == front => {
            format!("the balancer's address {front}{}", listening(at_front))
        }
        _ => format!(
            "the balancer's statistics at {stats}: {error}{}",
            listening(at_stats)
        ),
    };
    Diagnosis::new(case, seen)
        .with("ADDRESS", address.to_string())
        .with("HOST", address.ip().to_string())
        .with("PORT", address.port().to_string())
}

/// A server that the balancer takes for down, although it answers here. One that does not has its
/// own diagnosis.
fn check(report: &BalancerReport, server: &ServerReport, facts: &Facts) -> Option<Diagnosis> {
    if server.state != "DOWN" {
        return None;
    }
    let node = facts
        .nodes
        .iter()
        .find(|node| *node.place.name == server.name);
    if node.is_some_and(|node| node.answer.is_err()) {
        return None;
    }
    let path = report.check_path.as_deref().unwrap_or("/");
    let ServerReport { name, address, .. } = server;
    let answer = match server.check_code {
        Some(code) => format!("it answers {code}"),
        None => "there is no answer".to_owned(),
    };
    let seen = format!("the balancer asks {name} at {address} for {path}, and {answer}");
    // A Unix socket cannot be tried as an address.
    let tried = node.map_or(address.clone(), |node| node.place.address.to_string());
    let diagnosis = Diagnosis::new(Case::CheckFails, seen);
    Some(diagnosis.with("ADDRESS", tried).with("PATH", path))
}

/// By `route`, the node's name in the cookie must be one of the balancer's.
fn names(settings: &Settings, report: &BalancerReport) -> Option<Diagnosis> {
    if report.stick.as_deref() != Some("route") {
        return None;
    }
    let known: BTreeSet<_> = report.servers.iter().map(|server| &*server.name).collect();
    let unknown = settings.nodes.iter().map(|node| &*node.name);
    let unknown: Vec<_> = unknown.filter(|name| !known.contains(name)).collect();
    if unknown.is_empty() {
        return None;
    }
    let known: Vec<_> = known.into_iter().collect();
    let seen = format!(
        "cookies name the nodes {}, and the balancer knows only {}",
        unknown.join(", "),
        known.join(", ")
    );
    Some(Diagnosis::new(Case::NotSticky, seen))
}

fn configuration(settings: &Settings, report: &BalancerReport) -> Option<Diagnosis> {
    let ours = &settings.balancer;
    let mut differing = Vec::new();
    for (key, theirs, ours) in [
        ("balancer.stick", &report.stick, ours.sticky.word()),
        ("session.cookie.name", &report.cookie, &ours.cookie),
        ("balancer.check.path", &report.check_path, &ours.check.path),
    ] {
        if let Some(theirs) = theirs
            && theirs != ours
        {
            differing.push(format!("{key} is {theirs:?} there and {ours:?} here"));
        }
    }
    if differing.is_empty() {
        return None;
    }
    let seen = format!("the balancer: {}", differing.join("; "));
    Some(with_unit(Diagnosis::new(Case::ConfigurationNotInUse, seen)))
}
