//! What checks found, and how it is told.

use serde::Serialize;

use crate::output::plain;

/// How grave a finding is, in the order of severity; the numbers are the exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Ok = 0,
    Warning = 1,
    Critical = 2,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// A mark, and the terminal's colour for it (ECMA-48: 32 green, 33 yellow, 31 red).
    fn mark(self) -> (char, u8) {
        match self {
            Self::Ok => ('✓', 32),
            Self::Warning => ('⚠', 33),
            Self::Critical => ('✗', 31),
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// What was checked: `store`, a node's name, …
    pub(super) what: String,
    pub(super) level: Level,
    pub(crate) detail: String,
}

impl Finding {
    /// Whether somebody should do something.
    pub(crate) fn is_bad(&self) -> bool {
        self.level > Level::Ok
    }

    pub(super) fn new(what: impl Into<String>, level: Level, detail: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            level,
            detail: plain(&detail.into()),
        }
    }

    pub(super) fn ok(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(what, Level::Ok, detail)
    }

    pub(super) fn warning(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(what, Level::Warning, detail)
    }

    pub(super) fn critical(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(what, Level::Critical, detail)
    }
}

/// The gravest level; without any finding nothing was seen, which is not well.
pub(super) fn worst(findings: &[Finding]) -> Level {
    let levels = findings.iter().map(|finding| finding.level);
    levels.max().unwrap_or(Level::Critical)
}

/// `{"level": …, "checks": [{"what", "level", "detail"}, …]}`, levels as `ok`, `warning`, `critical`.
pub(super) fn in_json(findings: &[Finding]) -> String {
    serde_json::json!({ "level": worst(findings), "checks": findings }).to_string()
}

/// Plain words, a summary first: monitoring systems show the first line.
pub(super) fn in_words(findings: &[Finding]) -> String {
    told(findings, |level| format!("{:<8}", level.word()))
}

/// Marks, in colour or not.
pub(super) fn for_a_terminal(findings: &[Finding], colours: bool) -> String {
    told(findings, |level| {
        let (mark, colour) = level.mark();
        if colours {
            format!("\x1b[{colour}m{mark}\x1b[0m")
        } else {
            mark.to_string()
        }
    })
}

fn told(findings: &[Finding], mark: impl Fn(Level) -> String) -> String {
    let width = findings.iter().map(|finding| finding.what.len()).max();
    let width = width.unwrap_or_default();
    let line = |finding: &Finding| {
        let Finding {
            what,
            level,
            detail,
        } = finding;
        format!("{}  {what:<width$}  {detail}", mark(*level))
    };
    let lines = findings.iter().map(line);
    let lines: Vec<_> = [summary(findings)].into_iter().chain(lines).collect();
    lines.join("\n")
}

fn summary(findings: &[Finding]) -> String {
    let worst = worst(findings);
    let count = findings.len();
    if worst == Level::Ok {
        return format!("seawall ok: {count} checks");
    }
    let bad = findings
        .iter()
        .filter(|finding| finding.level > Level::Ok)
        .map(|finding| finding.what.as_str());
    let bad: Vec<_> = bad.collect();
    let (word, bad_count) = (worst.word(), bad.len());
    format!(
        "seawall {word}: {bad_count} of {count} checks: {}",
        bad.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_finding_counts_and_none_is_not_well() {
        let ok = Finding::ok("store", "there");
        let warning = Finding::warning("node1", "slow");
        assert_eq!(worst(std::slice::from_ref(&ok)), Level::Ok);
        assert_eq!(worst(&[ok.clone(), warning.clone()]), Level::Warning);
        assert_eq!(
            worst(&[warning, Finding::critical("x", ""), ok]),
            Level::Critical
        );
        assert_eq!(worst(&[]), Level::Critical);
    }

    #[test]
    fn the_first_line_sums_up_and_no_line_steers_the_terminal() {
        let findings = [
            Finding::ok("store", "there"),
            Finding::critical("node1", "evil\x1b[2J\nok  node2"),
        ];
        let text = in_words(&findings);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "seawall critical: 1 of 2 checks: node1");
        assert_eq!(lines[2], "critical  node1  evil [2J ok  node2");
        assert!(for_a_terminal(&findings, false).contains("✗  node1"));
        assert!(!for_a_terminal(&findings, false).contains('\x1b'));
        assert!(for_a_terminal(&findings, true).contains("\x1b[31m✗"));
        assert!(in_json(&findings).contains("\"level\":\"critical\""));
    }
}
