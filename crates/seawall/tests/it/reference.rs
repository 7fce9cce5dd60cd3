//! What is made from the command line's definition: the reference in the book, man pages, completions.

use std::{fs, path::Path};

use crate::cluster::seawall;

/// Set, it makes the test write the reference instead of comparing it.
const WRITE: &str = "SEAWALL_WRITE_REFERENCE";

#[test]
fn the_reference_of_the_command_line_is_up_to_date() {
    assert_up_to_date("command-line", "reference/command-line.md");
}

/// What `doctor` knows is what users read.
#[test]
fn the_page_on_troubleshooting_is_up_to_date() {
    assert_up_to_date("troubleshooting", "troubleshooting.md");
}

fn assert_up_to_date(what: &str, file: &str) {
    let output = seawall().args(["reference", what]).output().unwrap();
    let made = String::from_utf8(output.stdout).unwrap();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let page = docs.join(file);
    if std::env::var_os(WRITE).is_some() {
        fs::write(&page, &made).unwrap();
    }
    let written = fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == made,
        "docs/{file} is out of date; write it with \
         `{WRITE}=1 cargo test -p seawall --test it reference`"
    );
}

#[test]
fn there_is_a_man_page_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let output = seawall().arg("man").arg(folder.path()).output().unwrap();
    assert!(output.status.success());
    for command in ["seawall", "seawall-up", "seawall-sessions-revoke"] {
        let page = fs::read_to_string(folder.path().join(format!("{command}.1"))).unwrap();
        assert!(page.contains(".TH"), "{command}: {page}");
    }
}

#[test]
fn there_are_completions_for_each_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = seawall().args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("sessions"), "{shell}");
    }
}
