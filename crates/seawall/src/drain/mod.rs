//! `seawall drain` and `seawall ready`: a node takes nothing new, or takes traffic again.
//!
//! The state is the node's own: it says so in its health, and every balancer sees it.

mod safety;

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use clap::Args;
use hyper::StatusCode;
use seawall_node::AdminToken;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    admin::{self, AdminArgs},
    cli::{ConfigArgs, fail, say},
    config::{NodePlace, Settings, parse_address, parse_duration},
    http_client, node,
    reports::{self, AskedNode, NodeReport},
};
use safety::{Look, State, Watch};

/// How long a node or a balancer may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// How often it is looked whether the node is quiet.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What a balancer's check may be late.
const CHECK_MARGIN: Duration = Duration::from_secs(1);

/// The time was over before the node was quiet.
const TIME_OVER: u8 = 3;

/// Exit codes: 0 the node drains, and with --wait it is safe to stop; 1 it failed or was refused; 2
/// wrong call; 3 the time of --timeout is over, and the node still drains.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    admin: AdminArgs,
    /// The node's name in the configuration.
    #[arg(value_name = "NODE")]
    node: String,
    /// Wait until nothing is in flight on it and nobody sends it more.
    #[arg(long)]
    wait: bool,
    /// How long to wait at most.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    timeout: Duration,
    /// Where a balancer has its statistics, if not where the configuration says; once for each.
    #[arg(long = "balancer", value_name = "ADDRESS", value_parser = parse_address)]
    balancers: Vec<SocketAddr>,
    /// Drain it even if no other node takes traffic.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReadyArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(flatten)]
    admin: AdminArgs,
    /// The node's name in the configuration.
    #[arg(value_name = "NODE")]
    node: String,
}

/// What came of it.
enum Outcome {
    Done(String),
    TimeOver(String),
}

/// Has a node drain.
pub(crate) fn run(settings: &Settings, args: &DrainArgs) -> ExitCode {
    finish(node::runtime().and_then(|runtime| runtime.block_on(drain(settings, args))))
}

/// Has a node take traffic again.
pub(crate) fn run_ready(settings: &Settings, args: &ReadyArgs) -> ExitCode {
    finish(node::runtime().and_then(|runtime| {
        runtime.block_on(async {
            let place = settings.nodes.find(&args.node)?;
            let token = admin::required(settings, &args.admin)?;
            ask(place, "/.seawall/ready", &token).await?;
            let interval = settings.balancer.check.interval;
            Ok(Outcome::Done(format!(
                "{} takes traffic again; balancers notice at their next check, within {interval:?}",
                place.name
            )))
        })
    }))
}

fn finish(outcome: Result<Outcome, String>) -> ExitCode {
    match outcome {
        Ok(Outcome::Done(text)) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Ok(Outcome::TimeOver(text)) => {
            fail(&text);
            ExitCode::from(TIME_OVER)
        }
        Err(reason) => fail(&reason),
    }
}

async fn drain(settings: &Settings, args: &DrainArgs) -> Result<Outcome, String> {
    let place = settings.nodes.find(&args.node)?;
    let token = admin::required(settings, &args.admin)?;
    if !args.force {
        refuse_the_last(settings, place).await?;
    }
    ask(place, "/.seawall/drain", &token).await?;
    if !args.wait {
        return Ok(Outcome::Done(format!("{} drains", place.name)));
    }
    let balancers = if args.balancers.is_empty() {
        settings.stats().into_iter().collect()
    } else {
        args.balancers.clone()
    };
    let unseen = settings.balancer.check.interval + CHECK_MARGIN;
    wait(place, &balancers, unseen, args.timeout).await
}

/// A cluster without a node that takes traffic is an outage that nobody wants by mistake.
async fn refuse_the_last(settings: &Settings, place: &NodePlace) -> Result<(), String> {
    let takes_traffic = |node: &AskedNode| {
        let answer = node.answer.as_ref();
        node.place.name != place.name && answer.is_ok_and(|answer| !answer.report.draining)
    };
    let asked = reports::nodes(&settings.nodes, ANSWER_LIMIT).await;
    if asked.iter().any(takes_traffic) {
        return Ok(());
    }
    Err(format!(
        "{} is the last node that takes traffic; start another one first, or use --force",
        place.name
    ))
}

/// Asks the node to change its state.
async fn ask(place: &NodePlace, path: &str, token: &AdminToken) -> Result<(), String> {
    let NodePlace { name, address, .. } = place;
    let problem = |reason: &str| format!("{name} at {address}: {reason}");
    // The token is only for the node that is meant.
    reports::node(place, ANSWER_LIMIT)
        .await
        .map_err(|error| problem(&error.to_string()))?;
    let (status, body) = http_client::post(*address, path, token, ANSWER_LIMIT)
        .await
        .map_err(|error| problem(&error.to_string()))?;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    match (status, answer["error"].as_str()) {
        (status, _) if status.is_success() => Ok(()),
        (StatusCode::UNAUTHORIZED, _) => Err(problem(
            "it does not accept this admin token; use the one in the node's own token file",
        )),
        (_, Some(reason)) => Err(problem(reason)),
        (status, None) => Err(problem(&format!("it answers {status}"))),
    }
}

/// Waits until nobody needs the node.
async fn wait(
    place: &NodePlace,
    balancers: &[SocketAddr],
    unseen: Duration,
    limit: Duration,
) -> Result<Outcome, String> {
    let name = &place.name;
    let deadline = Instant::now() + limit;
    let mut watch = Watch::new(std::time::Instant::now());
    loop {
        let node = report(place).await?;
        let look = look(name, node, balancers).await;
        let waiting = match watch.look(std::time::Instant::now(), &look, unseen) {
            State::Safe(text) => return Ok(Outcome::Done(format!("{name}: {text}"))),
            State::Undone => {
                return Err(format!(
                    "{name} takes traffic again: somebody made it ready"
                ));
            }
            State::Waiting(waiting) => waiting,
        };
        if Instant::now() >= deadline {
            return Ok(Outcome::TimeOver(format!(
                "{name} is not safe to stop after {limit:?}: {waiting}; it still drains"
            )));
        }
        sleep(LOOK_INTERVAL).await;
    }
}

async fn report(place: &NodePlace) -> Result<NodeReport, String> {
    match reports::node(place, ANSWER_LIMIT).await {
        Ok(answer) => Ok(answer.report),
        Err(reason) => Err(format!("{} answers no more: {reason}", place.name)),
    }
}

async fn look(name: &str, node: NodeReport, balancers: &[SocketAddr]) -> Look {
    let mut look = Look {
        node,
        seen: Vec::new(),
        unseen: Vec::new(),
    };
    if balancers.is_empty() {
        look.unseen.push("none is Seawall's".to_owned());
    }
    for address in balancers {
        match reports::balancer(*address, ANSWER_LIMIT).await {
            Ok(report) => {
                let mut servers = report.servers.into_iter();
                let server = servers.find(|server| server.name == name);
                look.seen.push((*address, server));
            }
            Err(reason) => look.unseen.push(format!("{address}: {reason}")),
        }
    }
    look
}
