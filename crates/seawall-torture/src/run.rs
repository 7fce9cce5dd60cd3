//! One run, and its report.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use seawall_store::{Clock, SystemClock};
use seawall_testing::history::{Action, Claim, History, Outcome};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    IDLE_TIMEOUT, RunArguments, SKEW,
    chaos::{Faults, Targets},
    client::{Visitor, World},
    cluster::{self, Cluster},
    database::Database,
    proxy::Proxy,
    unanswered::Unanswered,
};

/// How many clients share a session.
const SHARING: usize = 3;

const START_LIMIT: Duration = Duration::from_secs(30);

/// Nothing is broken any more: what waits for the store is answered within this time.
const REST: Duration = Duration::from_secs(6);

/// What clocks and the times of claims may differ by: processes are not answered at once.
const TOLERANCE: Duration = Duration::from_millis(500);

pub(crate) async fn run(arguments: RunArguments) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let database = Database::start(arguments.store)?;
    let proxy = match database.port() {
        Some(port) => Some(Proxy::start(port).await?),
        None => None,
    };
    let mut random = StdRng::seed_from_u64(arguments.seed);
    let skew = u64::try_from(SKEW.as_millis())?;
    let ahead = (0..arguments.nodes)
        .map(|_| random.random_range(0..=skew))
        .collect();
    let url = database.url(proxy.as_ref());
    let cluster = Arc::new(Cluster::start(url, folder.path(), ahead)?);
    wait_for(cluster.ports()).await?;
    let world = Arc::new(new_world(&arguments, cluster.ports()));
    let mut clients = JoinSet::new();
    for client in 0..arguments.clients {
        let visitor = Visitor::new(world.clone(), client / SHARING);
        clients.spawn(visitor.run(random.random()));
    }
    let targets = Targets {
        cluster,
        database,
        proxy,
    };
    let time = Duration::from_secs(arguments.seconds);
    let (targets, faults) = targets.torture(time, random.random()).await?;
    world.is_over.store(true, Ordering::Relaxed);
    while let Some(client) = clients.join_next().await {
        client?;
    }
    sleep(REST).await;
    wait_for(targets.cluster.ports()).await?;
    for browser in 0..world.browsers.len() {
        Visitor::new(world.clone(), browser)
            .act(0, Action::Read)
            .await;
    }
    targets.database.keep_log(folder.path())?;
    drop(targets);
    let history = History {
        events: std::mem::take(&mut *world.events.lock().expect("no client panics")),
        claims: read_claims(&cluster::claims(folder.path()), world.start)?,
    };
    say(&report(&history, &faults, &world.unanswered));
    match verdict(&history, &world.unanswered) {
        Ok(()) => {
            say("promises broken      0");
            Ok(())
        }
        Err(error) => {
            let kept = folder.keep();
            Err(error.context(format!("the logs are in {}", kept.display())))
        }
    }
}

fn new_world(arguments: &RunArguments, ports: &[u16]) -> World {
    let browsers = arguments.clients.div_ceil(SHARING);
    World {
        start: Instant::now(),
        ports: ports.to_vec(),
        browsers: (0..browsers).map(|_| Default::default()).collect(),
        next_token: AtomicI64::new(1),
        events: Default::default(),
        unanswered: Default::default(),
        is_over: Default::default(),
    }
}

/// Waits until all nodes take connections.
async fn wait_for(ports: &[u16]) -> Result<()> {
    let all = async {
        for &port in ports {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        }
    };
    timeout(START_LIMIT, all)
        .await
        .context("the nodes do not start")
}

/// What the nodes wrote down: a token and a time in ms since 1970, one claim a line.
fn read_claims(file: &Path, start: Instant) -> Result<Vec<Claim>> {
    let now = u64::try_from(SystemClock.now().as_millis())?;
    let began = Duration::from_millis(now).saturating_sub(start.elapsed());
    let text = fs::read_to_string(file).context("the nodes wrote no claims down")?;
    let claims = text.lines().map(|line| {
        let (token, at) = line
            .split_once(' ')
            .context("a claim is a token and a time")?;
        let at = Duration::from_millis(at.parse()?);
        Ok(Claim {
            token: token.parse()?,
            at: at.saturating_sub(began) + TOLERANCE,
        })
    });
    claims.collect()
}

fn report(history: &History, faults: &Faults, unanswered: &Unanswered) -> String {
    let events = &history.events;
    let answered = events
        .iter()
        .filter(|event| event.outcome != Outcome::Unknown);
    let longest = answered.map(|event| event.end - event.start).max();
    let longest = longest.unwrap_or_default();
    let summary = [
        format!("requests             {}", events.len()),
        format!(
            "without an answer    {} ({unanswered})",
            history.unanswered()
        ),
        format!("longest wait         {longest:.1?}"),
        format!("sessions expired     {}", history.claims.len()),
        format!("nodes killed         {}", faults.nodes_killed),
        format!("nodes stopped        {}", faults.nodes_stopped),
        format!("database killed      {}", faults.database_killed),
        format!("connections cut      {}", faults.connections_cut),
    ];
    summary.join("\n")
}

fn verdict(history: &History, unanswered: &Unanswered) -> Result<()> {
    if let Err(broken) = history.check(IDLE_TIMEOUT, SKEW + TOLERANCE) {
        bail!("a promise was broken\n{broken}");
    }
    if unanswered.unexplained() > 0 {
        bail!("nodes answered with status 500");
    }
    if history.unanswered() * 2 > history.events.len() {
        bail!("most requests had no answer");
    }
    Ok(())
}

#[expect(
    clippy::print_stdout,
    reason = "the report is what this program is for"
)]
fn say(text: &str) {
    println!("{text}");
}
