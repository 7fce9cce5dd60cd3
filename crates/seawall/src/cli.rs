//! The command line.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use seawall_balancer::StickyMode;
use serde::Deserialize;

use crate::{
    admin::AdminArgs,
    balance, bench,
    config::{self, Settings},
    doctor::{self, DoctorArgs},
    drain::{self, DrainArgs, ReadyArgs},
    health::{self, HealthArgs},
    install::{self, InstallArgs, UninstallArgs},
    logging, node, output,
    reference::{self, CompletionsArgs, ManArgs, ReferenceArgs},
    sessions::{self, SessionsArgs},
    status::{self, StatusArgs},
    up,
};

pub(crate) use crate::output::{fail, say};

/// Sessions that survive anything: application nodes, session store and sticky balancer.
#[derive(Debug, Parser)]
#[command(name = "seawall", version, propagate_version = true)]
struct Cli {
    /// What to log: off, error, warn, info, debug or trace, or a filter such as seawall_node=debug.
    #[arg(
        long,
        global = true,
        env = "SEAWALL_LOG",
        default_value = "info",
        value_parser = logging::parse_filter
    )]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the balancer, in front of any HTTP servers.
    Balance(BalanceArgs),
    /// Put load on a session-test page, of any cluster, and check that no session is harmed.
    ///
    /// The verdict is about the sessions: it is bad when updates or sessions were lost, reads were
    /// stale, or a session gave no last count. Requests that failed are reported, and do not count in
    /// it. Ctrl-C ends the load early, and reports as usual; a second one ends without a report. Exit
    /// codes: 0 good, 1 bad or not to be run, 2 wrong call, 130 Ctrl-C without a report.
    Bench(bench::BenchArgs),
    /// Check a configuration file, and say what is wrong where.
    Check(CheckArgs),
    /// Print a script that completes the command line, for a shell.
    Completions(CompletionsArgs),
    /// Look for what is wrong with the cluster, and say how to mend it; exit code 0 nothing, 1 something.
    Doctor(DoctorArgs),
    /// Have a node take nothing new, for example before it is stopped.
    Drain(DrainArgs),
    /// Say how the cluster is; exit code 0 well, 1 with warnings, 2 critical.
    Health(HealthArgs),
    /// Install Seawall on this machine: user, files, services, logs, firewall, on request a database.
    Install(InstallArgs),
    /// Write the man pages into a folder.
    Man(ManArgs),
    /// Run one application node.
    Node(NodeArgs),
    /// Have a node that drains take traffic again.
    Ready(ReadyArgs),
    /// Print the reference of the documentation.
    #[command(hide = true)]
    Reference(ReferenceArgs),
    /// Look at sessions, end them, or sweep expired ones.
    Sessions(SessionsArgs),
    /// Show the cluster at a glance: balancer, nodes and store; exit code 0 shown, however it is.
    Status(StatusArgs),
    /// Remove what `install` made; data stay without --purge.
    Uninstall(UninstallArgs),
    /// Run a whole cluster on this machine: balancer, nodes and an embedded store.
    Up(UpArgs),
}

/// Where the settings come from. The command line counts before the environment, the environment
/// before the file, and the file before the built-in defaults.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArgs {
    /// The configuration file; without one, ./seawall.toml or /etc/seawall/seawall.toml, the first
    /// that is there.
    #[arg(long, global = true, env = "SEAWALL_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The session store: sqlite:PATH, postgres://USER@HOST:PORT/DATABASE,
    /// mysql://USER@HOST:PORT/DATABASE, redis://HOST:PORT or memory:. Keep secrets off the command
    /// line: use the environment, or store.password_file.
    #[arg(
        long,
        global = true,
        env = config::STORE_VARIABLE,
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) store: Option<String>,
    /// The folder with the applications.
    #[arg(long, value_name = "DIR")]
    pub(crate) webapps: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BalanceArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    pub(crate) front: FrontArgs,
    /// A server: NAME=ADDRESS or NAME=ADDRESS,weight=N. The name is what stands in cookies; the
    /// address is IP:PORT or unix:PATH. Without any, the nodes of the
    /// configuration.
    #[arg(long = "server", value_name = "SERVER", value_parser = balance::parse_server)]
    pub(crate) servers: Vec<seawall_balancer::ServerConfig>,
    /// How many threads serve requests; one for each two cores by default.
    #[arg(long, value_parser = node::parse_workers)]
    pub(crate) workers: Option<usize>,
    /// End when standard input closes: the supervisor holds its other end.
    #[arg(long, hide = true)]
    pub(crate) parent_pipe: bool,
}

