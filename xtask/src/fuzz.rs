//! Fuzzing of what comes from outside, with cargo-fuzz and a nightly compiler.

use anyhow::{Context, Result};

use crate::command::{execute, program};

const TARGETS: [&str; 2] = ["cookie", "payload"];

/// Fuzzes each target for so many seconds.
pub(crate) fn run(seconds: u64) -> Result<()> {
    let is_installed = program("cargo", &["fuzz", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !is_installed {
        println!("installing cargo-fuzz");
        execute(&mut program(
            "cargo",
            &["install", "cargo-fuzz", "--locked"],
        ))?;
    }
    let limit = format!("-max_total_time={seconds}");
    for target in TARGETS {
        println!("── {target}");
        let mut fuzz = program("rustup", &["run", "nightly", "cargo", "fuzz", "run"]);
        execute(fuzz.args([target, "--", &limit])).with_context(|| {
            format!("fuzzing {target}; the input is in fuzz/artifacts/{target}")
        })?;
    }
    Ok(())
}
