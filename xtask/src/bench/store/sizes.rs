//! Whether anything grows with the table.

use anyhow::Result;

use super::{
    StoreArgs,
    client::{Client, Operation, Way},
    rates::{HEAD, Medians},
};
use crate::bench::table;

/// Compares tables of several sizes, in turns.
pub(super) fn compare(clients: &mut [Client], args: &StoreArgs) -> Result<()> {
    let (kind, concurrency) = (clients[0].kind, args.usual_concurrency());
    let mut rows = Vec::new();
    for operation in Operation::ALL {
        let mut samples = vec![Vec::new(); clients.len()];
        for _ in 0..args.rounds {
            for (client, samples) in clients.iter_mut().zip(&mut samples) {
                let duration = args.duration();
                samples.push(client.sample(Way::Batched, operation, concurrency, duration)?);
            }
        }
        let medians: Vec<Medians> = samples.iter().map(|samples| Medians::of(samples)).collect();
        for (client, figures) in clients.iter().zip(&medians) {
            let mut row = vec![operation.name().to_owned(), client.rows.to_string()];
            row.extend(figures.cells());
            row.push(format!(
                "**{:.2}**",
                figures.per_second / medians[0].per_second
            ));
            rows.push(row);
        }
    }
    let title = format!(
        "{}, batched, {concurrency} at a time: tables of several sizes (medians of {})",
        kind.name(),
        args.rounds
    );
    let head = [&["operation", "rows"], &HEAD[..], &["of the first"]].concat();
    table::print(&title, &head, &rows);
    Ok(())
}
