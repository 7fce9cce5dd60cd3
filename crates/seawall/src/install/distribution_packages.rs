//! The distribution's packages: which there are, more, and fewer.

use std::collections::BTreeSet;

use super::{
    InstallError,
    step::Call,
    target::{run, succeeds},
};

/// The names of all packages that are installed.
pub(super) fn installed() -> Result<BTreeSet<String>, InstallError> {
    let list = match is_debian() {
        true => Call::new(&["dpkg-query", "--show", "--showformat=${Package}\\n"]),
        false => Call::new(&["rpm", "--query", "--all", "--queryformat=%{NAME}\\n"]),
    };
    Ok(run(&list)?.lines().map(str::to_owned).collect())
}

/// Installs packages, with those that they need.
pub(super) fn install(names: &[String]) -> Result<(), InstallError> {
    if !is_debian() {
        return with(&["dnf", "install", "--assumeyes"], names);
    }
    let install = ["apt-get", "install", "--yes", "--no-install-recommends"];
    if with(&install, names).is_ok() {
        return Ok(());
    }
    // The lists may be missing or old.
    run(&Call::new(&["apt-get", "update"]))?;
    with(&install, names)
}

/// Removes packages with their settings and data.
pub(super) fn purge(names: &[String]) -> Result<(), InstallError> {
    let program: &[&str] = match is_debian() {
        true => &["apt-get", "purge", "--yes"],
        false => &["dnf", "remove", "--assumeyes"],
    };
    with(program, names)
}

fn with(program: &[&str], names: &[String]) -> Result<(), InstallError> {
    let mut call = Call::new(program);
    call.program.extend_from_slice(names);
    run(&call).map(drop)
}

fn is_debian() -> bool {
    succeeds(&["apt-get", "--version"])
}
