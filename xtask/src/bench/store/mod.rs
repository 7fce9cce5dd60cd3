//! `cargo xtask bench store`: each back end through the batcher, and through a naive client that
//! sends one statement for each request.

mod client;
mod rates;
mod server;
mod sizes;
mod sweep;

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;

use super::build;
use client::Client;
use server::{Kind, Server};

/// Each session is used this often in a warm-up, about.
const WARM_UP: Duration = Duration::from_millis(1_500);

/// What is measured, and how long.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// Which back ends.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Kind::ALL)]
    stores: Vec<Kind>,
    /// How many requests at a time, in turns.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    concurrency: Vec<u32>,
    /// How many sessions the table holds; with the first of them the rates are measured.
    #[arg(long, value_delimiter = ',', default_value = "10000,1000000,5000000")]
    rows: Vec<u32>,
    /// The most sessions in stores that keep them in memory (memory, Redis).
    #[arg(long, default_value_t = 1_000_000)]
    rows_in_memory: u32,
    /// How many of them are used; they lie all over the table.
    #[arg(long, default_value_t = 10_000)]
    sessions: u32,
    /// How often each figure is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long a measurement lasts, in seconds.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// How many expired sessions are swept under load; 0 for no sweep.
    #[arg(long, default_value_t = 1_000_000)]
    sweep: u32,
    /// A sweep that takes longer is cut off, in seconds.
    #[arg(long, default_value_t = 20.0)]
    sweep_seconds: f64,
}

impl StoreArgs {
    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// With which the sizes are compared, and the sweep: 64, or else the largest below.
    fn usual_concurrency(&self) -> u32 {
        let usual = self
            .concurrency
            .iter()
            .filter(|&&concurrency| concurrency <= 64);
        usual
            .max()
            .or(self.concurrency.first())
            .copied()
            .unwrap_or(64)
    }

    /// The sizes that a back end can bear.
    fn rows(&self, kind: Kind) -> Vec<u32> {
        let mut rows = self.rows.clone();
        if kind.is_in_memory() {
            rows.iter_mut()
                .for_each(|rows| *rows = self.rows_in_memory.min(*rows));
        }
        rows.dedup();
        rows
    }
}

pub(crate) fn run(args: &StoreArgs) -> Result<()> {
    ensure!(
        !args.rows.is_empty() && !args.concurrency.is_empty(),
        "nothing to measure"
    );
    let program = build("seawall-store-bench")?;
    let mut swept = Vec::new();
    for &kind in &args.stores {
        println!("── {}", kind.name());
        let server = Server::start(kind)?;
        let mut clients = Vec::new();
        for (number, rows) in args.rows(kind).into_iter().enumerate() {
            println!("{}: making {rows} rows", kind.name());
            let store = server.create_store(number);
            clients.push(Client::start(
                &program,
                &server,
                &store,
                rows,
                args.sessions,
            )?);
        }
        for client in &mut clients {
            client.warm_up(args.usual_concurrency(), WARM_UP)?;
        }
        rates::compare(&mut clients[0], args)?;
        if clients.len() > 1 {
            sizes::compare(&mut clients, args)?;
        }
        if let Some(client) = clients.last_mut().filter(|_| args.sweep > 0) {
            swept.push(sweep::row(client, args)?);
        }
    }
    if !swept.is_empty() {
        sweep::print(args, &swept);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        args: StoreArgs,
    }

    #[test]
    fn stores_in_memory_get_no_more_rows_than_they_can_bear() {
        let args = Command::parse_from(["store", "--rows-in-memory", "2000000"]).args;
        assert_eq!(args.stores, Kind::ALL);
        assert_eq!(args.rows(Kind::Sqlite), [10_000, 1_000_000, 5_000_000]);
        assert_eq!(args.rows(Kind::Redis), [10_000, 1_000_000, 2_000_000]);
        let args = Command::parse_from(["store"]).args;
        assert_eq!(args.rows(Kind::Redis), [10_000, 1_000_000]);
    }

    #[test]
    fn sizes_are_compared_at_64_requests_or_below() {
        for (given, usual) in [("1,16,64,256", 64), ("256,32", 32), ("256", 256)] {
            let args = Command::parse_from(["store", "--concurrency", given]).args;
            assert_eq!(args.usual_concurrency(), usual);
        }
    }
}
