//! `seawall node`: one application node.

use seawall_net::{ServeLimits, Shutdown, Signal, Signals};
use seawall_node::{Node, NodeConfig};
use seawall_session::SessionSettings;

use crate::{admin, cli::NodeArgs, config::Settings, open_files, parent, service};

/// More threads than any machine has cores are of no use.
pub(crate) const WORKERS_MAX: usize = 1_024;

/// Runs a node until it is asked to end.
pub(crate) fn run(settings: Settings, args: &NodeArgs) -> Result<(), String> {
    open_files::raise_limit();
    let listen = match args.listen {
        Some(listen) => listen,
        None => settings.nodes.find(&args.name)?.listen,
    };
    let admin_token = admin::token(&settings, &args.admin)?;
    let linger = settings.linger();
    let store = open(&settings)?;
    // Ctrl-C, and a supervisor that ends everything, have no balancer that must be told first.
    let (leave, end) = (Shutdown::new(), Shutdown::new());
    if args.parent_pipe {
        parent::end_with_parent(end.clone());
    }
    end_on_signals(&leave, &end)?;
    let workers = args.workers.unwrap_or_else(cores);
    let pulse = service::pulse(workers);
    let mut limits = ServeLimits::default();
    limits.connections_max = open_files::connections(limits.connections_max, workers, 1);
    let node = Node::bind(NodeConfig {
        workers,
        limits,
        pulse: pulse.clone(),
        socket: args.socket.clone(),
        linger,
        admin_token,
        configuration: settings.digests(),
        webapps: settings.webapps.clone(),
        virtual_hosts: settings.virtual_hosts,
        trusted_proxies: settings.trusted_proxies,
        sessions: SessionSettings {
            node: args.name.as_str().into(),
            ..settings.session
        },
        batcher: settings.batcher,
        sweep_interval: settings.sweep_interval,
        ..NodeConfig::new(listen, store)
    })
    .map_err(|error| error.to_string())?;
    tracing::info!(node = args.name, address = %node.local_addr(), "node serves");
    let telling = service::tell(pulse, leave.clone())?;
    let ended = node.run_until(leave, end);
    telling.end();
    ended.map_err(|error| error.to_string())?;
    tracing::info!(node = args.name, "node ended");
    Ok(())
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How many threads serve requests.
pub(crate) fn parse_workers(text: &str) -> Result<usize, String> {
    let count = text.parse().ok();
    count
        .filter(|count| (1..=WORKERS_MAX).contains(count))
        .ok_or_else(|| format!("write how many threads serve requests, from 1 to {WORKERS_MAX}"))
}

fn open(settings: &Settings) -> Result<std::sync::Arc<dyn seawall_store::SessionStore>, String> {
    let opening = runtime()?.block_on(settings.store.open_with(&settings.store_options));
    opening.map_err(|error| format!("the session store cannot be opened: {error}"))
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| format!("no runtime: {error}; check the limit on open files"))
}

/// Throws the switch when SIGTERM or SIGINT arrives.
pub(crate) fn end_on_signal(shutdown: &Shutdown) -> Result<(), String> {
    end_on_signals(shutdown, shutdown)
}

/// Throws one switch when SIGTERM arrives, and the other one when SIGINT does; each once, in any
/// order.
fn end_on_signals(terminate: &Shutdown, interrupt: &Shutdown) -> Result<(), String> {
    let (terminate, interrupt) = (terminate.clone(), interrupt.clone());
    let runtime = runtime()?;
    // Caught before anything is served, not only when the thread runs.
    let mut signals = {
        let _inside = runtime.enter();
        Signals::catch().map_err(|error| format!("signals cannot be caught: {error}"))?
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                match signals.next().await {
                    Signal::Terminate => terminate.trigger(),
                    Signal::Interrupt => interrupt.trigger(),
                }
            }
        });
    });
    Ok(())
}
