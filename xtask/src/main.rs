//! Development tasks: `cargo xtask test` sets up what the tests need and runs everything.
#![expect(
    clippy::print_stdout,
    reason = "a task tells the developer what it does"
)]

mod bench;
mod checklist;
mod command;
mod fuzz;
mod licenses;
mod setup;
mod test;
mod tidy;
mod torture;

use clap::Parser;

/// Development tasks of Seawall.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Measure against the real alternatives; prints Markdown tables.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Build the book in docs/ into target/book and check its links.
    Book,
    /// Feed what comes from outside with random bytes; needs a nightly compiler.
    Fuzz {
        /// How long each target is fuzzed, in seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Install what the tests need, or say what to install.
    Setup,
    /// Set up, then run every check and all tests.
    Test {
        /// Do not look for what the tests need.
        #[arg(long)]
        skip_setup: bool,
        /// Given to `cargo test`.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Check the rules that no compiler knows.
    Tidy,
    /// Break nodes and stores in every way for a while, and check what the clients saw.
    Torture {
        /// Given to the torturer; see --help after the two dashes.
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Bench(bench) => bench::run(&bench),
        Task::Book => test::book(),
        Task::Fuzz { seconds } => fuzz::run(seconds),
        Task::Setup => setup::run(),
        Task::Test {
            skip_setup,
            arguments,
        } => {
            let setup = if skip_setup {
                test::Setup::Skip
            } else {
                test::Setup::Run
            };
            test::run(setup, &arguments)
        }
        Task::Tidy => tidy::run(),
        Task::Torture { arguments } => torture::run(&arguments),
    }
}
