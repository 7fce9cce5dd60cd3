//! `seawall health`: how the store, the nodes, the balancer and the machine are.
//!
//! All checks run at the same time, each with its own time limit, so that the whole ends within
//! seconds whatever hangs. What could not be seen is never called well.

mod balancer;
pub(crate) mod disk;
mod finding;
mod nodes;
mod services;
mod store;

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use clap::Args;

use crate::{
    cli::{ConfigArgs, say},
    config::{ConfigError, Settings},
    node,
};
use finding::{Finding, Level};
pub(crate) use nodes::SKEW_WARNING;

/// How long a node or a balancer may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// Exit codes, as monitoring plug-ins have them: 0 well, 1 with warnings, 2 critical. It ends within
/// ten seconds, whatever hangs. Without a configuration it sees nothing, which is critical.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Answer in JSON.
    #[arg(long)]
    json: bool,
}

/// The exit code when something is critical, or nothing can be seen.
pub(crate) const CRITICAL: u8 = Level::Critical as u8;

/// Looks at everything and says what it found; without settings it sees nothing, which is critical.
pub(crate) fn run(settings: Result<Settings, ConfigError>, args: &HealthArgs) -> ExitCode {
    let findings = match (settings, node::runtime()) {
        (Ok(settings), Ok(runtime)) => runtime.block_on(check_all(&settings)),
        (Err(error), _) => vec![Finding::critical("configuration", error.to_string())],
        (_, Err(error)) => vec![Finding::critical("health", error)],
    };
    let worst = finding::worst(&findings);
    say(&if args.json {
        finding::in_json(&findings)
    } else if std::io::stdout().is_terminal() {
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        finding::for_a_terminal(&findings, colours)
    } else {
        finding::in_words(&findings)
    });
    ExitCode::from(worst as u8)
}

async fn check_all(settings: &Settings) -> Vec<Finding> {
    let (store, nodes, balancer, services, disk) = tokio::join!(
        store::check(settings),
        nodes::check(&settings.nodes),
        balancer::check(settings.stats()),
        services::check(&settings.nodes),
        disk::check(settings),
    );
    [store, nodes, balancer, services, disk].concat()
}
