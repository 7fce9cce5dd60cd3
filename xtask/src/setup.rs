//! What the tests need beside the Rust toolchain.

use std::{fs, path::PathBuf};

use anyhow::{Result, bail};

use crate::command::{execute, program};

/// The programs that the tests start, the package that has them, and where it may put them.
const POSTGRESQL_PROGRAMS: [&str; 4] = ["initdb", "pg_isready", "postgres", "psql"];

fn has_postgresql() -> bool {
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders.iter().any(|folder| {
        POSTGRESQL_PROGRAMS
            .iter()
            .all(|name| folder.join(name).is_file())
    })
}

/// Installs what is missing when it may, and otherwise says what to install.
pub(crate) fn run() -> Result<()> {
    if has_postgresql() {
        println!("PostgreSQL: there");
        return Ok(());
    }
    if may_install() {
        println!("PostgreSQL: installing the distribution's package");
        install(&["postgresql"])?;
    }
    if !has_postgresql() {
        bail!(
            "the tests need a PostgreSQL server (13 or later); install it and run this again:\n  \
             Debian, Ubuntu: sudo apt-get install postgresql\n  \
             Fedora, AlmaLinux, Rocky: sudo dnf install postgresql-server"
        );
    }
    println!("PostgreSQL: installed");
    Ok(())
}

/// Whether this is root on a system with Debian's packages.
pub(crate) fn may_install() -> bool {
    is_root() && execute(&mut program("apt-get", &["--version"])).is_ok()
}

/// Installs packages of the distribution.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    execute(&mut program("apt-get", &["update"]))?;
    let mut install = program("apt-get", &["install", "--yes", "--no-install-recommends"]);
    execute(
        install
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}

fn is_root() -> bool {
    let output = program("id", &["-u"]).output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
