//! Two pages name a test in each row of their tables; the tests must be there.

use std::fs;

use anyhow::{Context, Result};

use crate::command::root;

const FILES: [&str; 2] = ["docs/from-the-recipe.md", "docs/jetty-checklist.md"];

/// What is wrong with the pages.
///
/// # Errors
/// When a page itself cannot be read.
pub(crate) fn problems() -> Result<Vec<String>> {
    let source = |path: &str| fs::read_to_string(root().join("crates").join(path)).ok();
    let mut problems = Vec::new();
    for file in FILES {
        let text = fs::read_to_string(root().join(file)).context(file)?;
        problems.extend(check(file, &text, source));
    }
    Ok(problems)
}

fn check(file: &str, text: &str, source: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut rows = 0;
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, _, seawall, tests] = cells.as_slice() else {
            problems.push(format!("{file}: {line}: not four columns"));
            continue;
        };
        let Ok(number) = number.parse::<usize>() else {
            continue;
        };
        rows += 1;
        if number != rows {
            problems.push(format!("{file}: row {number} should be {rows}"));
        }
        let excused = ["not applicable: ", "feature \""];
        if tests.is_empty() && !excused.iter().any(|excuse| seawall.starts_with(excuse)) {
            problems.push(format!("{file}: row {number} names no test and no reason"));
        }
        for missing in missing(tests, &source) {
            problems.push(format!("{file}: row {number}: {missing}"));
        }
    }
    if rows == 0 {
        problems.push(format!("{file}: no rows"));
    }
    problems
}

/// The tests of a row that are not where it says: a file's path, then names of functions in it.
fn missing(tests: &str, source: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut file: Option<(&str, String)> = None;
    let mut missing = Vec::new();
    for name in tests.split('`').skip(1).step_by(2) {
        if name.ends_with(".rs") {
            file = source(name).map(|source| (name, source));
            if file.is_none() {
                missing.push(format!("no file crates/{name}"));
            }
        } else if let Some((path, source)) = &file
            && !source.contains(&format!("fn {name}("))
        {
            missing.push(format!("no test {name} in crates/{path}"));
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(row: &str) -> Vec<String> {
        let text =
            format!("| # | behaviour | Seawall | test |\n| --- | --- | --- | --- |\n{row}\n");
        check("page.md", &text, |path| {
            (path == "a/b.rs").then(|| "async fn it_holds() {}".to_owned())
        })
    }

    #[test]
    fn tests_that_are_not_there_are_found() {
        assert_eq!(problems("| 1 | x | same | `a/b.rs`: `it_holds` |"), [""; 0]);
        assert_eq!(problems("| 1 | x | not applicable: Java | |"), [""; 0]);
        for (row, what) in [
            (
                "| 1 | x | same | `a/b.rs`: `it_holds`, `it_hold` |",
                "no test it_hold in",
            ),
            (
                "| 1 | x | same | `a/c.rs`: `it_holds` |",
                "no file crates/a/c.rs",
            ),
            ("| 1 | x | same | |", "names no test"),
            ("| 2 | x | same | `a/b.rs`: `it_holds` |", "should be 1"),
            ("| 1 | x | same |", "not four columns"),
            ("", "no rows"),
        ] {
            let found = problems(row).join("\n");
            assert!(found.contains(what), "{what:?} not in {found:?}");
        }
    }
}
