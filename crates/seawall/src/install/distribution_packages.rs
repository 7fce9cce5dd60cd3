//! The distribution's packages: which there are, more, and fewer.

use std::collections::BTreeSet;

use super::{
    InstallError, database,
    step::Call,
    target::{run, succeeds},
};

/// What an installation asks for by name on Debian.
const OURS: [&str; 3] = ["logrotate", "postgresql", "rsyslog"];

/// What becomes of packages that an installation brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parting {
    pub(super) going: BTreeSet<String>,
    /// For PostgreSQL may hold something of somebody else's.
    pub(super) holding: BTreeSet<String>,
    /// For packages that others installed need them, or somebody has asked for them.
    pub(super) needed: BTreeSet<String>,
}

/// Packages that somebody has asked for. Those that an installation asks for by name are asked for by
/// it, or by both.
fn asked_for() -> Result<BTreeSet<String>, InstallError> {
    if !is_debian() {
        return Ok(BTreeSet::new());
    }
    let list = run(&Call::new(&["apt-mark", "showmanual"]))?;
    let names = list.lines().map(str::to_owned);
    Ok(names
        .filter(|name| !OURS.contains(&name.as_str()))
        .collect())
}

/// The names of all packages of which something is there, and be it settings that a removal has left:
/// what was there before is its operator's, and a purge would take it.
pub(super) fn installed() -> Result<BTreeSet<String>, InstallError> {
    let list = match is_debian() {
        true => Call::new(&["dpkg-query", "--show", "--showformat=${Package}\\n"]),
        false => Call::new(&["rpm", "--query", "--all", "--queryformat=%{NAME}\\n"]),
    };
    Ok(run(&list)?.lines().map(str::to_owned).collect())
}

/// Which packages would come with these, as far as that can be told beforehand.
pub(super) fn foretold(names: &[String]) -> Result<BTreeSet<String>, InstallError> {
    let mut coming: BTreeSet<_> = names.iter().cloned().collect();
    if is_debian() {
        coming.extend(simulated(&coming)?);
    }
    Ok(&coming - &installed()?)
}

/// Installs packages, with those that they need.
pub(super) fn install(names: &[String]) -> Result<(), InstallError> {
    finish_interrupted()?;
    let program: &[&str] = match is_debian() {
        true => &["apt-get", "install", "--yes", "--no-install-recommends"],
        false => &["dnf", "install", "--assumeyes"],
    };
    with(program, names).map(drop).map_err(|error| match error {
        InstallError::Command { command, reason } => InstallError::Command {
            command,
            reason: format!(
                "{reason}\nsee whether the distribution's packages can be fetched, and run this \
                     again"
            ),
        },
        error => error,
    })
}

/// Finishes what an interruption left half done, which would keep apt and dpkg from doing anything.
pub(super) fn finish_interrupted() -> Result<(), InstallError> {
    match is_debian() {
        true => run(&Call::new(&["dpkg", "--configure", "--pending"])).map(drop),
        false => Ok(()),
    }
}

/// Fetches the lists of what there is to install, which may be missing or old.
pub(super) fn refresh() -> Result<(), InstallError> {
    let call = match is_debian() {
        true => Call::new(&["apt-get", "update"]),
        false => Call::new(&["dnf", "makecache", "--refresh"]),
    };
    run(&call).map(drop)
}

/// Decides which of these packages can go without taking anything of somebody else's with them.
pub(super) fn part(names: &[String]) -> Result<Parting, InstallError> {
    let names: BTreeSet<_> = names.iter().cloned().collect();
    let mut names = &names & &installed()?;
    let mut holding = BTreeSet::new();
    let is_server = |name: &String| name.starts_with("postgresql");
    if names.iter().any(is_server) && !database::is_nobody_elses() {
        (holding, names) = names.into_iter().partition(is_server);
    }
    let going = removable(&(&names - &asked_for()?))?;
    let needed = &names - &going;
    Ok(Parting {
        going,
        holding,
        needed,
    })
}

/// Removes packages with their settings and data, and no others.
pub(super) fn purge(names: &BTreeSet<String>) -> Result<(), InstallError> {
    if names.is_empty() {
        return Ok(());
    }
    let program: &[&str] = match is_debian() {
        // Apt would also remove what depends on them.
        true => &["dpkg", "--purge"],
        false => &[
            "dnf",
            "remove",
            "--assumeyes",
            "--setopt=clean_requirements_on_remove=False",
        ],
    };
    with(program, names).map(drop)
}

/// Those of some packages on which nothing else depends.
fn removable(names: &BTreeSet<String>) -> Result<BTreeSet<String>, InstallError> {
    if names.is_empty() {
        return Ok(BTreeSet::new());
    }
    if is_debian() {
        // It complains of those that must stay, and goes on with the others.
        let script = "dpkg --no-act --abort-after=100000 --purge \"$@\" || true";
        return Ok(named_after(
            "Would remove or purge ",
            &with(&["sh", "-c", script, "sh"], names)?,
        ));
    }
    // RPM names no culprits: all stay, or none.
    match with(&["rpm", "--erase", "--test"], names) {
        Ok(_) => Ok(names.clone()),
        Err(_) => Ok(BTreeSet::new()),
    }
}

/// The packages that apt would install or upgrade.
fn simulated(names: &BTreeSet<String>) -> Result<BTreeSet<String>, InstallError> {
    let program = [
        "apt-get",
        "--simulate",
        "--no-install-recommends",
        "install",
    ];
    Ok(named_after("Inst ", &with(&program, names)?))
}

/// The packages in lines that begin so; an architecture may follow a name.
fn named_after(beginning: &str, said: &str) -> BTreeSet<String> {
    let lines = said.lines().filter_map(|line| line.strip_prefix(beginning));
    lines
        .filter_map(|line| line.split([' ', ':']).next().map(str::to_owned))
        .collect()
}

fn with<'a>(
    program: &[&str],
    names: impl IntoIterator<Item = &'a String>,
) -> Result<String, InstallError> {
    let mut call = Call::new(program);
    call.program.extend(names.into_iter().cloned());
    run(&call)
}

fn is_debian() -> bool {
    succeeds(&["apt-get", "--version"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_and_dpkg_would_do_is_read() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let said = "Reading package lists...\nThe following NEW packages will be installed:\n  a b\n\
                    Inst b (3 Debian:12 [amd64])\nInst a:i386 [1] (2 Debian:12 [i386])\nConf b (3)\n";
        let expected: BTreeSet<_> = names(&["a", "b"]);
        assert_eq!(named_after("Inst ", said), expected);
        let said = "(Reading database ... )\nWould remove or purge libpq5:amd64 (15) ...\n";
        let expected: BTreeSet<_> = names(&["libpq5"]);
        assert_eq!(named_after("Would remove or purge ", said), expected);
    }
}
