//! Requests per second, latency, CPU and memory, of both stacks in turns.

use std::time::Duration;

use anyhow::Result;

use super::{
    load::{Measured, Visitors},
    noise::Noise,
    process::{cpu_nanos, memory_mb},
    table::{self, median},
};

/// How long the machine itself is watched before each turn.
const WATCH: Duration = Duration::from_secs(1);

/// The processes of one stack, in the order of the table's columns: nodes, database, balancer.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) name: &'static str,
    pub(crate) visitors: Visitors,
    pub(crate) nodes: Vec<u32>,
    pub(crate) database: u32,
    pub(crate) balancer: u32,
}

/// One measurement with the CPU time of each part, in µs a request.
#[derive(Debug)]
struct Sample {
    measured: Measured,
    cpu: [f64; 3],
}

impl Stack {
    fn cpu(&self) -> [u64; 3] {
        let nodes = self.nodes.iter().map(|id| cpu_nanos(*id)).sum();
        [nodes, cpu_nanos(self.database), cpu_nanos(self.balancer)]
    }

    fn sample(&self, connections: u32, duration: Duration) -> Result<Sample> {
        let before = self.cpu();
        let measured = self.visitors.visit(connections, duration)?;
        let after = self.cpu();
        let per_request =
            |index: usize| (after[index] - before[index]) as f64 / 1e3 / measured.requests as f64;
        Ok(Sample {
            measured,
            cpu: [per_request(0), per_request(1), per_request(2)],
        })
    }

    fn memory(&self) -> f64 {
        self.nodes
            .iter()
            .map(|id| memory_mb(*id))
            .fold(0.0, f64::max)
    }
}

/// The medians of some samples.
#[derive(Debug, Clone, Copy)]
struct Medians {
    per_second: f64,
    p50: f64,
    p99: f64,
    cpu: [f64; 3],
}

impl Medians {
    fn of(samples: &[Sample]) -> Self {
        let of = |figure: &dyn Fn(&Sample) -> f64| median(samples.iter().map(figure).collect());
        Self {
            per_second: of(&|sample| sample.measured.per_second()),
            p50: of(&|sample| sample.measured.p50 as f64 / 1e3),
            p99: of(&|sample| sample.measured.p99 as f64 / 1e3),
            cpu: [0, 1, 2].map(|index| of(&|sample| sample.cpu[index])),
        }
    }

    fn all_cpu(&self) -> f64 {
        self.cpu.iter().sum()
    }

    fn row(&self, connections: u32, name: &str) -> Vec<String> {
        let [nodes, database, balancer] = self.cpu;
        vec![
            connections.to_string(),
            name.to_owned(),
            format!("{:.0}", self.per_second),
            format!("{:.2}", self.p50),
            format!("{:.2}", self.p99),
            format!("{nodes:.0} / {database:.0} / {balancer:.0}"),
            format!("{:.0}", self.all_cpu()),
        ]
    }
}

/// How `other` compares with `base`.
fn ratios(connections: u32, base: &Medians, other: &Medians) -> Vec<String> {
    let fraction = |base: f64, other: f64| format!("1/{:.1}", base / other);
    vec![
        connections.to_string(),
        "**ratio**".to_owned(),
        format!("**{:.1} ×**", other.per_second / base.per_second),
        fraction(base.p50, other.p50),
        format!("**{}**", fraction(base.p99, other.p99)),
        String::new(),
        format!("**{}**", fraction(base.all_cpu(), other.all_cpu())),
    ]
}

/// Compares the second stack with the first at each number of connections. Before each turn the
/// database is brought to rest by `settle`.
pub(crate) fn compare(
    stacks: &[Stack; 2],
    connections: &[u32],
    rounds: u32,
    duration: Duration,
    settle: impl Fn(),
) -> Result<()> {
    let mut rows = Vec::new();
    let mut noise = Noise::default();
    for &connections in connections {
        let mut samples = [Vec::new(), Vec::new()];
        for round in 1..=rounds {
            for (stack, samples) in stacks.iter().zip(&mut samples) {
                println!(
                    "{connections} connections, round {round} of {rounds}: {}",
                    stack.name
                );
                settle();
                noise = noise.and(Noise::watch(WATCH));
                samples.push(stack.sample(connections, duration)?);
            }
        }
        let [base, other] = samples.map(|samples| Medians::of(&samples));
        rows.push(base.row(connections, stacks[0].name));
        rows.push(other.row(connections, stacks[1].name));
        rows.push(ratios(connections, &base, &other));
    }
    let head = [
        "connections",
        "stack",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "CPU µs/request: nodes / PostgreSQL / balancer",
        "all",
    ];
    table::print(
        &format!("A durable session write in every request (medians of {rounds})"),
        &head,
        &rows,
    );
    noise.print();
    print_memory(stacks);
    Ok(())
}

fn print_memory(stacks: &[Stack; 2]) {
    let row = |stack: &Stack| {
        vec![
            stack.name.to_owned(),
            format!("{:.0}", stack.memory()),
            format!("{:.0}", memory_mb(stack.balancer)),
        ]
    };
    let ratio = stacks[0].memory() / stacks[1].memory();
    let mut rows: Vec<_> = stacks.iter().map(row).collect();
    rows.push(vec![
        "**ratio**".to_owned(),
        format!("**1/{ratio:.1}**"),
        String::new(),
    ]);
    table::print(
        "Resident memory after the load, MB",
        &["stack", "larger node", "balancer"],
        &rows,
    );
}
