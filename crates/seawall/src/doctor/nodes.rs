//! The nodes: whether each runs where the configuration says, under its name, with the same version,
//! time and configuration as the others, and with room left.

use std::collections::BTreeMap;

use super::{
    case::Case,
    diagnosis::Diagnosis,
    facts::{Facts, ProcessMetrics},
    machine,
};
use crate::{
    config::{NodePlace, Settings},
    health::SKEW_WARNING,
    http_client::HttpError,
    reports::{AskedNode, NodeReport, ReportError},
};

/// A node that has run for so long has asked its store how it is.
const STORE_ASKED_AFTER_SECONDS: u64 = 5;

/// `store_is_well`: as far as this machine can tell.
pub(super) fn judge(settings: &Settings, facts: &Facts, store_is_well: bool) -> Vec<Diagnosis> {
    let nodes = &facts.nodes;
    let absent = nodes.iter().filter_map(|node| absence(node, facts));
    let mut found: Vec<_> = absent.collect();
    if store_is_well {
        found.extend(nodes.iter().filter_map(without_store));
    }
    let versions = versions(facts);
    // Digests of different versions cannot be compared.
    if versions.is_none() {
        let digests = settings.digests();
        let differing = nodes
            .iter()
            .filter_map(|node| configuration(node, &digests));
        found.extend(differing);
    }
    found.extend(versions);
    found.extend(nodes.iter().filter_map(clock));
    for (node, metrics) in nodes.iter().zip(&facts.node_metrics) {
        found.extend(room(settings, &node.place, metrics));
    }
    found
}

/// Why a node does not answer as itself.
fn absence(node: &AskedNode, facts: &Facts) -> Option<Diagnosis> {
    let NodePlace { name, address, .. } = &node.place;
    let error = node.answer.as_ref().err()?;
    let stranger = facts.strangers.get(address);
    let case = match error {
        ReportError::AnotherNode(_) => Case::NamesNotUnique,
        ReportError::Http(HttpError::Refused(_)) => Case::NodeDown,
        ReportError::Http(HttpError::Unreachable(_)) => Case::MachineUnreachable,
        ReportError::Http(HttpError::Timeout(_)) if stranger.is_none() => Case::NodeHangs,
        // Something answers, and it is no node.
        ReportError::Http(HttpError::Failed(_) | HttpError::Timeout(_))
        | ReportError::NotANode(_)
        | ReportError::NotABalancer(_) => Case::PortTaken,
    };
    let seen = format!("{name} at {address}: {error}{}", listening(stranger));
    let diagnosis = Diagnosis::new(case, seen)
        .with("NODE", name)
        .with("ADDRESS", address.to_string())
        .with("HOST", address.ip().to_string())
        .with("PORT", address.port().to_string());
    Some(diagnosis)
}

/// What is said of somebody else who listens there.
pub(super) fn listening(stranger: Option<&String>) -> String {
    stranger.map_or(String::new(), |stranger| {
        format!("; {stranger} listens there")
    })
}

fn without_store(node: &AskedNode) -> Option<Diagnosis> {
    let name = &node.place.name;
    let NodeReport {
        store,
        uptime_seconds,
        ..
    } = &node.answer.as_ref().ok()?.report;
    let has_asked = uptime_seconds.is_none_or(|seconds| seconds >= STORE_ASKED_AFTER_SECONDS);
    let seen = format!("{name} says that its store is {store}, and it answers here");
    (store != "up" && has_asked)
        .then(|| Diagnosis::new(Case::NodeWithoutStore, seen).with("NODE", name))
}

fn reports(facts: &Facts) -> impl Iterator<Item = &NodeReport> {
    let answers = facts
        .nodes
        .iter()
        .filter_map(|node| node.answer.as_ref().ok());
    answers.map(|answer| &answer.report)
}

/// This program's version counts too: it reads the same tables.
fn versions(facts: &Facts) -> Option<Diagnosis> {
    let nodes = reports(facts).map(|report| (report.node.clone(), report.version.clone()));
    let balancer = facts
        .balancer
        .as_ref()
        .and_then(|asked| asked.as_ref().ok());
    let balancer = balancer.map(|report| ("the balancer".to_owned(), report.version.clone()));
    let ours = (
        "this program".to_owned(),
        env!("CARGO_PKG_VERSION").to_owned(),
    );
    let mut by_version: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, version) in nodes.chain(balancer).chain([ours]) {
        by_version.entry(version).or_default().push(name);
    }
    if by_version.len() == 1 {
        return None;
    }
    let listed = by_version
        .iter()
        .map(|(version, names)| format!("{version}: {}", names.join(", ")));
    let seen = listed.collect::<Vec<_>>().join("; ");
    Some(Diagnosis::new(Case::VersionsDiffer, seen))
}

fn configuration(node: &AskedNode, ours: &BTreeMap<&str, String>) -> Option<Diagnosis> {
    let name = &node.place.name;
    let theirs = &node.answer.as_ref().ok()?.report.configuration;
    let differing = ours
        .iter()
        .filter(|(part, digest)| theirs.get(**part) != Some(*digest))
        .map(|(part, _)| format!("[{part}]"));
    let differing: Vec<_> = differing.collect();
    if differing.is_empty() {
        return None;
    }
    let seen = format!("{name} has other settings of {}", differing.join(", "));
    let diagnosis = Diagnosis::new(Case::ConfigurationNotInUse, seen);
    Some(diagnosis.with("UNIT", format!("seawall-node@{name}")))
}

fn clock(node: &AskedNode) -> Option<Diagnosis> {
    let skew = node.skew().filter(|skew| *skew >= SKEW_WARNING)?;
    let name = &node.place.name;
    let seen = format!("{name}'s clock is {skew:.1?} from this machine's");
    Some(Diagnosis::new(Case::ClocksApart, seen))
}

fn room(settings: &Settings, place: &NodePlace, metrics: &ProcessMetrics) -> Vec<Diagnosis> {
    let (name, unit) = (&*place.name, format!("seawall-node@{}", place.name));
    let cache = settings.session.cache_bytes as u64;
    let found = [
        machine::files(name, metrics),
        machine::memory(name, metrics, cache),
    ];
    let with_unit = |diagnosis: Diagnosis| diagnosis.with("UNIT", &unit);
    found.into_iter().flatten().map(with_unit).collect()
}
