//! `seawall health`: how the store, the nodes and the balancer are.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use serde::Serialize;
use serde_json::Value;

use crate::{
    cli::{HealthArgs, say},
    config::Settings,
    http_client, node,
};

/// How long each check may take.
const CHECK_LIMIT: Duration = Duration::from_secs(3);

/// What a check found, in the order of severity; the numbers are the exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok = 0,
    Warning = 1,
    Critical = 2,
}

#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    level: Level,
    detail: String,
}

impl Finding {
    fn new(what: impl Into<String>, level: Level, detail: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            level,
            detail: detail.into(),
        }
    }
}

/// Looks at everything and says what it found.
pub(crate) fn run(settings: &Settings, args: &HealthArgs) -> ExitCode {
    let findings = match node::runtime() {
        Ok(runtime) => runtime.block_on(check_all(settings)),
        Err(error) => vec![Finding::new("health", Level::Critical, error)],
    };
    let worst = findings
        .iter()
        .map(|finding| finding.level)
        .max()
        .unwrap_or(Level::Critical);
    if args.json {
        let report = serde_json::json!({ "level": worst, "checks": findings });
        say(&report.to_string());
    } else {
        for finding in &findings {
            let mark = match finding.level {
                Level::Ok => "ok      ",
                Level::Warning => "warning ",
                Level::Critical => "critical",
            };
            say(&format!("{mark}  {:<8}  {}", finding.what, finding.detail));
        }
    }
    ExitCode::from(worst as u8)
}

async fn check_all(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![check_store(settings).await];
    let mut nodes = Vec::new();
    for node in settings.nodes.iter() {
        nodes.push(check_node(node.name.to_string(), node.address).await);
    }
    // One node is enough to serve; none is an outage.
    let some_serve = nodes.iter().any(|finding| finding.level == Level::Ok);
    if some_serve {
        for finding in &mut nodes {
            finding.level = finding.level.min(Level::Warning);
        }
    }
    findings.extend(nodes);
    findings.push(check_balancer(settings.balancer.stats).await);
    findings
}

/// The balancer's own view of its servers: critical when none is up.
async fn check_balancer(address: SocketAddr) -> Finding {
    let answer = http_client::get(address, "/health", CHECK_LIMIT).await;
    let report: Value = match answer {
        Ok((_, body)) => serde_json::from_slice(&body).unwrap_or_default(),
        Err(error) => {
            return Finding::new("balancer", Level::Critical, format!("{address}: {error}"));
        }
    };
    let Some(servers) = report["servers"].as_array() else {
        let detail = format!("{address}: this is not the balancer's statistics address");
        return Finding::new("balancer", Level::Critical, detail);
    };
    let is_up = |server: &&Value| server["state"] == "UP" && server["suspect"] == false;
    let up = servers.iter().filter(is_up).count();
    let level = match up {
        0 => Level::Critical,
        up if up < servers.len() => Level::Warning,
        _ => Level::Ok,
    };
    let detail = format!("{address}: {up} of {} servers up", servers.len());
    Finding::new("balancer", level, detail)
}

async fn check_store(settings: &Settings) -> Finding {
    let counted = tokio::time::timeout(CHECK_LIMIT, async {
        let store = settings.store.open_with(&settings.store_options).await?;
        let count = store.count().await?;
        Ok::<_, seawall_store::StoreError>((count, store.description().to_owned()))
    });
    match counted.await {
        Ok(Ok((count, description))) => Finding::new(
            "store",
            Level::Ok,
            format!("{description}: {count} sessions"),
        ),
        Ok(Err(error)) => Finding::new("store", Level::Critical, error.to_string()),
        Err(_) => {
            let detail = format!("{}: no answer within {CHECK_LIMIT:?}", settings.store);
            Finding::new("store", Level::Critical, detail)
        }
    }
}

async fn check_node(name: String, address: SocketAddr) -> Finding {
    let answer = http_client::get(address, "/.seawall/health", CHECK_LIMIT).await;
    let (status, body) = match answer {
        Ok(answer) => answer,
        Err(error) => return Finding::new(name, Level::Critical, format!("{address}: {error}")),
    };
    let report: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |key: &str| report[key].as_str().unwrap_or("?").to_owned();
    if text("node") != name {
        let detail = format!(
            "{address}: this is not {name}: it says it is {:?}",
            text("node")
        );
        return Finding::new(name, Level::Critical, detail);
    }
    let detail = format!(
        "{address}: version {}, pid {}, {} sessions cached, store {}",
        text("version"),
        report["pid"],
        report["sessions"],
        text("store"),
    );
    let level = if status.is_success() {
        Level::Ok
    } else {
        Level::Critical
    };
    Finding::new(name, level, detail)
}
