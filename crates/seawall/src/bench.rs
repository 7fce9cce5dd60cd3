//! `seawall bench`: load, with a verdict.

use std::{cell::Cell, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use http::{Method, Uri, uri::Scheme};
use indicatif::{ProgressBar, ProgressStyle};
use seawall_bench::{BenchError, BenchOptions, Progress, Report, Route};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use crate::{
    cli::say,
    config::parse_duration,
    node,
    output::{complain, fail},
};

/// What a Ctrl-C that leaves no report exits with: 128 and the number of the signal, as a shell has it.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// The page's address, for example <http://127.0.0.1:8000/session-test/>; https is not supported.
    #[arg(value_parser = parse_page)]
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
    #[arg(long, value_delimiter = ',', value_name = "URL,URL", value_parser = parse_page)]
    targets: Vec<Uri>,
    /// Ask for the page with POST, which no proxy may send twice.
    #[arg(long)]
    post: bool,
    /// Where the random choices start; the report says it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Report in JSON; verdict.word is good or bad.
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
    let options = options(args)?;
    let bar = bar(args.duration)?;
    let runtime = node::runtime()?;
    let measured = runtime.block_on(async {
        let interrupts = signal(SignalKind::interrupt());
        let interrupts = interrupts.map_err(|error| format!("SIGINT: {error}"))?;
        Ok::<_, String>(measure(options, &bar, interrupts).await)
    })?;
    // Not to wait for a name server that does not answer.
    runtime.shutdown_background();
    bar.finish_and_clear();
    match measured {
        Ok(report) => tell(&report, args.json),
        Err(error @ BenchError::Stopped) => {
            fail(&error);
            Ok(ExitCode::from(INTERRUPTED))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// The first Ctrl-C ends the load, the second one the waiting for what came of it.
async fn measure(
    options: BenchOptions,
    bar: &ProgressBar,
    mut interrupts: Signal,
) -> Result<Report, BenchError> {
    let is_on = Cell::new(false);
    let show = |progress: Progress| {
        is_on.set(true);
        bar.set_position(millis(progress.elapsed));
        bar.set_message(format!(
            "{} requests, {} failed",
            progress.requests, progress.failures
        ));
    };
    let (stop, stopped) = oneshot::channel();
    let stopped = async {
        let _ = stopped.await;
    };
    let interrupted_twice = async {
        interrupts.recv().await;
        if is_on.get() {
            bar.suspend(|| complain("The load ends; Ctrl-C again ends without a report."));
        }
        let _ = stop.send(());
        interrupts.recv().await;
    };
    tokio::select! {
        report = seawall_bench::run(options, stopped, show) => report,
        () = interrupted_twice => Err(BenchError::Stopped),
    }
}

/// It goes to standard error, and only to a terminal.
fn bar(duration: Duration) -> Result<ProgressBar, String> {
    let style = ProgressStyle::with_template("{bar:40} {msg}").map_err(|e| e.to_string())?;
    Ok(ProgressBar::new(millis(duration)).with_style(style))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Says what the run found.
fn tell(report: &Report, json: bool) -> Result<ExitCode, String> {
    let (word, code) = match report.passed() {
        true => ("good", ExitCode::SUCCESS),
        false => ("bad", ExitCode::FAILURE),
    };
    if json {
        let mut report = serde_json::to_value(report).map_err(|error| error.to_string())?;
        report["verdict"]["word"] = word.into();
        say(&report.to_string());
    } else if report.errors.is_empty() {
        say(&report.to_string());
    } else {
        say(&format!(
            "{report} (failed requests do not count in it: it is about what became of the sessions)"
        ));
    }
    Ok(code)
}

/// The address of a page; without a scheme it is one of http.
fn parse_page(text: &str) -> Result<Uri, String> {
    let page = match text.contains("://") {
        true => text.parse(),
        false => format!("http://{text}").parse(),
    };
    page.map_err(|error| format!("{error}; write for example http://127.0.0.1:8000/session-test/"))
}

fn options(args: &BenchArgs) -> Result<BenchOptions, String> {
    let mut targets = vec![args.url.clone()];
    targets.extend(
        args.targets
            .iter()
            .filter(|target| **target != args.url)
            .cloned(),
    );
    let has_tls = |target: &&Uri| target.scheme() == Some(&Scheme::HTTPS);
    if let Some(target) = targets.iter().find(has_tls) {
        return Err(format!(
            "{target}: https is not supported; give the address of the balancer or a node, which \
             speak http://"
        ));
    }
    Ok(BenchOptions {
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
    })
}