/// Where the balancer listens, and how it sticks.
#[derive(Debug, Clone, Args)]
pub(crate) struct FrontArgs {
    /// Where clients connect.
    #[arg(long, value_name = "ADDRESS", value_parser = config::parse_address)]
    pub(crate) http: Option<SocketAddr>,
    /// Where the statistics are.
    #[arg(long, value_name = "ADDRESS", value_parser = config::parse_address)]
    pub(crate) stats: Option<SocketAddr>,
    /// How a client is kept with its node.
    #[arg(long, value_enum)]
    pub(crate) stick: Option<Stick>,
}

impl FrontArgs {
    /// Puts what was given on the command line over the settings.
    pub(crate) fn apply(&self, balancer: &mut seawall_balancer::BalancerConfig) {
        balancer.listen = self.http.unwrap_or(balancer.listen);
        balancer.stats = self.stats.unwrap_or(balancer.stats);
        balancer.sticky = self.stick.map_or(balancer.sticky, Into::into);
    }
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The configuration file; without one, the file that the other commands take.
    #[arg(value_name = "FILE", env = "SEAWALL_CONFIG")]
    file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
    /// The node's name, unique in the cluster.
    #[arg(long, default_value = "node1", value_parser = config::parse_name)]
    pub(crate) name: String,
    /// Where it listens, if not where the configuration says.
    #[arg(long, value_name = "ADDRESS", value_parser = config::parse_address)]
    pub(crate) listen: Option<SocketAddr>,
    /// A Unix socket to listen on too, for a balancer on this machine.
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// How many threads serve requests; all cores by default.
    #[arg(long, value_parser = node::parse_workers)]
    pub(crate) workers: Option<usize>,
    /// End when standard input closes: the supervisor holds its other end.
    #[arg(long, hide = true)]
    pub(crate) parent_pipe: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    pub(crate) front: FrontArgs,
    /// How many nodes, up to 64.
    #[arg(long)]
    pub(crate) nodes: Option<u16>,
    /// The first node's port; the others take the ports after it.
    #[arg(long, value_name = "PORT")]
    pub(crate) node_port: Option<u16>,
    /// The data folder, for one `seawall up` at a time.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

/// How the balancer keeps a client with its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stick {
    /// By a cookie of the balancer's own.
    Insert,
    /// Not at all.
    None,
    /// By a prefix in the session cookie, as HAProxy does.
    Prefix,
    /// By the node's name at the end of the session cookie.
    Route,
}

impl From<Stick> for StickyMode {
    fn from(stick: Stick) -> Self {
        match stick {
            Stick::Insert => Self::Insert,
            Stick::None => Self::None,
            Stick::Prefix => Self::Prefix,
            Stick::Route => Self::Route,
        }
    }
}

/// Runs the command that was asked for.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    // What `health` cannot see or tell is critical; everything else has failed.
    let lost = match &cli.command {
        Command::Health(_) => health::CRITICAL.into(),
        _ => ExitCode::FAILURE,
    };
    match logging::start(&cli.log) {
        Ok(()) => output::exit_code(carry_out(cli), lost),
        Err(reason) => {
            fail(&reason);
            lost
        }
    }
}

fn carry_out(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Balance(args) => with_settings(&args.config, |s| done(balance::run(s, &args))),
        Command::Bench(args) => match bench::run(&args) {
            Ok(code) => code,
            Err(error) => fail(&error),
        },
        Command::Check(args) => match config::check_file(args.file.as_deref()) {
            Ok(file) => {
                say(&format!("{}: ok", file.display()));
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error),
        },
        Command::Completions(args) => done(reference::completions(&args, Cli::command())),
        Command::Doctor(args) => with_settings(&args.config, |s| doctor::run(&s, &args)),
        Command::Drain(args) => with_settings(&args.config, |s| drain::run(&s, &args)),
        Command::Health(args) => health::run(config::load(&args.config), &args),
        Command::Install(args) => done(install::install(&args)),
        Command::Man(args) => done(reference::man(&args, Cli::command())),
        Command::Node(args) => with_settings(&args.config, |s| done(node::run(s, &args))),
        Command::Reference(args) => {
            say(&reference::reference(&args, &Cli::command()));
            ExitCode::SUCCESS
        }
        Command::Ready(args) => with_settings(&args.config, |s| drain::run_ready(&s, &args)),
        Command::Sessions(args) => with_settings(&args.config, |s| sessions::run(&s, &args)),
        Command::Status(args) => with_settings(&args.config, |s| status::run(&s, &args)),
        Command::Uninstall(args) => done(install::uninstall(&args)),
        Command::Up(args) => with_settings(&args.config, |s| done(up::run(s, &args, &cli.log))),
    }
}

fn with_settings(args: &ConfigArgs, command: impl FnOnce(Settings) -> ExitCode) -> ExitCode {
    match config::load(args) {
        Ok(settings) => command(settings),
        Err(error) => fail(&error),
    }
}

fn done(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}
