//! Rules that no compiler knows: sizes, heads of files, words, and which crate may use which.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};
use syn::{spanned::Spanned, visit::Visit};

use crate::{checklist, command::root};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;

/// Which of our crates a crate may depend on, beside `seawall-testing` for its tests. A crate that
/// is not listed may use any.
const DEPENDENCIES: [(&str, &[&str]); 7] = [
    ("seawall-balancer", &["seawall-net"]),
    ("seawall-bench", &[]),
    ("seawall-net", &[]),
    (
        "seawall-node",
        &["seawall-net", "seawall-session", "seawall-store"],
    ),
    ("seawall-session", &["seawall-store"]),
    ("seawall-store", &[]),
    ("seawall-testing", &[]),
];

/// Text that has no place in the code, and what to do instead.
fn banned() -> [(String, &'static str); 6] {
    // Put together here, so that this file does not hold what it looks for.
    [
        (["to", "do!("].concat(), "finish it, or leave it out"),
        (
            ["unimple", "mented!("].concat(),
            "finish it, or leave it out",
        ),
        (["FIX", "ME"].concat(), "mend it, or file an issue"),
        (
            ["#[al", "low("].concat(),
            "write #[expect(…, reason = \"…\")]",
        ),
        (["db", "g!("].concat(), "remove it"),
        (["/wo", "rk/"].concat(), "name no path of one machine"),
    ]
}

/// Checks the whole workspace.
pub(crate) fn run() -> Result<()> {
    let mut problems = Vec::new();
    let members = members()?;
    for member in &members {
        check_manifest(&member.join("Cargo.toml"), &mut problems)?;
        for file in rust_files(member)? {
            let source = fs::read_to_string(&file)?;
            let shown = file
                .strip_prefix(root())
                .unwrap_or(&file)
                .display()
                .to_string();
            problems.extend(check_source(&shown, &source));
        }
    }
    problems.extend(checklist::problems()?);
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    println!("{} crates are tidy", members.len());
    Ok(())
}

fn members() -> Result<Vec<PathBuf>> {
    let mut members = vec![root().join("xtask")];
    for entry in fs::read_dir(root().join("crates"))? {
        members.push(entry?.path());
    }
    members.retain(|member| member.join("Cargo.toml").is_file());
    members.sort();
    Ok(members)
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn check_manifest(path: &Path, problems: &mut Vec<String>) -> Result<()> {
    let manifest = fs::read_to_string(path)?;
    let shown = path
        .strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string();
    if !manifest.contains("[lints]\nworkspace = true") {
        problems.push(format!(
            "{shown}: no workspace lints; add [lints] workspace = true"
        ));
    }
    let name = path
        .parent()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    let Some((name, allowed)) = DEPENDENCIES
        .iter()
        .find(|(crate_, _)| Some(*crate_) == name)
    else {
        return Ok(());
    };
    problems.extend(check_dependencies(&shown, name, allowed, &manifest));
    Ok(())
}

fn check_dependencies(shown: &str, name: &str, allowed: &[&str], manifest: &str) -> Vec<String> {
    let mut section = "";
    let mut problems = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
            continue;
        }
        let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
        let is_ours = dependency.starts_with("seawall-") && dependency != name;
        let for_tests = section == "[dev-dependencies]";
        if is_ours && !for_tests && !allowed.contains(&dependency) {
            problems.push(format!(
                "{shown}: {name} must not depend on {dependency}; arrows point downwards only \
                 (ARCHITECTURE.md, code map)"
            ));
        }
    }
    problems
}

fn check_source(shown: &str, source: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if !source.starts_with("//!") {
        problems.push(format!("{shown}:1: no //! line; say what the file is for"));
    }
    let lines = source.lines().count();
    if lines > FILE_LINES {
        problems.push(format!(
            "{shown}:{lines}: over {FILE_LINES} lines; split it by concern"
        ));
    }
    for (number, line) in source
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
    {
        for (text, remedy) in banned() {
            if line.contains(&text) {
                problems.push(format!("{shown}:{number}: {text}; {remedy}"));
            }
        }
        if line.ends_with(' ') || line.contains('\t') {
            problems.push(format!(
                "{shown}:{number}: a tab or a space at the end; run cargo fmt"
            ));
        }
    }
    problems.extend(long_functions(shown, source));
    problems
}

fn long_functions(shown: &str, source: &str) -> Vec<String> {
    let Ok(file) = syn::parse_file(source) else {
        return vec![format!("{shown}:1: not Rust")];
    };
    let mut functions = Functions {
        shown,
        problems: Vec::new(),
    };
    functions.visit_file(&file);
    functions.problems
}

struct Functions<'a> {
    shown: &'a str,
    problems: Vec<String>,
}

impl Functions<'_> {
    fn check(&mut self, name: &syn::Ident, body: &syn::Block) {
        let (start, end) = (body.span().start().line, body.span().end().line);
        let lines = end - start + 1;
        if lines > FUNCTION_LINES {
            let shown = self.shown;
            self.problems.push(format!(
                "{shown}:{start}: {name} has {lines} lines, over {FUNCTION_LINES}; split it"
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.check(&item.sig.ident, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.check(&item.sig.ident, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(source: &str, what: &str) {
        let problems = check_source("x.rs", source).join("\n");
        assert!(problems.contains(what), "{what:?} not in {problems:?}");
    }

    #[test]
    fn planted_violations_are_found() {
        assert_eq!(
            check_source("x.rs", "//! Head.\n\nfn short() {}\n"),
            [""; 0]
        );
        finds("fn headless() {}\n", "no //! line");
        finds(
            &format!("//! x\n{}", "\n".repeat(FILE_LINES)),
            "split it by concern",
        );
        finds("//! x\nfn a() {} \n", "at the end");
        let long = format!("//! x\nfn long() {{\n{}}}\n", "    call();\n".repeat(70));
        finds(&long, "long has 72 lines");
        for (text, _) in banned() {
            finds(&format!("//! x\n// {text}\n"), &text);
        }
    }

    #[test]
    fn arrows_point_downwards() {
        let upwards = "[dependencies]\nseawall-node.workspace = true\n";
        assert_eq!(
            check_dependencies("x", "seawall-store", &[], upwards).len(),
            1
        );
        let testing = "[dev-dependencies]\nseawall-testing.workspace = true\n";
        assert_eq!(
            check_dependencies("x", "seawall-store", &[], testing),
            [""; 0]
        );
    }
}
