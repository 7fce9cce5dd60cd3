//! Everything that guards the project, in one run. The tests come last, so their summary ends it.

use std::{fs, time::Instant};

use anyhow::Result;

use crate::{
    command::{execute, program, root},
    licenses, setup, tidy,
};

/// Whether to look for what the tests need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setup {
    Run,
    Skip,
}

fn run_cargo(arguments: &[&str]) -> Result<()> {
    execute(&mut program(env!("CARGO"), arguments))
}

pub(crate) fn run(setup: Setup, arguments: &[String]) -> Result<()> {
    if setup == Setup::Run {
        step("setup", setup::run)?;
    }
    step("fmt", || run_cargo(&["fmt", "--all", "--check"]))?;
    step("tidy", tidy::run)?;
    step("licences and sources", licenses::run)?;
    step("clippy", || {
        run_cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ])
    })?;
    step("packages", each_package_alone)?;
    step("docs", || {
        let arguments = [
            "doc",
            "--workspace",
            "--no-deps",
            "--all-features",
            "--document-private-items",
        ];
        let mut docs = program(env!("CARGO"), &arguments);
        execute(docs.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    step("book", book)?;
    step("tests", || {
        setup::say_what_is_left_out();
        let mut tests = vec!["test", "--workspace", "--locked"];
        tests.extend(arguments.iter().map(String::as_str));
        run_cargo(&tests)
    })
}

/// Checks each package by itself. All together, one package's features serve the others, so that a
/// feature that nobody asked for is missed only by those who build the program.
fn each_package_alone() -> Result<()> {
    let manifests = fs::read_dir(root().join("crates"))?;
    for manifest in manifests {
        let name = manifest?.file_name();
        let name = name.to_string_lossy();
        run_cargo(&["check", "--quiet", "--locked", "--package", &name])?;
    }
    Ok(())
}

/// Builds the book and checks its links.
pub(crate) fn book() -> Result<()> {
    run_cargo(&["run", "--quiet", "--locked", "--package", "seawall-book"])
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("── {name}");
    let started = Instant::now();
    work()?;
    // The tests' summary is to be the last thing that is printed.
    if name != "tests" {
        println!("── {name}: {:.1} s", started.elapsed().as_secs_f64());
    }
    Ok(())
}
