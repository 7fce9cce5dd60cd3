//! Operations per second with and without the batcher, and what they cost.

use anyhow::Result;

use super::{
    StoreArgs,
    client::{Client, Operation, Sample, Way},
};
use crate::bench::table::{self, median};

/// The medians of some samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Medians {
    pub(super) per_second: f64,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) client: f64,
    pub(super) database: f64,
}

impl Medians {
    pub(super) fn of(samples: &[Sample]) -> Self {
        let of = |figure: &dyn Fn(&Sample) -> f64| median(samples.iter().map(figure).collect());
        Self {
            per_second: of(&|sample| sample.measured.per_second()),
            p50: of(&|sample| sample.measured.p50 / 1e3),
            p99: of(&|sample| sample.measured.p99 / 1e3),
            client: of(&|sample| sample.client),
            database: of(&|sample| sample.database),
        }
    }

    /// The figures of a row of a table.
    pub(super) fn cells(&self) -> [String; 4] {
        [
            format!("{:.0}", self.per_second),
            format!("{:.2}", self.p50),
            format!("{:.2}", self.p99),
            format!("{:.1} / {:.1}", self.client, self.database),
        ]
    }
}

/// What heads those figures.
pub(super) const HEAD: [&str; 4] = [
    "per second",
    "p50 ms",
    "p99 ms",
    "CPU µs: client / database",
];

/// Compares both ways to a store, in turns.
pub(super) fn compare(client: &mut Client, args: &StoreArgs) -> Result<()> {
    let ways: &[Way] = if client.kind.has_naive_client() {
        &[Way::Naive, Way::Batched]
    } else {
        &[Way::Batched]
    };
    let mut rows = Vec::new();
    for operation in Operation::ALL {
        for &concurrency in &args.concurrency {
            let medians = measure(client, ways, operation, concurrency, args)?;
            rows.extend(compared(operation, concurrency, ways, &medians));
        }
    }
    let title = format!(
        "{}, {} sessions: one statement for each request, and batched (medians of {})",
        client.kind.name(),
        client.rows,
        args.rounds
    );
    let head = [&["operation", "at a time", "way"], &HEAD[..], &["ratio"]].concat();
    table::print(&title, &head, &rows);
    Ok(())
}

fn measure(
    client: &mut Client,
    ways: &[Way],
    operation: Operation,
    concurrency: u32,
    args: &StoreArgs,
) -> Result<Vec<Medians>> {
    let mut samples = vec![Vec::new(); ways.len()];
    for _ in 0..args.rounds {
        for (&way, samples) in ways.iter().zip(&mut samples) {
            samples.push(client.sample(way, operation, concurrency, args.duration())?);
        }
    }
    Ok(samples.iter().map(|samples| Medians::of(samples)).collect())
}

fn compared(
    operation: Operation,
    concurrency: u32,
    ways: &[Way],
    medians: &[Medians],
) -> Vec<Vec<String>> {
    let base = medians[0].per_second;
    let row = |(way, medians): (&Way, &Medians)| {
        let ratio = match way {
            Way::Batched if ways.len() > 1 => format!("**{:.2} ×**", medians.per_second / base),
            Way::Batched | Way::Naive => String::new(),
        };
        let mut row = vec![
            operation.name().to_owned(),
            concurrency.to_string(),
            way.name(),
        ];
        row.extend(medians.cells());
        row.push(ratio);
        row
    };
    ways.iter().zip(medians).map(row).collect()
}
