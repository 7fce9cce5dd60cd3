//! What requests notice of a sweep.

use std::time::Duration;

use anyhow::Result;

use super::{
    StoreArgs,
    client::{Client, Measured, Served, Swept},
};
use crate::bench::table;

/// The load without a sweep is measured this many times longer than others: its p99 is what counts.
const LONGER: u32 = 3;

/// Sweeps under load, and gives the row of the table.
pub(super) fn row(client: &mut Client, args: &StoreArgs) -> Result<Vec<String>> {
    println!(
        "{}: sweeping {} sessions under load",
        client.kind.name(),
        args.sweep
    );
    let swept = client.sweep(
        args.sweep,
        args.usual_concurrency(),
        args.duration() * LONGER,
        Duration::from_secs_f64(args.sweep_seconds),
    )?;
    let seconds = swept.micros as f64 / 1e6;
    Ok(vec![
        client.kind.name().to_owned(),
        client.rows.to_string(),
        swept.deleted.to_string(),
        format!("{seconds:.1}"),
        format!("{:.0}", swept.deleted as f64 / seconds),
        p99(&swept, |served| &served.updates),
        p99(&swept, |served| &served.validations),
        rates(&swept),
    ])
}

fn p99(swept: &Swept, of: impl Fn(&Served) -> &Measured) -> String {
    let [before, during, after] =
        [&swept.before, &swept.during, &swept.after].map(|served| of(served).p99 / 1e3);
    let alone = f64::midpoint(before, after);
    format!(
        "{before:.2} → {during:.2} → {after:.2} **({:+.0} %)**",
        (during / alone - 1.0) * 1e2
    )
}

fn rates(swept: &Swept) -> String {
    let [before, during, after] = [&swept.before, &swept.during, &swept.after]
        .map(|served| served.updates.per_second() + served.validations.per_second());
    format!("{before:.0} → {during:.0} → {after:.0}")
}

pub(super) fn print(args: &StoreArgs, rows: &[Vec<String>]) {
    let title = format!(
        "A sweep of {} expired sessions beside {} requests at a time: before → during → after",
        args.sweep,
        args.usual_concurrency()
    );
    let head = [
        "store",
        "rows",
        "deleted",
        "in s",
        "per second",
        "p99 of upserts, ms",
        "p99 of validations, ms",
        "requests/s",
    ];
    table::print(&title, &head, rows);
}
