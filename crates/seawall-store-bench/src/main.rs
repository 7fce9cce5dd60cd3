//! The client process of `cargo xtask bench store`: does as it is told, one command a line, and
//! answers with a line.
//!
//! It is a process of its own, so that the scheduler counts its CPU time alone. As in a node, all
//! tasks share one thread with the batcher.

mod fill;
mod load;
mod naive;
mod protocol;
mod session;
mod sweep;

use std::{
    io::{BufRead, Write, stdin, stdout},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Parser;
use seawall_store::{Batcher, BatcherSettings, StoreUrl};
use tokio::runtime::Builder;

use load::Load;
use protocol::Command;
use session::Sessions;

/// A thread that ends takes the count of its CPU time along.
const KEEP_THREADS: Duration = Duration::from_secs(3_600);

/// The client of `cargo xtask bench store`; it reads commands from its standard input.
#[derive(Debug, Parser)]
struct Arguments {
    /// Where the store is.
    #[arg(long)]
    store: String,
    /// How many sessions the table holds.
    #[arg(long)]
    rows: u32,
    /// How many of them are used; they lie all over the table.
    #[arg(long)]
    sessions: u32,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime
        .thread_keep_alive(KEEP_THREADS)
        .enable_all()
        .build()?;
    let load = runtime.block_on(open(&arguments))?;
    writeln!(stdout(), "ready")?;
    for line in stdin().lock().lines() {
        let line = line?;
        let command = serde_json::from_str(&line).context("no such command")?;
        let answer = runtime.block_on(obey(&load, command));
        writeln!(stdout(), "{}", answer.with_context(|| line.clone())?)?;
    }
    Ok(())
}

/// Makes and fills the tables, and opens both ways to them.
async fn open(arguments: &Arguments) -> Result<Load> {
    let store = arguments.store.parse::<StoreUrl>()?.open().await?;
    let sessions = Sessions::new(arguments.rows, arguments.sessions);
    // The first use makes the tables.
    store.count().await?;
    fill::fill(&arguments.store, &*store, &sessions.live()).await?;
    let batcher = Batcher::spawn(store, &BatcherSettings::default());
    let naive = naive::Naive::open(&arguments.store).await?;
    Ok(Load::new(arguments.store.clone(), batcher, naive, sessions))
}

async fn obey(load: &Load, command: Command) -> Result<String> {
    Ok(match command {
        Command::Measure(measure) => serde_json::to_string(&load.measure(&measure).await?)?,
        Command::Sweep(sweep) => serde_json::to_string(&sweep::measure(load, &sweep).await?)?,
    })
}
