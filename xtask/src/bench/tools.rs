//! The programs that the benchmark compares with, and that load them.

use anyhow::{Result, bail};

use crate::{
    command::{execute, program},
    setup,
};

/// Each program, how to see that it is there, and its package on Debian and Ubuntu.
const TOOLS: [(&str, &str, &str); 4] = [
    ("wrk", "--version", "wrk"),
    ("haproxy", "-v", "haproxy"),
    ("java", "-version", "openjdk-17-jre-headless"),
    ("mvn", "--version", "maven"),
];

/// Installs what is missing when it may, and otherwise says what to install.
pub(crate) fn prepare() -> Result<()> {
    setup::run()?;
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    if setup::may_install() {
        println!("installing {}", missing.join(" "));
        setup::install(&missing)?;
    }
    let missing = self::missing();
    if !missing.is_empty() {
        bail!(
            "the benchmark needs more programs; install them and run this again:\n  \
             sudo apt-get install {}",
            missing.join(" ")
        );
    }
    Ok(())
}

fn missing() -> Vec<&'static str> {
    let is_there = |name: &str, option: &str| program(name, &[option]).output().is_ok();
    TOOLS
        .iter()
        .filter(|(name, option, _)| !is_there(name, option))
        .map(|(_, _, package)| *package)
        .collect()
}

/// Fetches an artifact from Maven's repository into `folder`, once.
pub(crate) fn fetch(artifact: &str, folder: &std::path::Path) -> Result<()> {
    let mut maven = program("mvn", &["--quiet", "--batch-mode", "dependency:copy"]);
    maven.arg(format!("-Dartifact={artifact}"));
    maven.arg(format!("-DoutputDirectory={}", folder.display()));
    execute(&mut maven)
}
