//! `seawall up`: a whole cluster on this machine, as child processes that are restarted.

mod child;
mod lock;
mod plan;
mod ready;
mod watch;

use std::time::Duration;

use seawall_net::Shutdown;
use tokio::task::JoinSet;

use crate::{
    cli::{UpArgs, say},
    config::Settings,
    node,
};
use child::Child;
use plan::Plan;

/// How long the children get to finish what is in flight.
const GRACE: Duration = Duration::from_secs(15);

/// How long a cluster may take to answer.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Runs the cluster until it is asked to end.
pub(crate) fn run(settings: Settings, args: &UpArgs, log: &str) -> Result<(), String> {
    let mut plan = Plan::new(settings, args, log)?;
    plan.warn_of_separate_stores();
    plan.check_ports()?;
    let _lock = plan.take_data_folder()?;
    plan.make_admin_token()?;
    let shutdown = Shutdown::new();
    node::end_on_signal(&shutdown)?;
    node::runtime()?.block_on(supervise(plan, shutdown))
}

async fn supervise(plan: Plan, shutdown: Shutdown) -> Result<(), String> {
    let mut children = JoinSet::new();
    let (nodes, balancer) = plan.children()?;
    let balancer_ended = Shutdown::new();
    for node in nodes {
        children.spawn(node.keep_running(balancer_ended.clone()));
    }
    let (asked, ended) = (shutdown.clone(), balancer_ended);
    children.spawn(async move {
        let outcome = balancer.keep_running(asked).await;
        // Not before: what the balancer is answering needs the nodes.
        ended.trigger();
        outcome
    });
    let addresses = plan.addresses();
    let outcome = tokio::select! {
        ready = ready::wait(&addresses, plan.stats(), READY_LIMIT) => match ready {
            Ok(()) => {
                say(&plan.welcome());
                tokio::select! {
                    () = shutdown.wait() => Ok(()),
                    Some(ended) = children.join_next() => first_failure(ended),
                }
            }
            Err(error) => Err(error),
        },
        () = shutdown.wait() => Ok(()),
        Some(ended) = children.join_next() => first_failure(ended),
    };
    shutdown.trigger();
    while children.join_next().await.is_some() {}
    outcome
}

/// A child is only given up when it cannot run at all.
fn first_failure(ended: Result<Result<(), String>, tokio::task::JoinError>) -> Result<(), String> {
    ended.map_err(|error| error.to_string())?
}
