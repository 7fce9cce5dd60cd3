//! `cargo xtask torture`: node processes over a real store, clients that use any of them, and
//! faults of every kind. At the end a checker says whether a promise was broken.

mod chaos;
mod client;
mod cluster;
mod database;
mod node;
mod proxy;
mod run;
mod unanswered;

use std::{path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use database::Kind;

/// How long a session lives unused: short, so that sessions expire while this runs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// How far the clocks of the nodes are set apart.
const SKEW: Duration = Duration::from_secs(1);

#[derive(Debug, Parser)]
#[command(about = "Faults of every kind, and a verdict on what the clients saw")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A node under torture; the others are started by `run`.
    #[command(hide = true)]
    Node(NodeArguments),
    /// Tortures a store.
    Run(RunArguments),
}

#[derive(Debug, clap::Args)]
struct NodeArguments {
    #[arg(long)]
    name: String,
    #[arg(long)]
    port: u16,
    #[arg(long, env = "SEAWALL_STORE_URL")]
    store: String,
    /// The file to which the node appends the sessions that it claims.
    #[arg(long)]
    claims: PathBuf,
    /// How far the node's clock is ahead, in ms.
    #[arg(long)]
    ahead: u64,
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// Which store.
    #[arg(long, value_enum)]
    store: Kind,
    /// How long, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many nodes.
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// How many clients; each three of them share a session.
    #[arg(long, default_value_t = 24)]
    clients: usize,
    /// What the faults are drawn from; a run cannot be repeated exactly, its faults can.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    let runtime = tokio::runtime::Runtime::new()?;
    match Arguments::parse().command {
        Command::Node(arguments) => runtime.block_on(node::serve(arguments)),
        Command::Run(arguments) => runtime.block_on(run::run(arguments)),
    }
}
