//! The nodes: whether each answers, whether they are of one version, and whether their clocks agree.

use std::{collections::BTreeSet, time::Duration};

use seawall_store::{Clock, SystemClock};
use tokio::task::JoinSet;

use super::{ANSWER_LIMIT, Finding, Level};
use crate::{
    config::{NodePlace, Nodes},
    reports::{self, NodeAnswer},
};

/// Clocks should agree within a second: expiry is reckoned by them (docs/guarantees.md, P5).
const SKEW_WARNING: Duration = Duration::from_secs(1);
const SKEW_CRITICAL: Duration = Duration::from_secs(60);

/// A node's answer, with the time of this machine when it came, in ms since 1970.
type Asked = (NodePlace, Result<NodeAnswer, String>, i64);

pub(super) async fn check(nodes: &Nodes) -> Vec<Finding> {
    let mut asking = JoinSet::new();
    for (index, place) in nodes.iter().cloned().enumerate() {
        asking.spawn(async move {
            let answer = reports::node(&place, ANSWER_LIMIT).await;
            (index, (place, answer, SystemClock.now().as_millis()))
        });
    }
    let mut asked = asking.join_all().await;
    asked.sort_by_key(|(index, _)| *index);
    let asked: Vec<Asked> = asked.into_iter().map(|(_, asked)| asked).collect();
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

fn node((place, answer, _): &Asked) -> Finding {
    let NodePlace { name, address, .. } = place;
    let (status, report) = match answer {
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
fn versions(asked: &[Asked]) -> Option<Finding> {
    let answers = asked
        .iter()
        .filter_map(|(_, answer, _)| answer.as_ref().ok());
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

fn clocks(asked: &[Asked]) -> Option<Finding> {
    let mut skews = Vec::new();
    for (place, answer, now) in asked {
        let Ok(NodeAnswer { report, took, .. }) = answer else {
            continue;
        };
        let Some(time) = report.time_ms else {
            let detail = format!("{} does not say what time it has", place.name);
            return Some(Finding::warning("clocks", detail));
        };
        skews.push((skew(time, *now, *took), &*place.name));
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

/// How far a clock is off at least: it was read at some time between the question and the answer.
fn skew(theirs: i64, now: i64, took: Duration) -> Duration {
    let took = i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    let asked = now.saturating_sub(took);
    let off = if theirs > now {
        theirs.saturating_sub(now)
    } else {
        asked.saturating_sub(theirs)
    };
    Duration::from_millis(u64::try_from(off).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_no_wrong_clock() {
        let took = Duration::from_millis(400);
        let millis = |theirs| skew(theirs, 10_000, took).as_millis();
        assert_eq!(millis(10_000), 0);
        assert_eq!(millis(9_600), 0);
        assert_eq!(millis(9_599), 1);
        assert_eq!(millis(12_000), 2_000);
        assert_eq!(millis(i64::MIN), u128::from(u64::MAX >> 1));
    }
}
