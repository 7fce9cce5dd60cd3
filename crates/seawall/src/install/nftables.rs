//! Our rules among nftables' others, known by their comment.

use std::{fs, path::Path};

use serde_json::Value;

use super::{
    InstallError,
    firewall::{MARK, RULES},
    step::Call,
    target::{run, succeeds},
};

/// The rules that are loaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Present {
    /// Family, table, chain and handle of each rule in somebody else's chain.
    rules: Vec<[String; 4]>,
    has_table: bool,
}

impl Present {
    /// To be compared with [`count_of`].
    pub(super) fn count(&self) -> usize {
        self.rules.len() + usize::from(self.has_table)
    }
}

/// How many rules and tables a file makes.
pub(super) fn count_of(rules: &str) -> usize {
    let makes = |line: &&str| {
        line.starts_with("insert rule ") || (line.starts_with("table ") && line.ends_with('{'))
    };
    rules.lines().filter(makes).count()
}

/// Whether nftables can be asked at all.
pub(super) fn is_running() -> bool {
    succeeds(&["nft", "list", "tables"])
}

/// Looks for our rules.
pub(super) fn present() -> Result<Present, InstallError> {
    let list = run(&Call::new(&[
        "nft", "--json", "--handle", "list", "ruleset",
    ]))?;
    Ok(parse(&list))
}

/// How many of the rules and tables that an installation made are gone: whoever loads a file that
/// begins with `flush ruleset` drops them. `None` when none are, or it cannot be told, as by who is
/// not root.
pub(crate) fn missing() -> Option<usize> {
    let wanted = count_of(&fs::read_to_string(RULES).ok()?);
    let missing = wanted.saturating_sub(present().ok()?.count());
    (missing > 0).then_some(missing)
}

/// Takes our rules out.
pub(super) fn remove() -> Result<(), InstallError> {
    let present = present()?;
    for [family, table, chain, handle] in &present.rules {
        run(&Call::new(&[
            "nft", "delete", "rule", family, table, chain, "handle", handle,
        ]))?;
    }
    if present.has_table {
        run(&Call::new(&["nft", "delete", "table", "inet", MARK]))?;
    }
    Ok(())
}

/// Puts the rules of a file in.
pub(super) fn load(path: &Path) -> Result<(), InstallError> {
    let path = path.display().to_string();
    run(&Call::new(&["nft", "--file", &path])).map(drop)
}

/// Reads nftables' JSON (libnftables-json(5)).
fn parse(json: &str) -> Present {
    let list: Value = serde_json::from_str(json).unwrap_or_default();
    let objects = || list["nftables"].as_array().into_iter().flatten();
    let rules = objects()
        .map(|object| &object["rule"])
        .filter(|rule| rule["comment"] == MARK && rule["table"] != MARK)
        .map(|rule| {
            let word = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
            let [family, table, chain] = ["family", "table", "chain"].map(word);
            [family, table, chain, rule["handle"].to_string()]
        });
    Present {
        rules: rules.collect(),
        has_table: objects().any(|object| object["table"]["name"] == MARK),
    }
}
