//! What a payload costs, for `docs/payload.md`. Best of some runs, because the rest is the machine's.

use std::{hint::black_box, time::Instant};

use super::*;

const RUNS: usize = 200;
/// So many in each run, because a clock is coarse.
const REPEATS: u32 = 100;

/// The best time of `work`, in µs.
fn micros(mut work: impl FnMut()) -> f64 {
    let run = |_| {
        let started = Instant::now();
        (0..REPEATS).for_each(|_| work());
        started.elapsed().as_secs_f64() * 1e6 / f64::from(REPEATS)
    };
    (0..RUNS).map(run).fold(f64::INFINITY, f64::min)
}

#[test]
#[ignore = "a measurement: run it alone, in a release build, with --nocapture"]
fn what_a_payload_costs() {
    for count in [4, 40] {
        let text = "all work and no play makes a session a dull one, ok";
        let attribute = |index| (format!("name{index}").into(), Value::from(&text[..50]));
        let session = record(Writers::new(), (0..count).map(attribute).collect());
        for (way, above, keys) in [
            ("in clear", None, KeyRing::default()),
            ("compressed", Some(0), KeyRing::default()),
            ("encrypted", None, ring(&[("one", 1)])),
            ("both", Some(0), ring(&[("one", 1)])),
        ] {
            let codec = Codec::new(above, keys);
            let payload = codec.encode(&key("a"), &session);
            let write = micros(|| drop(black_box(codec.encode(&key("a"), &session))));
            let read = micros(|| drop(black_box(codec.decode(&key("a"), &payload))));
            println!(
                "| {count} attributes | {way} | {} | {write:.1} | {read:.1} |",
                payload.len()
            );
        }
    }
}
