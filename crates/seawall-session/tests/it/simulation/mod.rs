//! A seeded simulation of nodes, caches, batchers and a store that fails.
//!
//! Everything runs on one thread, in simulated time. `SEAWALL_SIMULATION_SEEDS=17..18` replays one
//! schedule; `=0..100000` runs many.

mod faults;
mod mutants;
mod random;
mod watchers;
mod world;

use std::ops::Range;

use mutants::Mutant;
use seawall_testing::history::History;
use world::{SKEW, World};

const SEEDS: Range<u64> = 0..2_000;
/// Within so many schedules every mutant is found.
const MUTANT_SEEDS: Range<u64> = 0..500;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("SEAWALL_SIMULATION_SEEDS") else {
        return SEEDS;
    };
    let (from, to) = text.split_once("..").expect("two numbers, like 0..1000");
    from.parse().unwrap()..to.parse().unwrap()
}

fn run(seed: u64, mutant: Option<Mutant>) -> (History, Result<(), String>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let world = World::new(seed, mutant);
        let history = world.clone().run().await;
        let verdict = history.check(world.idle_timeout, SKEW);
        let told = world.check_watchers().await;
        (history, verdict.and(told))
    })
}

#[test]
fn no_schedule_breaks_a_promise() {
    let (mut events, mut unknown, mut claims) = (0, 0, 0);
    for seed in seeds() {
        let (history, verdict) = run(seed, None);
        if let Err(broken) = verdict {
            panic!("seed {seed}: {broken}\n{history}");
        }
        events += history.events.len();
        unknown += history.unanswered();
        claims += history.claims.len();
    }
    println!("{events} events, {unknown} of them without an answer; {claims} expired sessions");
    assert!(
        unknown > 0 && claims > 0 && unknown * 2 < events,
        "the faults are out of proportion"
    );
}

#[test]
fn every_mutant_is_found() {
    for mutant in Mutant::ALL {
        let found = MUTANT_SEEDS.clone().find_map(|seed| {
            let (_, verdict) = run(seed, Some(mutant));
            verdict.err().map(|broken| (seed, broken))
        });
        match found {
            Some((seed, broken)) => println!("{mutant:?}: seed {seed}: {broken}"),
            None => panic!("{mutant:?} goes unnoticed"),
        }
    }
}
