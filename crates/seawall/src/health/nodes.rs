//! The nodes: whether each answers, whether they are of one version, and whether their clocks agree.

use std::{collections::BTreeSet, time::Duration};

use super::{ANSWER_LIMIT, Finding, Level};
use crate::{
    config::{NodePlace, Nodes},
    reports::{self, AskedNode, NodeAnswer},
};

/// Clocks should agree within a second: expiry is reckoned by them (docs/guarantees.md, P5).
pub(crate) const SKEW_WARNING: Duration = Duration::from_secs(1);
const SKEW_CRITICAL: Duration = Duration::from_secs(60);

pub(super) async fn check(nodes: &Nodes) -> Vec<Finding> {
    let asked = reports::nodes(nodes, ANSWER_LIMIT).await;
    let mut findings: Vec<_> = asked.iter().map(node).collect();
    // One node is enough to serve; none is an outage.
    if findings
        .iter()
        .any(|finding| finding.level < Level::Critical)
    {
        for finding in &mut findings {
            finding.level = finding.level.min(Level::Warning);
        }
    }
    findings.extend(versions(&asked));
    findings.extend(clocks(&asked));
    findings
}

fn node(asked: &AskedNode) -> Finding {
    let NodePlace { name, address, .. } = &asked.place;
    let (status, report) = match &asked.answer {
        Ok(NodeAnswer { status, report, .. }) => (*status, report),
        Err(reason) => return Finding::critical(&**name, format!("{address}: {reason}")),
    };
    let detail = format!(
        "{address}: version {}, pid {}, {} sessions cached, store {}",
        report.version, report.pid, report.sessions, report.store
    );
    match (status.is_success(), report.draining) {
        (true, false) => Finding::ok(&**name, detail),
        (_, true) => Finding::warning(&**name, format!("{detail}; it drains")),
        (false, false) => Finding::critical(&**name, format!("{detail}; it answers {status}")),
    }
}

/// Nothing is said when no node answers.
fn versions(asked: &[AskedNode]) -> Option<Finding> {
    let answers = asked.iter().filter_map(|node| node.answer.as_ref().ok());
    let versions: BTreeSet<_> = answers.map(|answer| &*answer.report.version).collect();
    let ours = env!("CARGO_PKG_VERSION");
    let listed = || versions.iter().copied().collect::<Vec<_>>().join(", ");
    match versions.len() {
        0 => None,
        1 if versions.contains(ours) => Some(Finding::ok("versions", format!("all {ours}"))),
        1 => {
            let detail = format!("the nodes have {}, this program {ours}", listed());
            Some(Finding::warning("versions", detail))
        }
        _ => {
            let detail = format!("the nodes differ: {}; finish the upgrade", listed());
            Some(Finding::warning("versions", detail))
        }
    }
}

fn clocks(asked: &[AskedNode]) -> Option<Finding> {
    let mut skews = Vec::new();
    for node in asked.iter().filter(|node| node.answer.is_ok()) {
        let name = &*node.place.name;
        let Some(skew) = node.skew() else {
            let detail = format!("{name} does not say what time it has");
            return Some(Finding::warning("clocks", detail));
        };
        skews.push((skew, name));
    }
    let (skew, name) = skews.into_iter().max()?;
    let level = match skew {
        skew if skew >= SKEW_CRITICAL => Level::Critical,
        skew if skew >= SKEW_WARNING => Level::Warning,
        _ => return Some(Finding::ok("clocks", "they agree with this machine's")),
    };
    let detail = format!(
        "{name}'s clock is {skew:.1?} from this machine's; set both by NTP: sessions could expire early"
    );
    Some(Finding::new("clocks", level, detail))
}
