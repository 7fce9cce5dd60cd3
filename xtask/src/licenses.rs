//! The licences and sources of everything that is built in.
//!
//! A check of our own, because building `cargo-deny` takes longer than all tests. When it is
//! installed it runs too, with `deny.toml`.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::{execute, program};

/// Licences that a binary may contain.
const ALLOWED: [&str; 15] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    // Icons of mdBook, which are not part of the program.
    "CC-BY-4.0",
    "CC0-1.0",
    // Mozilla's list of certificate authorities, which is data.
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    // mdBook, which is not part of the program.
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

pub(crate) fn run() -> Result<()> {
    let output = program(
        env!("CARGO"),
        &["metadata", "--format-version=1", "--locked"],
    )
    .output()?;
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata has packages")?;
    let problems: Vec<String> = packages.iter().filter_map(problem).collect();
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    println!(
        "{} packages, all under licences that are allowed",
        packages.len()
    );
    if program(env!("CARGO"), &["deny", "--version"])
        .output()
        .is_ok_and(|o| o.status.success())
    {
        execute(&mut program(
            env!("CARGO"),
            &["deny", "check", "bans", "licenses", "sources"],
        ))?;
    }
    Ok(())
}

/// What is wrong with a package, if anything.
fn problem(package: &Value) -> Option<String> {
    let name = package["name"].as_str().unwrap_or("?");
    let license = package["license"].as_str().unwrap_or_default();
    let is_ours = package["source"].is_null();
    let from_registry = package["source"]
        .as_str()
        .is_some_and(|source| source.starts_with("registry+"));
    if !is_ours && !from_registry {
        return Some(format!(
            "{name}: it does not come from the registry; use a published version"
        ));
    }
    if !is_allowed(license) {
        return Some(format!(
            "{name}: licence {license:?} is not allowed; choose another crate, or allow it in \
             xtask/src/licenses.rs and deny.toml"
        ));
    }
    None
}

/// Whether an SPDX expression can be met with allowed licences.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace(['(', ')'], " ").replace('/', " OR ");
    expression
        .split(" AND ")
        .all(|all| all.split(" OR ").any(|one| ALLOWED.contains(&one.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_understood() {
        for allowed in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "(MIT OR GPL-3.0) AND ISC",
        ] {
            assert!(is_allowed(allowed), "{allowed}");
        }
        for refused in ["", "GPL-3.0", "MIT AND AGPL-3.0", "LicenseRef-x"] {
            assert!(!is_allowed(refused), "{refused}");
        }
    }

    #[test]
    fn a_planted_package_is_found() {
        let package = serde_json::json!({
            "name": "x", "license": "MIT", "source": "git+https://example.org/x"
        });
        assert!(problem(&package).unwrap().contains("registry"));
    }
}
