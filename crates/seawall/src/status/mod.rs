//! `seawall status`: the cluster at a glance, once or again every second.

mod overview;
mod sample;
mod table;

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use clap::Args;
use tokio::time::{Instant, sleep_until};

use crate::{
    cli::{ConfigArgs, fail, say},
    config::Settings,
    node, output,
};
use overview::Overview;
use sample::{Sample, StoreWatch};

/// The time between the two samples from which rates and latencies are reckoned.
const INTERVAL: Duration = Duration::from_secs(1);

/// Clears a terminal and goes to its upper left corner (ECMA-48: CUP, ED).
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Requests per second and latencies are those of the second in which it looked.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// Look again every second, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// Answer in JSON; with --watch one line for each look.
    #[arg(long)]
    json: bool,
}

/// Shows the cluster.
pub(crate) fn run(settings: &Settings, args: &StatusArgs) -> ExitCode {
    let shown = node::runtime().and_then(|runtime| {
        runtime.block_on(async {
            tokio::select! {
                shown = show(settings, args) => shown,
                _ = tokio::signal::ctrl_c(), if args.watch => Ok(()),
            }
        })
    });
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => fail(&reason),
    }
}

async fn show(settings: &Settings, args: &StatusArgs) -> Result<(), String> {
    // Without nodes there is no store.
    let store = (!settings.nodes.is_empty()).then(|| StoreWatch::start(settings));
    let on_a_terminal = std::io::stdout().is_terminal();
    let colours =
        on_a_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut before = Sample::take(settings).await;
    let mut next = Instant::now();
    loop {
        next = (next + INTERVAL).max(Instant::now());
        sleep_until(next).await;
        let of_store = async || match &store {
            Some(store) => Some(store.look().await),
            None => None,
        };
        let (after, store) = tokio::join!(Sample::take(settings), of_store());
        let overview = Overview::new(settings, &before, &after, store);
        let text = if args.json {
            serde_json::to_string(&overview).map_err(|error| error.to_string())?
        } else {
            overview.table(colours)
        };
        let clear = if args.watch && on_a_terminal && !args.json {
            CLEAR
        } else {
            ""
        };
        say(&format!("{clear}{text}"));
        if !args.watch || output::is_unread() {
            return Ok(());
        }
        before = after;
    }
}
