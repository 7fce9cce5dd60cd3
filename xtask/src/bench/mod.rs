//! Side-by-side benchmarks against the real alternatives, in one run on one machine.

mod balancer;
mod failure;
mod http;
mod load;
mod noise;
mod process;
mod recipe;
mod seawall;
mod store;
mod table;
mod throughput;
mod tools;

use std::{fs, path::PathBuf, thread::sleep, time::Duration};

use anyhow::Result;
use clap::{Args, Subcommand};
use seawall_testing::TestPostgres;

use crate::command::{execute, program, root};
use load::Visitors;
use process::Process;
use recipe::{RESTART_PAUSE, Recipe, RunningRecipe};
use seawall::Seawall;
use throughput::Stack;

/// How long a stack may take to become steady.
const STEADY_LIMIT: Duration = Duration::from_secs(60);

#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Compare with the recipe's stack: Jetty twice behind HAProxy, on the same PostgreSQL.
    Cluster(ClusterArgs),
    /// Compare each back end behind the batcher with one statement for each request.
    Store(store::StoreArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// How many connections, in turns.
    #[arg(long, value_delimiter = ',', default_value = "16,64,256")]
    connections: Vec<u32>,
    /// How often each stack is measured; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long a measurement lasts, in seconds.
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// How long Jetty is warmed up, in seconds.
    #[arg(long, default_value_t = 40)]
    warm_up: u64,
}

/// Both stacks at work.
#[derive(Debug)]
struct Stacks {
    recipe: Recipe,
    running: RunningRecipe,
    own: Seawall,
    up: Process,
}

pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Cluster(args) => cluster(args),
        Bench::Store(args) => store::run(args),
    }
}

/// Builds the program of a package as its users get it.
fn build(package: &str) -> Result<PathBuf> {
    let build = ["build", "--release", "--locked", "--package", package];
    execute(&mut program(env!("CARGO"), &build))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| root().join("target"));
    Ok(target.join("release").join(package))
}

/// Where the benchmarks keep what they fetch and write.
fn folder() -> Result<PathBuf> {
    let folder = root().join("target/bench");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn cluster(args: &ClusterArgs) -> Result<()> {
    tools::prepare()?;
    let program = build("seawall")?;
    let duration = Duration::from_secs(args.seconds);
    balancer::compare(&program, args.rounds, duration)?;

    let database = TestPostgres::start_durable();
    let recipe = Recipe::prepare(&database.create_database("jetty_sessions"))?;
    recipe.make_table()?;
    let own = Seawall::new(
        program.clone(),
        "data",
        &database.create_database("seawall"),
    )?;
    let (running, up) = start(&recipe, &own, args.rounds)?;
    let mut stacks = Stacks {
        recipe,
        running,
        own,
        up,
    };
    http::wait_until_steady(stacks.recipe.front, load::PAGE, STEADY_LIMIT)?;
    let sides = stacks.sides(database.process_id())?;
    println!("warming Jetty up for {} s", args.warm_up);
    sides[0]
        .visitors
        .visit(64, Duration::from_secs(args.warm_up))?;
    // So that no turn pays for what the other stack has written before it.
    let settle = || drop(database.query("CHECKPOINT"));
    throughput::compare(&sides, &args.connections, args.rounds, duration, settle)?;
    stacks.fail(&program)
}

/// Starts both stacks some times, one after the other, and keeps the last.
fn start(recipe: &Recipe, own: &Seawall, rounds: u32) -> Result<(RunningRecipe, Process)> {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    loop {
        let (running, took) = recipe.start()?;
        theirs.push(took.as_secs_f64());
        let (up, took) = own.start()?;
        ours.push(took.as_secs_f64());
        if theirs.len() >= rounds as usize {
            let (theirs, ours) = (table::median(theirs), table::median(ours));
            print_start(theirs, ours);
            return Ok((running, up));
        }
    }
}

fn print_start(theirs: f64, ours: f64) {
    let row = |name: &str, figure: String| vec![name.to_owned(), figure];
    let rows = [
        row("recipe", format!("{theirs:.2}")),
        row("Seawall", format!("{ours:.2}")),
        row("**ratio**", format!("**1/{:.0}**", theirs / ours)),
    ];
    table::print(
        "From start to the first page through the balancer, seconds",
        &["stack", "seconds"],
        &rows,
    );
}

impl Stacks {
    fn sides(&self, database: u32) -> Result<[Stack; 2]> {
        Ok([
            Stack {
                name: "recipe",
                visitors: Visitors::new("recipe", self.recipe.front)?,
                nodes: self.running.nodes.iter().map(Process::id).collect(),
                database,
                balancer: self.running.balancer.id(),
            },
            Stack {
                name: "Seawall",
                visitors: Visitors::new("seawall", self.own.front)?,
                nodes: Seawall::children(&self.up, "node"),
                database,
                balancer: Seawall::children(&self.up, "balance")[0],
            },
        ])
    }

    /// Kills a node of each.
    fn fail(&mut self, program: &std::path::Path) -> Result<()> {
        let (recipe, running) = (&self.recipe, &mut self.running);
        let theirs = failure::row("recipe", program, recipe.front, || {
            running.nodes[0].kill()?;
            sleep(RESTART_PAUSE);
            running.nodes[0] = recipe.start_node(0)?;
            Ok(())
        })?;
        let ours = failure::row("Seawall", program, self.own.front, || {
            process::kill(Seawall::children(&self.up, "node")[0])
        })?;
        failure::print(&[theirs, ours]);
        Ok(())
    }
}
