//! What clients notice when a node is killed under load.

use std::{
    path::Path,
    process::{Child, Stdio},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{load::PAGE, table};
use crate::command::program;

/// The load lasts long enough for a node of the recipe to come back.
const LOAD: Duration = Duration::from_secs(25);
const BEFORE_THE_KILL: Duration = Duration::from_secs(3);

/// Kills a node under the load of `seawall bench` on the balancer at `front`, and gives the row of
/// the table. `kill` also brings the node back where nobody else does.
pub(crate) fn row(
    name: &str,
    seawall: &Path,
    front: u16,
    kill: impl FnOnce() -> Result<()>,
) -> Result<Vec<String>> {
    println!("kill -9 of a node under load: {name}");
    let load = start(seawall, front)?;
    sleep(BEFORE_THE_KILL);
    kill()?;
    let report = load.wait_with_output()?;
    let report: Value =
        serde_json::from_slice(&report.stdout).context("seawall bench printed no report")?;
    let failed: u64 = report["errors"]
        .as_object()
        .into_iter()
        .flat_map(|errors| errors.values())
        .filter_map(Value::as_u64)
        .sum();
    let verdict = |key: &str| report["verdict"][key].to_string();
    Ok(vec![
        name.to_owned(),
        report["requests"].to_string(),
        failed.to_string(),
        format!(
            "{:.0}",
            report["longest_wait_ms"].as_f64().unwrap_or_default()
        ),
        verdict("lost_updates"),
        verdict("stale_reads"),
        verdict("sessions_lost"),
    ])
}

fn start(seawall: &Path, front: u16) -> Result<Child> {
    let page = format!("http://127.0.0.1:{front}{PAGE}");
    let mut bench = program(&seawall.display().to_string(), &["bench", &page, "--json"]);
    bench.args(["--sessions", "64", "--connections", "16"]);
    bench.args(["--duration", &format!("{}s", LOAD.as_secs())]);
    Ok(bench.stdout(Stdio::piped()).spawn()?)
}

pub(crate) fn print(rows: &[Vec<String>]) {
    let head = [
        "stack",
        "requests",
        "failed",
        "longest wait ms",
        "lost updates",
        "stale reads",
        "sessions lost",
    ];
    table::print(
        "kill -9 of a node under load (16 connections, 64 sessions)",
        &head,
        rows,
    );
}
