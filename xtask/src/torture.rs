//! Torture: every store in turn, unless the arguments name one.

use anyhow::Result;

use crate::{
    command::{execute, program},
    setup,
};

const STORES: [&str; 4] = ["postgres", "redis", "mariadb", "sqlite"];

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::run()?;
    let is_named = arguments
        .iter()
        .any(|argument| argument.starts_with("--store"));
    let stores: &[&str] = if is_named { &[""] } else { &STORES };
    for store in stores {
        let mut torture = program(env!("CARGO"), &["run", "--release", "--locked"]);
        torture.args(["--package", "seawall-torture", "--", "run"]);
        if !store.is_empty() {
            println!("── {store}");
            torture.args(["--store", store]);
        }
        execute(torture.args(arguments))?;
    }
    Ok(())
}
