//! `seawall bench`: load, with a verdict.

use std::{process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use http::{Method, Uri};
use indicatif::{ProgressBar, ProgressStyle};
use seawall_bench::{BenchError, BenchOptions, Progress, Route};

use crate::{cli::say, config::parse_duration, node};

/// Exit code 1 when a session was harmed.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// The page's address, for example <http://127.0.0.1:8000/session-test/>.
    url: Uri,
    /// How many sessions.
    #[arg(long, default_value_t = 64)]
    sessions: usize,
    /// How many connections, each with one request at a time.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// How many connections may use one session at the same time.
    #[arg(long, default_value_t = 1)]
    shared: usize,
    /// For how long.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
    /// Requests per second in all; as many as the cluster answers by default.
    #[arg(long)]
    rate: Option<u32>,
    /// How long an answer may take.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    timeout: Duration,
    /// Whether requests go to the one address, or to random ones of --targets.
    #[arg(long, value_enum, default_value_t = RouteArg::Sticky)]
    route: RouteArg,
    /// More addresses of the page, for --route random.
    #[arg(long, value_delimiter = ',', value_name = "URL,URL")]
    targets: Vec<Uri>,
    /// Ask for the page with POST, which no proxy may send twice.
    #[arg(long)]
    post: bool,
    /// Where the random choices start; the report says it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Report in JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RouteArg {
    Random,
    Sticky,
}

/// Runs the load and says what came of it.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode, String> {
    let options = options(args);
    // The bar goes to standard error, and only to a terminal.
    let bar = ProgressBar::new(u64::try_from(args.duration.as_millis()).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{bar:40} {msg}").map_err(|e| e.to_string())?;
    bar.set_style(style);
    let show = |progress: Progress| {
        bar.set_position(u64::try_from(progress.elapsed.as_millis()).unwrap_or(u64::MAX));
        bar.set_message(format!(
            "{} requests, {} failed",
            progress.requests, progress.failures
        ));
    };
    let report = node::runtime()?.block_on(seawall_bench::run(options, show));
    bar.finish_and_clear();
    let report = report.map_err(|error: BenchError| error.to_string())?;
    if args.json {
        say(&serde_json::to_string(&report).map_err(|error| error.to_string())?);
    } else {
        say(&report.to_string());
    }
    Ok(if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn options(args: &BenchArgs) -> BenchOptions {
    let mut targets = vec![args.url.clone()];
    targets.extend(
        args.targets
            .iter()
            .filter(|target| **target != args.url)
            .cloned(),
    );
    BenchOptions {
        targets,
        route: match args.route {
            RouteArg::Random => Route::Random,
            RouteArg::Sticky => Route::Sticky,
        },
        method: if args.post { Method::POST } else { Method::GET },
        sessions: args.sessions,
        connections: args.connections,
        shared: args.shared,
        duration: args.duration,
        rate: args.rate,
        timeout: args.timeout,
        seed: args.seed,
    }
}
