//! The units of systemd, where there are some: `seawall-node@NAME.service` for each node and
//! `seawall-balancer.service`.

use std::{collections::HashMap, path::Path, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

use super::{Finding, Level};
use crate::config::Nodes;

const LIMIT: Duration = Duration::from_secs(3);

/// It is there when systemd runs the machine (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";

const BALANCER: &str = "seawall-balancer.service";

pub(super) async fn check(nodes: &Nodes) -> Vec<Finding> {
    if !Path::new(BOOTED).is_dir() {
        return Vec::new();
    }
    let names = nodes
        .iter()
        .map(|node| format!("seawall-node@{}.service", node.name));
    let units: Vec<_> = names.chain([BALANCER.to_owned()]).collect();
    match ask(&units).await {
        Ok(shown) => judge(&shown),
        Err(reason) => vec![Finding::warning("services", format!("systemctl: {reason}"))],
    }
}

async fn ask(units: &[String]) -> Result<String, String> {
    let mut command = Command::new("systemctl");
    command
        .args([
            "show",
            "--property=Id,LoadState,ActiveState,SubState,UnitFileState",
        ])
        .arg("--")
        .args(units)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = match timeout(LIMIT, command.output()).await {
        Ok(output) => output.map_err(|error| error.to_string())?,
        Err(_) => return Err(format!("no answer within {LIMIT:?}")),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(error.trim().to_owned())
}

/// Judges the units that are meant to run here: those that are enabled, or were started. A template
/// gives every machine a unit for each node, also for those of other machines.
fn judge(shown: &str) -> Vec<Finding> {
    let blocks = shown.split("\n\n").filter(|block| !block.trim().is_empty());
    blocks.filter_map(unit).collect()
}

fn unit(block: &str) -> Option<Finding> {
    let properties: HashMap<_, _> = block
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let property = |name| properties.get(name).copied().unwrap_or_default();
    let (active, file) = (property("ActiveState"), property("UnitFileState"));
    let is_loaded = !["not-found", "masked"].contains(&property("LoadState"));
    let is_meant = file.starts_with("enabled") || active != "inactive";
    if !is_loaded || !is_meant {
        return None;
    }
    let level = match active {
        "active" => Level::Ok,
        "activating" | "deactivating" | "reloading" => Level::Warning,
        _ => Level::Critical,
    };
    let name = property("Id").trim_end_matches(".service");
    let detail = format!("{active} ({}), {file}", property("SubState"));
    Some(Finding::new(name, level, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_units_that_are_meant_to_run_are_judged() {
        let unit = |id: &str, load: &str, active: &str, file: &str| {
            format!(
                "Id={id}\nLoadState={load}\nActiveState={active}\nSubState=x\nUnitFileState={file}\n"
            )
        };
        let shown = [
            unit("seawall-node@node1.service", "loaded", "active", "enabled"),
            unit("seawall-node@node2.service", "loaded", "failed", "enabled"),
            unit(
                "seawall-node@node3.service",
                "loaded",
                "inactive",
                "disabled",
            ),
            unit(
                "seawall-node@node4.service",
                "loaded",
                "inactive",
                "enabled",
            ),
            unit(
                "seawall-node@node5.service",
                "loaded",
                "activating",
                "disabled",
            ),
            unit("seawall-balancer.service", "not-found", "inactive", ""),
        ]
        .join("\n");
        let found: Vec<_> = judge(&shown)
            .into_iter()
            .map(|finding| (finding.what, finding.level))
            .collect();
        let node = |number: u32| format!("seawall-node@node{number}");
        assert_eq!(
            found,
            [
                (node(1), Level::Ok),
                (node(2), Level::Critical),
                (node(4), Level::Critical),
                (node(5), Level::Warning),
            ]
        );
        assert_eq!(judge(""), []);
    }
}
